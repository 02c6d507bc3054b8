"""Tables and charts of scores, from report.json: WER, coefficient, groups, terms, examples, forgetting, retention."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from asr_tv.report.charts import MAIN, BarPanel, bar, group_panels, is_chosen, is_recipe, kind_of, recipe_name, top_of
from asr_tv.report.systems import ADAPTED, display_name
from asr_tv.report.table import (
    PAGE_ONLY,
    Cell,
    Column,
    Table,
    difference_cells,
    difference_columns,
    numeric,
    percent,
    percent_span,
    point,
    point_span,
    system,
    table,
    text,
    texts,
    whole,
)
from asr_tv.report.verdict import set_of

Row = Mapping[str, Any]

_SPAN = ("low", "high")


def set_title(row: Row) -> str:
    """What a set of recordings is to the run, in words."""
    named = {"target": "Target domain", "source": "Source domains", "general": "General speech"}[row["role"]]
    return f"{named}: {row['domain']}" if row["domain"] not in ("general", "all domains") else named


def _by_set(rows: Iterable[Row]) -> dict[tuple[str, str, str], list[Row]]:
    sets: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        sets.setdefault(set_of(row), []).append(row)
    return sets


_WER_COLUMNS = (
    Column("system", priority=0),
    Column("WER %", numeric=True, priority=0),
    Column("bar", numeric=True, priority=PAGE_ONLY),
    Column("interval", numeric=True, more=tuple(f"WER % {end}" for end in _SPAN)),
    *difference_columns(hint="adapted minus this, in points; below zero adapted is better"),
    *(
        Column(title, numeric=True, priority=2, hint=hint)
        for title, hint in (
            ("relative", "the difference over this system's WER"),
            ("p", "bootstrap of sentences"),
            ("p, matched pairs", ""),
            ("CER %", ""),
            ("raw WER %", "of the texts as written: case and punctuation count"),
            ("substitutions", ""),
            ("deletions", ""),
            ("insertions", ""),
            ("loops", "compresses beyond 2.4, or four words more than five times"),
        )
    ),
    Column("audio context", priority=2),
    Column("target recordings", priority=2),
)


def wer_tables(report: Row) -> Iterator[Table]:
    """The systems of each set of recordings, each with what adapted gained over it."""
    for number, (key, rows) in enumerate(_by_set(report["systems"]).items()):
        compared = {row["rival"]: row for row in report["comparison"] if set_of(row) == key}
        top = top_of(value for row in rows for value in (row["ci_high"], row["wer"]))
        cells = [_wer_cells(row, compared.get(row["name"]), top) for row in rows]
        made = table(f"wer-{number}", set_title(rows[0]), _WER_COLUMNS, cells, note=_size(rows))
        if made is not None:
            yield made


def _size(rows: Sequence[Row]) -> str:
    scored = next((row for row in rows if row["wer"] is not None), None)
    if scored is None:
        return rows[0]["note"] or "not scored"
    line = scored["conditions"].get("simulated_line")
    counts = [f"{scored[key]} {key}" for key in ("utterances", "words", "sentences")]
    return ", ".join([scored["split"], *counts, *([f"simulated line: {line}"] if line else [])])


def _wer_cells(row: Row, compared: Row | None, top: float) -> list[Cell]:
    # Reports of version 1 know no raw WER, loops or matched pairs.
    drawn = bar(row["wer"], row["ci_low"], row["ci_high"], top, kind_of(row["name"]))
    return [
        system(row["name"], row["scaling_coef"], mark="main" if row["name"] == ADAPTED else ""),
        percent(row["wer"]) if row["wer"] is not None else text(row["note"] or "undefined"),
        Cell("", number=None if row["wer"] is None else 100 * row["wer"], bar=drawn),
        percent_span(row["ci_low"], row["ci_high"]),
        *difference_cells(compared),
        *_test_cells(compared),
        percent(row["cer"]),
        percent(row.get("raw_wer")),
        *(whole(row.get(key)) for key in ("substitutions", "deletions", "insertions", "loops")),
        text(audio_context(row)),
        text("no" if row["text_only"] else "yes, declared"),
    ]


def _test_cells(compared: Row | None) -> list[Cell]:
    """The relative difference, and the p values of both tests."""
    if compared is None:
        return [text(None)] * 3
    return [_relative(compared["relative"]), _p(compared["p"]), _p(compared.get("matched_pairs", {}).get("p"))]


def _relative(value: float | None) -> Cell:
    return text(None) if value is None else Cell(f"{100 * value:+.0f} %".replace("-", "\u2212"), number=100 * value)


def _p(value: float | None) -> Cell:
    return text(None) if value is None else Cell("< 0.0001" if value < 0.0001 else f"{value:.4f}", number=value)


def audio_context(row: Row) -> str | None:
    """The audio context a system was scored with, in words; None where it has none."""
    context = row["conditions"].get("audio_context")
    return f"{context:g} s" if isinstance(context, int | float) else context


def recipe_table(report: Row) -> Table | None:
    """Every recipe that was tried on the folds."""
    selection = report["selection"]
    folds = selection["folds"] if len(selection["folds"]) > 1 else []
    titles = ("coefficient", "WER %", "errors", "words", *(f"WER % {fold}" for fold in folds))
    rows = [
        [
            text(s["start"]),
            text("yes" if s["augmentation"] else "no"),
            _coefficient(s["scaling_coef"], is_recipe(selection["chosen"], s)),
            percent(s["wer"]),
            whole(s["errors"]),
            whole(s["words"]),
            *(percent(s["per_fold"].get(fold)) for fold in folds),
        ]
        for s in selection["scores"]
    ]
    columns = [*texts("start", "augmented"), *numeric(*titles)]
    return table("recipes", "Recipes tried on source domains, best first", columns, rows)


def _coefficient(value: float, chosen: bool) -> Cell:
    return Cell(f"{value:g}", number=value, mark="chosen" if chosen else "")


def recipe_curves(report: Row) -> Iterator[tuple[str, list[float | None]]]:
    """Each start and augmentation with its pooled WER over the coefficients that were tried with any."""
    scores = report["selection"]["scores"]
    coefs = sorted({s["scaling_coef"] for s in scores})
    rates = {(s["start"], s["augmentation"], s["scaling_coef"]): s["wer"] for s in scores}
    for start, augmentation in dict.fromkeys((s["start"], s["augmentation"]) for s in scores):
        yield recipe_name(start, augmentation), [rates.get((start, augmentation, coef)) for coef in coefs]


def curve_table(report: Row) -> Table | None:
    """The target's own curve in numbers, each coefficient against the same start without the vector."""
    columns = (
        *numeric("coefficient", "WER %"),
        Column("interval", True, tuple(f"WER % {end}" for end in _SPAN)),
        Column("errors", True),
        *difference_columns(hint="from the same start without the vector, in points", verdict="the vector is"),
    )
    rows = [
        [
            Cell(
                f"{s['scaling_coef']:g}",
                s["scaling_coef"],
                mark="chosen" if is_chosen(report["selection"], s["scaling_coef"]) else "",
            ),
            percent(s["wer"]),
            percent_span(s["ci_low"], s["ci_high"]),
            whole(s["errors"]),
            *difference_cells(s["against_zero"]),
        ]
        for s in report["target_curve"]
    ]
    return table("target-curve", "The target's curve, scored after the choice", columns, rows)


