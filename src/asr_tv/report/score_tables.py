"""The page's tables and charts of scores: WER, coefficient, domains, terms, forgetting."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from asr_tv.report.charts import BarPanel, LineChart, Measured, bar, line_chart, top_of
from asr_tv.report.systems import ADAPTED, ADAPTED_AT_30_S, BASELINE, PRETRAINED
from asr_tv.report.table import (
    Bar,
    Cell,
    Column,
    Table,
    judged,
    percent,
    percent_span,
    point,
    point_span,
    signed,
    table,
    text,
    whole,
)
from asr_tv.report.verdict import set_of

Row = Mapping[str, Any]

MAIN = (PRETRAINED, BASELINE, ADAPTED)
_SPAN = ("low", "high")


def kind_of(name: str) -> str:
    """How a system's bar is drawn: the adapted model, the model it started from, and all others."""
    return {ADAPTED: "adapted", ADAPTED_AT_30_S: "adapted", PRETRAINED: "start"}.get(name, "rival")


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
    Column("system"),
    Column("WER %", numeric=True),
    Column("bar", numeric=True),
    Column("interval", numeric=True, more=tuple(f"WER % {end}" for end in _SPAN)),
    Column("difference", numeric=True, hint="adapted minus this, in points; below zero adapted is better"),
    Column("its interval", numeric=True, more=tuple(f"difference {end}" for end in _SPAN)),
    Column("adapted is"),
    Column("p, matched pairs", numeric=True),
    Column("CER %", numeric=True),
    Column("raw WER %", numeric=True, hint="of the texts as written: case and punctuation count"),
    Column("substitutions", numeric=True),
    Column("deletions", numeric=True),
    Column("insertions", numeric=True),
    Column("loops", numeric=True, hint="compresses beyond 2.4, or four words more than five times"),
    Column("audio context"),
    Column("target recordings"),
)


def wer_tables(report: Row) -> Iterator[tuple[str, str, Table]]:
    """Title, size and table of each set of recordings."""
    for number, (key, rows) in enumerate(_by_set(report["systems"]).items()):
        compared = {row["rival"]: row for row in report["comparison"] if set_of(row) == key}
        top = top_of(value for row in rows for value in (row["ci_high"], row["wer"]))
        cells = [_wer_cells(row, compared.get(row["name"]), top) for row in rows]
        made = table(f"wer-{number}", f"{set_title(rows[0])}: word error rates", _WER_COLUMNS, cells)
        if made is not None:
            yield set_title(rows[0]), _size(rows), made


def _size(rows: Sequence[Row]) -> str:
    scored = next((row for row in rows if row["wer"] is not None), None)
    if scored is None:
        return rows[0]["note"] or "not scored"
    line = scored["conditions"].get("simulated_line")
    parts = [f"{scored['utterances']} utterances", f"{scored['words']} words"]
    return ", ".join([*parts, f"{scored['sentences']} sentences", *([f"simulated line: {line}"] if line else [])])


def _wer_cells(row: Row, compared: Row | None, top: float) -> list[Cell]:
    name = row["name"] if row["scaling_coef"] is None else f"{row['name']} (c = {row['scaling_coef']:g})"
    drawn = bar(row["wer"], row["ci_low"], row["ci_high"], top, kind_of(row["name"]))
    context = row["conditions"].get("audio_context")
    return [
        text(name, mark="main" if row["name"] == ADAPTED else ""),
        percent(row["wer"]) if row["wer"] is not None or row["words"] is not None else text(row["note"]),
        Cell("", number=None if row["wer"] is None else 100 * row["wer"], bar=drawn),
        percent_span(row["ci_low"], row["ci_high"]),
        *_compared_cells(compared),
        percent(row["cer"]),
        percent(row["raw_wer"]),
        *(whole(row[key]) for key in ("substitutions", "deletions", "insertions", "loops")),
        text(f"{context:g} s" if isinstance(context, int | float) else context),
        text("no" if row["text_only"] else "yes, declared"),
    ]


