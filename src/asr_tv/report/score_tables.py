"""Tables and charts of scores, from report.json: WER, coefficient, groups, terms, examples, forgetting, retention."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from asr_tv.report.charts import (
    NOTHING_KNOWN,
    BarPanel,
    bar,
    group_panels,
    is_chosen,
    is_recipe,
    kind_of,
    recipe_name,
    top_of,
)
from asr_tv.report.systems import ADAPTED, MAIN, display_name, rate_name
from asr_tv.report.table import (
    PAGE_ONLY,
    Cell,
    Field,
    Table,
    at,
    build,
    count,
    difference,
    difference_cells,
    field,
    interval,
    number,
    percent,
    rate,
    system,
    text,
    words,
)
from asr_tv.report.verdict import set_of

Row = Mapping[str, Any]


def set_title(row: Row) -> str:
    """What a set of recordings is to the run, in words."""
    named = {"target": "Target domain", "source": "Source domains", "general": "General speech"}[row["role"]]
    return f"{named}: {row['domain']}" if row["domain"] not in ("general", "all domains") else named


def wer_tables(report: Row) -> Iterator[Table]:
    """The systems of each set of recordings, each with what adapted gained over it."""
    sets: dict[tuple[str, str, str], list[Row]] = {}
    for row in report["systems"]:
        sets.setdefault(set_of(row), []).append(row)
    for n, (key, rows) in enumerate(sets.items()):
        compared = {row["rival"]: row for row in report["comparison"] if set_of(row) == key}
        made = build(f"wer-{n}", set_title(rows[0]), rows, _wer_fields(rows, compared), note=_size(rows))
        if made is not None:
            yield made


def _wer_fields(rows: Sequence[Row], compared: Mapping[str, Row]) -> list[Field]:
    # Reports of version 1 know no raw WER, loops or matched pairs.
    top, rates = top_of(value for row in rows for value in (row["ci_high"], row["wer"])), rate_name(rows)

    def versus(row: Row) -> Row | None:
        return compared.get(row["name"])

    return [
        _system_field(),
        field(f"{rates} %", _wer_or_note, numeric=True, priority=0),
        _bar_field("wer", top),
        interval(f"{rates} %"),
        *difference(versus, hint="adapted minus this, in points; below zero adapted is better"),
        field("relative", lambda row: _relative(versus(row)), numeric=True, priority=2),
        field("p", lambda row: _p(at("p")(versus(row))), numeric=True, priority=2),
        field("p, matched pairs", lambda row: _p(at("matched_pairs", "p")(versus(row))), numeric=True, priority=2),
        *([rate("CER %", "cer", priority=2)] if rates == "WER" else []),
        rate("raw WER %", "raw_wer", priority=2, hint="of the texts as written: case and punctuation count"),
        *(count(title, priority=2) for title in ("substitutions", "deletions", "insertions")),
        count("loops", priority=2, hint="compresses beyond 2.4, or four words more than five times"),
        field("audio context", lambda row: text(audio_context(row)), priority=2),
        field("target recordings", lambda row: text("no" if row["text_only"] else "yes, declared"), priority=2),
    ]


def _system_field() -> Field:
    def cell(row: Row) -> Cell:
        return system(row["name"], row.get("scaling_coef"), mark="main" if row["name"] == ADAPTED else "")

    return field("system", cell, priority=0)


def _wer_or_note(row: Row) -> Cell:
    return percent(row["wer"]) if row["wer"] is not None else text(row["note"] or "undefined")


def _bar_field(key: str, top: float) -> Field:
    def cell(row: Row) -> Cell:
        drawn = bar(row[key], row["ci_low"], row["ci_high"], top, kind_of(row["name"]))
        return Cell("", number=percent(row[key]).number, bar=drawn)

    return field("bar", cell, numeric=True, priority=PAGE_ONLY)


def _size(rows: Sequence[Row]) -> str:
    scored = next((row for row in rows if row["wer"] is not None), None)
    if scored is None:
        return rows[0]["note"] or "not scored"
    line = scored["conditions"].get("simulated_line")
    counts = [f"{scored[key]} {key}" for key in ("utterances", "words", "sentences")]
    unit = ["each character counted as a word"] if rate_name([scored]) == "CER" else []
    return ", ".join([scored["split"], *counts, *unit, *([f"simulated line: {line}"] if line else [])])


def _relative(row: Row | None) -> Cell:
    value = None if row is None else row["relative"]
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
    rates = rate_name(report["systems"])
    fields = [
        words("start"),
        field("augmented", lambda s: text("yes" if s["augmentation"] else "no")),
        _coefficient_field(lambda s: is_recipe(selection["chosen"], s)),
        rate(f"{rates} %", "wer"),
        count("errors"),
        count("words"),
        *(rate(f"{rates} % {fold}", "per_fold", fold) for fold in folds),
    ]
    return build("recipes", "Recipes tried on source domains, best first", selection["scores"], fields)


def _coefficient_field(is_chosen: Callable[[Row], bool]) -> Field:
    def cell(row: Row) -> Cell:
        return Cell(f"{row['scaling_coef']:g}", row["scaling_coef"], mark="chosen" if is_chosen(row) else "")

    return field("coefficient", cell, numeric=True)


def recipe_curves(report: Row) -> Iterator[tuple[str, list[float | None]]]:
    """Each start and augmentation with its pooled WER over the coefficients that were tried with any."""
    scores = report["selection"]["scores"]
    coefs = sorted({s["scaling_coef"] for s in scores})
    rates = {(s["start"], s["augmentation"], s["scaling_coef"]): s["wer"] for s in scores}
    for start, augmentation in dict.fromkeys((s["start"], s["augmentation"]) for s in scores):
        yield recipe_name(start, augmentation), [rates.get((start, augmentation, coef)) for coef in coefs]


def curve_table(report: Row) -> Table | None:
    """The target's own curve in numbers, each coefficient against the same start without the vector."""
    hint, rates = "from the same start without the vector, in points", rate_name(report["systems"])
    fields = [
        _coefficient_field(lambda s: is_chosen(report["selection"], s["scaling_coef"])),
        rate(f"{rates} %", "wer"),
        interval(f"{rates} %"),
        count("errors"),
        *difference(at("against_zero"), hint=hint, verdict="the vector is"),
    ]
    return build("target-curve", "The target's curve, scored after the choice", report["target_curve"], fields)


