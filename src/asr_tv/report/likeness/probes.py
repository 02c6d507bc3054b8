"""Tables of the probes: domain words that nobody said, and yes/no questions with the level of chance."""

from collections.abc import Mapping, Sequence
from typing import Any

from asr_tv.report.score_tables import retention_table
from asr_tv.report.table import Cell, Field, Table, build, count, field, plain, rate, system, with_ends, words
from asr_tv.scoring.questions.yes_no import CHANCE

Row = Mapping[str, Any]
_UNITS = {"1000 words": "per 1,000 words", "minute": "per minute"}


def unsaid_table(rows: Sequence[Row]) -> Table | None:
    """A line a system and kind of recording; a system is named where the rows do."""
    lines = _lines(rows, "domain_words", "where")
    fields: list[Field] = [
        *_who(lines),
        words("in", "where", priority=0),
        count("heard, not said", "count", priority=0),
        field("rate", _rated, numeric=True, priority=0, more=("rate", "rate low", "rate high")),
    ]
    return build("unsaid", "Words of the domain heard where nobody said them", lines, fields)


def _lines(rows: Sequence[Row], part: str, kind: str) -> list[Row]:
    """What each row has of a part, a line a kind, which stands under that name."""
    return [
        {**{key: row[key] for key in ("target", "system") if key in row}, kind: name, **found}
        for row in rows
        for name, found in row.get(part, {}).items()
    ]


def _who(lines: Sequence[Row]) -> list[Field]:
    fields = [words("target")] if lines and "target" in lines[0] else []
    if lines and "system" in lines[0]:
        fields.append(field("system", lambda row: system(row["system"]), priority=0))
    return fields


def _rated(row: Row) -> Cell:
    return with_ends(row, "rate", ".1f", unit=f" {_UNITS[row['unit']]}")


def questions_table(rows: Sequence[Row]) -> Table | None:
    """A line a system and kind of question."""
    lines = _lines(rows, "questions", "kind")
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
    return with_ends(row, "accuracy", ".1f", scale=100)


def kept_tables(report: Row) -> list[Table | None]:
    """What else was kept: loops and words in silence, words of the domain that nobody said, and questions."""
    rows = report.get("retention", ())
    return [retention_table(rows), unsaid_table(rows), questions_table(rows)]