def _compared_cells(row: Row | None) -> list[Cell]:
    if row is None:
        return [text(None), Cell("", more=(None, None)), text(""), text(None)]
    p = row["matched_pairs"]["p"]
    return [
        point(row["difference"]),
        point_span(row["ci_low"], row["ci_high"]),
        judged(row["verdict"]),
        text(None) if p is None else Cell("< 0.001" if p < 0.001 else f"{p:.3f}", number=p),
    ]


def curve_charts(report: Row) -> list[LineChart]:
    """WER over the coefficient: pooled over the folds, fold by fold, and on the target afterwards."""
    selection, curve = report["selection"], report["target_curve"]
    kinds = list(dict.fromkeys((s["start"], s["augmentation"]) for s in selection["scores"]))
    values = [s["wer"] for s in selection["scores"]] + [s["wer"] for s in curve]
    top = top_of([*values, *(s["ci_high"] for s in curve)])
    pooled = _fold_lines(selection, kinds, lambda score: score["wer"])
    charts = [line_chart("Source domains that played the target, pooled", pooled, top)]
    if len(selection["folds"]) > 1:
        for fold in selection["folds"]:
            lines = _fold_lines(selection, kinds, lambda score, f=fold: score["per_fold"].get(f))
            charts.append(line_chart(f"{fold} as the target", lines, top))
    points = [
        Measured(s["scaling_coef"], s["wer"], s["ci_low"], s["ci_high"], _is_chosen(selection, s["scaling_coef"]))
        for s in curve
        if s["wer"] is not None
    ]
    charts.append(line_chart("Target, scored after the choice", [("target", 0, points)], top))
    return [chart for chart in charts if chart is not None]


def _is_chosen(selection: Row, coef: float) -> bool:
    return selection["chosen"] is not None and bool(selection["chosen"]["scaling_coef"] == coef)


def recipe_name(start: str, augmentation: bool) -> str:
    """A recipe without its coefficient, in words."""
    return f"{start}, {'augmented' if augmentation else 'not augmented'}"


def _fold_lines(
    selection: Row, kinds: Sequence[tuple[str, bool]], wer_of: Any
) -> list[tuple[str, int, list[Measured]]]:
    lines = []
    for number, (start, augmentation) in enumerate(kinds):
        scores = [s for s in selection["scores"] if (s["start"], s["augmentation"]) == (start, augmentation)]
        points = [
            Measured(s["scaling_coef"], wer, chosen=_is_recipe(selection["chosen"], s))
            for s in sorted(scores, key=lambda s: s["scaling_coef"])
            if (wer := wer_of(s)) is not None
        ]
        lines.append((recipe_name(start, augmentation), number, points))
    return lines


def _is_recipe(chosen: Row | None, score: Row) -> bool:
    return chosen is not None and all(chosen[key] == score[key] for key in ("start", "augmentation", "scaling_coef"))


def recipe_table(report: Row) -> Table | None:
    """Every recipe that was tried on the folds."""
    selection = report["selection"]
    folds = selection["folds"] if len(selection["folds"]) > 1 else []
    titles = ("start", "augmented", "coefficient", "WER %", "errors", "words", *(f"WER % {fold}" for fold in folds))
    columns = [Column(title, numeric=number > 1) for number, title in enumerate(titles)]
    rows = [
        [
            text(s["start"], mark="chosen" if _is_recipe(selection["chosen"], s) else ""),
            text("yes" if s["augmentation"] else "no"),
            Cell(f"{s['scaling_coef']:g}", number=s["scaling_coef"]),
            percent(s["wer"]),
            whole(s["errors"]),
            whole(s["words"]),
            *(percent(s["per_fold"].get(fold)) for fold in folds),
        ]
        for s in selection["scores"]
    ]
    return table("recipes", "Recipes tried on source domains, best first", columns, rows)