def breakdown_parts(report: Row) -> Iterator[tuple[list[BarPanel], Table]]:
    """Small multiples (by domain) and table of each breakdown."""
    words = {"domain": "by domain", "speaker": "by speaker", "length": "by length of sentence"}
    for number, part in enumerate(report["breakdowns"]):
        title = f"{set_title(part)}, {words[part['dimension']]}"
        made = table(f"groups-{number}", title, _group_columns(part), [_group_cells(g, part) for g in part["groups"]])
        if made is not None:
            drawn = part["dimension"] == "domain" or (part["dimension"], part["role"]) == ("length", "target")
            yield group_panels(part) if drawn else [], made


def _group_columns(part: Row) -> list[Column]:
    group = part["groups"][0]
    columns = [Column(part["dimension"], priority=0), *numeric("utterances", "words")]
    columns += [
        Column(f"{display_name(name)} WER %", True, priority=1 if name in MAIN else PAGE_ONLY, stored=f"{name} WER %")
        for name in group["systems"]
    ]
    return columns + [c for rival in group["differences"] for c in difference_columns(rival, priority=PAGE_ONLY)]


def _group_cells(group: Row, part: Row) -> list[Cell]:
    # Lengths sort by size, not by the letters of "1 to 5 words".
    order = [g["group"] for g in part["groups"]].index(group["group"])
    first = Cell(group["group"], number=order if part["dimension"] == "length" else None)
    cells = [first, whole(group["utterances"]), whole(group["words"])]
    cells += [percent(rates["wer"]) for rates in group["systems"].values()]
    return cells + [cell for row in group["differences"].values() for cell in difference_cells(row)]


