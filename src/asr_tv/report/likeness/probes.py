"""Tables of the probes: domain words that nobody said, and yes/no questions with the level of chance."""

from collections.abc import Mapping, Sequence
from typing import Any

from asr_tv.report.score_tables import retention_table
from asr_tv.report.table import Cell, Field, Table, build, count, field, plain, rate, system, text, words
from asr_tv.scoring.questions.yes_no import CHANCE

Row = Mapping[str, Any]
_UNITS = {"1000 words": "per 1,000 words", "minute": "per minute"}


def unsaid_table(rows: Sequence[Row]) -> Table | None:
    """A line a system and kind of recording; a system is named where the rows do."""
    lines = [
        {**{key: row[key] for key in ("target", "system") if key in row}, "where": where, **found}
        for row in rows
        for where, found in row.get("domain_words", {}).items()
    ]
    fields: list[Field] = [
        *_who(lines),
        words("in", "where", priority=0),
        count("heard, not said", "count", priority=0),
        field("rate", _rated, numeric=True, priority=0, more=("rate", "rate low", "rate high")),
    ]
    return build("unsaid", "Words of the domain heard where nobody said them", lines, fields)


def _who(lines: Sequence[Row]) -> list[Field]:
    fields = [words("target")] if lines and "target" in lines[0] else []
    if lines and "system" in lines[0]:
        fields.append(field("system", lambda row: system(row["system"]), priority=0))
    return fields


def _rated(row: Row) -> Cell:
    if row["rate"] is None:
        return Cell("–", more=(None, None, None))
    ends = row["ci_low"], row["ci_high"]
    between = "" if None in ends else f" ({ends[0]:.1f} to {ends[1]:.1f})"
    return Cell(f"{row['rate']:.1f}{between} {_UNITS[row['unit']]}", number=row["rate"], more=(row["rate"], *ends))


def questions_table(rows: Sequence[Row]) -> Table | None:
    """A line a system and kind of question."""
    lines = [
        {**{key: row[key] for key in ("target", "system") if key in row}, "kind": kind, **found}
        for row in rows
        for kind, found in row.get("questions", {}).items()
    ]
    fields: list[Field] = [
        *_who(lines),
        words("question", "kind", priority=0),
        count("pairs"),
        field("right %", _right, numeric=True, priority=0, more=("right", "right low", "right high")),
        field("chance %", lambda _: plain(100 * CHANCE, ".0f"), numeric=True, priority=0),
        rate("yes %", "yes_rate"),
        field("F1 of no", lambda row: plain(row["f1_no"], ".2f"), numeric=True),
        rate("both right %", "both_right"),
        rate("unanswered %", "unanswered"),
    ]
    note = "Was a word said, and was it said before another? Asked in pairs, answered from the transcript."
    return build("questions", "Which words were said, and in which order", lines, fields, note=note)


def _right(row: Row) -> Cell:
    if row["accuracy"] is None:
        return text(None)
    ends = row["ci_low"], row["ci_high"]
    between = "" if None in ends else f" ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})"
    return Cell(f"{100 * row['accuracy']:.1f}{between}", number=100 * row["accuracy"], more=(row["accuracy"], *ends))


def kept_tables(report: Row) -> list[Table | None]:
    """What else was kept: loops and words in silence, words of the domain that nobody said, and questions."""
    rows = report.get("retention", ())
    return [retention_table(rows), unsaid_table(rows), questions_table(rows)]