def breakdown_parts(report: Row) -> Iterator[tuple[list[BarPanel], Table]]:
    """Small multiples (by domain) and table of each breakdown."""
    by = {"domain": "by domain", "speaker": "by speaker", "length": "by length of sentence"}
    for n, part in enumerate(report["breakdowns"]):
        title = f"{set_title(part)}, {by[part['dimension']]}"
        made = build(f"groups-{n}", title, part["groups"], _group_fields(part, rate_name(report["systems"])))
        if made is not None:
            drawn = part["dimension"] == "domain" or (part["dimension"], part["role"]) == ("length", "target")
            yield group_panels(part) if drawn else [], made


def _group_fields(part: Row, rates: str) -> list[Field]:
    first = part["groups"][0]
    # Lengths sort by size, not by the letters of "11 to 20 words".
    order = {g["group"]: n for n, g in enumerate(part["groups"])} if part["dimension"] == "length" else {}
    fields = [
        field(part["dimension"], lambda g: Cell(g["group"], number=order.get(g["group"])), priority=0),
        count("utterances"),
        count("words"),
    ]
    for name in first["systems"]:
        title, stored = (f"{shown} {rates} %" for shown in (display_name(name), name))
        priority = 1 if name in MAIN else PAGE_ONLY
        fields.append(rate(title, "systems", name, "wer", priority=priority, stored=stored))
    for rival in first["differences"]:
        fields += difference(at("differences", rival), rival, priority=PAGE_ONLY)
    return fields


def term_tables(report: Row) -> Iterator[tuple[Table, Table | None]]:
    """Recall by system, and by term, of each set of target recordings."""
    for n, part in enumerate(report["terms"]["sets"]):
        made = build(f"terms-{n}", f"{set_title(part)}: terms by system", part["systems"], _term_fields(part))
        if made is not None:
            yield made, _term_list(n, part)