def curve_table(report: Row) -> Table | None:
    """The target's own curve in numbers, each coefficient against none of the vector."""
    columns = (
        Column("coefficient", True),
        Column("WER %", True),
        Column("interval", True, tuple(f"WER % {end}" for end in _SPAN)),
        Column("errors", True),
        Column("difference", True, hint="from the same start without the vector, in points"),
        Column("its interval", True, tuple(f"difference {end}" for end in _SPAN)),
        Column("the vector is"),
    )
    rows = [_curve_cells(s, _is_chosen(report["selection"], s["scaling_coef"])) for s in report["target_curve"]]
    return table("target-curve", "The target's curve, scored after the choice", columns, rows)


def _curve_cells(score: Row, chosen: bool) -> list[Cell]:
    cells = [
        Cell(f"{score['scaling_coef']:g}", score["scaling_coef"], mark="chosen" if chosen else ""),
        percent(score["wer"]),
        percent_span(score["ci_low"], score["ci_high"]),
        whole(score["errors"]),
    ]
    zero = score["against_zero"]
    if zero is None:
        return [*cells, text(None), Cell("", more=(None, None)), text("")]
    return [*cells, point(zero["difference"]), point_span(zero["ci_low"], zero["ci_high"]), judged(zero["verdict"])]


def breakdown_parts(report: Row) -> Iterator[tuple[str, list[BarPanel], Table]]:
    """Title, small multiples (by domain) and table of each breakdown."""
    words = {"domain": "by domain", "speaker": "by speaker", "length": "by length of sentence"}
    for number, part in enumerate(report["breakdowns"]):
        title = f"{set_title(part)}, {words[part['dimension']]}"
        made = table(f"groups-{number}", title, _group_columns(part), [_group_cells(g, part) for g in part["groups"]])
        if made is not None:
            drawn = part["dimension"] == "domain" or (part["dimension"], part["role"]) == ("length", "target")
            yield title, _panels(part) if drawn else [], made


def _panels(part: Row) -> list[BarPanel]:
    rows = [(g, [n for n in MAIN if n in g["systems"]]) for g in part["groups"]]
    top = top_of(v for g, names in rows for n in names for v in (g["systems"][n]["wer"], g["systems"][n]["ci_high"]))
    return [
        BarPanel(g["group"], tuple(_bar_row(n, g["systems"][n], top) for n in names), _sized(g)) for g, names in rows
    ]


def _sized(group: Row) -> str:
    count = group["utterances"]
    return f"{count} utterance{'' if count == 1 else 's'}, {group['words']} words"


def _bar_row(name: str, rates: Row, top: float) -> tuple[str, Bar | None, str]:
    said = "–" if rates["wer"] is None else f"{100 * rates['wer']:.1f} %"
    return name, bar(rates["wer"], rates["ci_low"], rates["ci_high"], top, kind_of(name)), said


def _group_columns(part: Row) -> list[Column]:
    group = part["groups"][0]
    columns = [Column(part["dimension"]), Column("utterances", True), Column("words", True)]
    columns += [Column(f"{name} WER %", True) for name in group["systems"]]
    for rival in group["differences"]:
        columns += [
            Column(f"adapted minus {rival}", True),
            Column("its interval", True, (f"{rival} low", f"{rival} high")),
        ]
        columns.append(Column("adapted is"))
    return columns


def _group_cells(group: Row, part: Row) -> list[Cell]:
    order = {_: n for n, _ in enumerate(g["group"] for g in part["groups"])}
    first = (
        Cell(group["group"], mark="") if part["dimension"] != "length" else Cell(group["group"], order[group["group"]])
    )
    cells = [first, whole(group["utterances"]), whole(group["words"])]
    cells += [percent(rates["wer"]) for rates in group["systems"].values()]
    for row in group["differences"].values():
        cells += [point(row["difference"]), point_span(row["ci_low"], row["ci_high"]), judged(row["verdict"])]
    return cells