_TERM_COLUMNS = (
    Column("system", priority=0),
    Column("recall %", True),
    Column("bar", True, priority=PAGE_ONLY),
    Column("interval", True, tuple(f"recall % {end}" for end in _SPAN)),
    *numeric("precision %", "right", "spoken", "heard"),
    *difference_columns(hint="adapted minus this, in points; above zero adapted is better"),
)


def term_tables(report: Row) -> Iterator[tuple[Table, Table | None]]:
    """Recall by system, and by term, of each set of target recordings."""
    for number, part in enumerate(report["terms"]["sets"]):
        differences = {row["rival"]: row for row in part["differences"]}
        rows = [_term_cells(row, differences.get(row["name"])) for row in part["systems"]]
        made = table(f"terms-{number}", f"{set_title(part)}: terms by system", _TERM_COLUMNS, rows)
        if made is not None:
            yield made, _term_list(number, part)


def _term_cells(row: Row, compared: Row | None) -> list[Cell]:
    drawn = bar(row["recall"], row["ci_low"], row["ci_high"], 1.0, kind_of(row["name"]))
    *difference, verdict = difference_cells(compared)
    # Higher recall is better, so the arrows of a lower WER are turned round.
    verdict = replace(verdict, text=verdict.text.translate(str.maketrans("▼▲", "▲▼")))
    return [
        system(row["name"], mark="main" if row["name"] == ADAPTED else ""),
        percent(row["recall"]),
        Cell("", number=None if row["recall"] is None else 100 * row["recall"], bar=drawn),
        percent_span(row["ci_low"], row["ci_high"]),
        percent(row["precision"]),
        *(whole(row[key]) for key in ("right", "expected", "heard")),
        *difference,
        verdict,
    ]


def _term_list(number: int, part: Row) -> Table | None:
    names = [name for name in MAIN if any(name in row["systems"] for row in part["by_term"])]
    columns = [Column("term"), Column("spoken", True)]
    columns += [
        Column(f"{what} by {display_name(name)}", True, stored=f"{what} by {name}")
        for name in names
        for what in ("right", "heard")
    ]
    rows = [
        [
            text(row["term"]),
            whole(row["expected"]),
            *(whole(row["systems"][name][what]) for name in names for what in ("right", "heard")),
        ]
        for row in part["by_term"]
    ]
    return table(f"term-list-{number}", f"{set_title(part)}: term by term", columns, rows, most=200)


def forgetting_table(report: Row) -> Table | None:
    """Pretrained against adapted on each general set."""
    columns = [
        Column("general set"),
        *numeric("pretrained WER %", "adapted WER %"),
        *difference_columns()[:2],
        *numeric("relative"),
        Column("within the bound"),
    ]
    rows = [
        [
            text(f"{row['domain']} {row['split']}"),
            percent(row["pretrained"]),
            percent(row["adapted"]),
            point(row["difference"]),
            point_span(row["ci_low"], row["ci_high"]),
            _relative(row["relative"]),
            text("yes" if row["passed"] else "no"),
        ]
        for row in report["forgetting"]["rows"]
    ]
    return table("forgetting-table", "General speech before and after", columns, rows)


def example_table(examples: Row) -> Table | None:
    """The utterances that changed most, five each way: what was said and what both heard."""
    rows = [
        [
            text(f"{e['systems'][0]['errors']} to {e['systems'][-1]['errors']}"),
            text(e["reference"]),
            *(text(e["systems"][n]["hypothesis"].strip()) for n in (0, -1)),
        ]
        for e in (*examples["most_improved"][:5], *examples["most_worsened"][:5])
    ]
    return table("changes", "What changed most", texts("errors", "said", "pretrained heard", "adapted heard"), rows)


_RETENTION = {"words_per_minute": "words/min in {}", "other_languages": "WER % {}"}


def retention_table(rows: Sequence[Row]) -> Table | None:
    """Words heard per minute where nobody speaks, WER in other languages, and the share of valid timestamps."""
    keys = dict.fromkeys((kind, name) for row in rows for kind in _RETENTION for name in row.get(kind, {}))
    titles = (_RETENTION[kind].format(name) for kind, name in keys)
    named = [*(["target"] if rows and "target" in rows[0] else []), "system"]
    cells = [
        [
            *(system(row[column]) if column == "system" else text(row[column]) for column in named),
            *(_retained(kind, row.get(kind, {}).get(name)) for kind, name in keys),
            percent(row.get("valid_timestamps")),
        ]
        for row in rows
    ]
    columns = [*texts(*named), *numeric(*titles, "valid timestamps %")]
    return table("retention", "What else was kept", columns, cells)


def _retained(kind: str, value: float | None) -> Cell:
    return Cell(f"{value:g}", number=value) if kind == "words_per_minute" and value is not None else percent(value)