def _term_fields(part: Row) -> list[Field]:
    compared = {row["rival"]: row for row in part["differences"]}
    hint = "adapted minus this, in points; above zero adapted is better"
    return [
        _system_field(),
        rate("recall %", "recall"),
        _bar_field("recall", 1.0),
        interval("recall %"),
        rate("precision %", "precision"),
        count("right"),
        count("spoken", "expected"),
        count("heard"),
        *difference(lambda row: compared.get(row["name"]), hint=hint, cells=_recall_difference),
    ]


def _recall_difference(row: Row | None) -> Sequence[Cell]:
    # Higher recall is better, so the arrows point the other way than for WER.
    *rest, verdict = difference_cells(row)
    return [*rest, replace(verdict, text=verdict.text.translate(str.maketrans("▼▲", "▲▼")))]


def _term_list(n: int, part: Row) -> Table | None:
    fields = [words("term"), count("spoken", "expected")]
    for name in MAIN:
        if any(name in row["systems"] for row in part["by_term"]):
            for what in ("right", "heard"):
                title, stored = (f"{what} by {shown}" for shown in (display_name(name), name))
                fields.append(count(title, "systems", name, what, stored=stored))
    return build(f"term-list-{n}", f"{set_title(part)}: term by term", part["by_term"], fields, most=200)


def forgetting_table(report: Row) -> Table | None:
    """Pretrained against adapted on each general set."""
    rates = rate_name(report["systems"])
    fields = [
        field("general set", lambda row: text(f"{row['domain']} {row['split']}")),
        rate(f"pretrained {rates} %", "pretrained"),
        rate(f"adapted {rates} %", "adapted"),
        *difference(lambda row: {**row, "verdict": ""})[:2],
        field("relative", _relative, numeric=True),
        field("within the bound", lambda row: text("yes" if row["passed"] else "no")),
    ]
    return build("forgetting-table", "General speech before and after", report["forgetting"]["rows"], fields)


def kept_table(report: Row) -> Table | None:
    """What each share of the pretrained weights keeps of general speech, and costs on the target."""
    chosen, rates = report["selection"]["chosen"], rate_name(report["systems"])
    fields = [
        words("start"),
        field("coefficient", lambda r: text(f"{r['scaling_coef']:g}"), numeric=True),
        field(
            "pretrained weights",
            lambda r: Cell(
                f"{100 * r['pretrained_weight']:g} %",
                r["pretrained_weight"],
                mark="chosen" if is_recipe(chosen, r) and r["pretrained_weight"] == chosen["pretrained_weight"] else "",
            ),
            numeric=True,
        ),
        rate(f"general dev {rates} %", "general"),
        rate(f"target {rates} %", "target", hint="scored after the choice"),
    ]
    return build(
        "kept", "The choice within the bound", report["forgetting"].get("dev", NOTHING_KNOWN)["recipes"], fields
    )


def example_table(examples: Row) -> Table | None:
    """The utterances that changed most, five each way: what was said and what both heard."""
    fields = [
        field("errors", lambda e: text(f"{e['systems'][0]['errors']} to {e['systems'][-1]['errors']}")),
        words("said", "reference"),
        field("pretrained heard", lambda e: text(e["systems"][0]["hypothesis"].strip())),
        field("adapted heard", lambda e: text(e["systems"][-1]["hypothesis"].strip())),
    ]
    shown = [*examples["most_improved"][:5], *examples["most_worsened"][:5]]
    return build("changes", "What changed most", shown, fields)


def retention_table(rows: Sequence[Row]) -> Table | None:
    """Words heard per minute where nobody speaks, WER in other languages, and the share of valid timestamps."""
    fields = [words("target")] if rows and "target" in rows[0] else []
    fields.append(field("system", lambda row: system(row["system"])))
    for make, kind, title in (
        (number, "words_per_minute", "words/min in {}"),
        (number, "loops", "loops in {}"),
        (rate, "other_languages", "WER % {}"),
    ):
        names = dict.fromkeys(name for row in rows for name in row.get(kind, {}))
        fields += [make(title.format(name), kind, name) for name in names]
    fields.append(rate("valid timestamps %", "valid_timestamps"))
    return build("retention", "What else was kept", rows, fields)