_TERM_COLUMNS = (
    Column("system"),
    Column("recall %", True),
    Column("bar", True),
    Column("interval", True, tuple(f"recall % {end}" for end in _SPAN)),
    Column("precision %", True),
    Column("right", True),
    Column("spoken", True),
    Column("heard", True),
    Column("difference", True, hint="adapted minus this, in points; above zero adapted is better"),
    Column("its interval", True, tuple(f"difference {end}" for end in _SPAN)),
    Column("adapted is"),
)


def term_tables(report: Row) -> Iterator[tuple[Table, Table | None]]:
    """Recall by system, and by term, of each set of target recordings."""
    for number, part in enumerate(report["terms"]["sets"]):
        differences = {row["rival"]: row for row in part["differences"]}
        rows = [_term_cells(row, differences.get(row["name"])) for row in part["systems"]]
        made = table(f"terms-{number}", f"{set_title(part)}: terms by system", _TERM_COLUMNS, rows)
        if made is not None:
            yield made, _term_list(number, part)


def _term_cells(row: Row, difference: Row | None) -> list[Cell]:
    drawn = bar(row["recall"], row["ci_low"], row["ci_high"], 1.0, kind_of(row["name"]))
    compared = [text(None), Cell("", more=(None, None)), text("")]
    if difference is not None:
        ends = point_span(difference["ci_low"], difference["ci_high"])
        compared = [point(difference["difference"]), ends, _judged_recall(difference["verdict"])]
    return [
        text(row["name"], mark="main" if row["name"] == ADAPTED else ""),
        percent(row["recall"]),
        Cell("", number=None if row["recall"] is None else 100 * row["recall"], bar=drawn),
        percent_span(row["ci_low"], row["ci_high"]),
        percent(row["precision"]),
        *(whole(row[key]) for key in ("right", "expected", "heard")),
        *compared,
    ]


def _judged_recall(verdict: str) -> Cell:
    cell = judged(verdict)
    return Cell(cell.text.translate(str.maketrans("▼▲", "▲▼")), mark=cell.mark)


def _term_list(number: int, part: Row) -> Table | None:
    names = [name for name in MAIN if any(name in row["systems"] for row in part["by_term"])]
    columns = [Column("term"), Column("spoken", True)]
    columns += [Column(f"{what} by {name}", True) for name in names for what in ("right", "heard")]
    rows = [
        [
            text(row["term"]),
            whole(row["expected"]),
            *(whole(row["systems"][name][what]) for name in names for what in ("right", "heard")),
        ]
        for row in part["by_term"]
    ]
    return table(f"term-list-{number}", f"{set_title(part)}: term by term", columns, rows, most=200)


def forgetting_panels(report: Row) -> list[BarPanel]:
    """Pretrained beside adapted on each general set, with the bound."""
    forgetting = report["forgetting"]
    scores = {(s["name"], s["domain"], s["split"]): s for s in report["systems"] if s["role"] == "general"}
    panels = []
    for row in forgetting["rows"]:
        pair = [(name, scores[name, row["domain"], row["split"]]) for name in (PRETRAINED, ADAPTED)]
        limit = (row["pretrained"] or 0.0) * (1 + forgetting["bound"])
        top = top_of([limit, *(s[key] for _, s in pair for key in ("wer", "ci_high"))])
        note = "" if row["difference"] is None else f"difference {signed(row['difference'])} points"
        if row["ci_low"] is not None:
            note += f", interval {signed(row['ci_low'])} to {signed(row['ci_high'])}"
        bars = tuple(_bar_row(name, s, top) for name, s in pair)
        label = f"bound {100 * limit:.1f} %"
        panels.append(BarPanel(f"{row['domain']} {row['split']}", bars, note, min(1.0, limit / top), label))
    return panels
