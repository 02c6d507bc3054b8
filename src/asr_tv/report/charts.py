"""The page's charts: from report.json to places on them; the templates draw them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asr_tv.report.systems import ADAPTED, ADAPTED_SHORT, MAIN, PRETRAINED, display_name, rate_name
from asr_tv.report.table import Bar, signed
from asr_tv.safe_text import counted

Row = Mapping[str, Any]

WIDTH, HEIGHT = 340, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 12, 12, 34

_TOPS = {0.01: 5, 0.02: 4, 0.05: 5, 0.1: 5, 0.15: 3, 0.2: 4, 0.3: 3, 0.4: 4, 0.5: 5, 0.6: 3, 0.8: 4, 1.0: 5, 1.2: 4}
"""Tops of a scale and the number of its ticks."""


def top_of(values: Iterable[float | None], most: float = 1.2) -> float:
    """A round top for a scale over the values; a rate beyond `most`, as loops have, is cut and flattens no other."""
    known = [value for value in values if value is not None]
    highest = min(max(known, default=0.0), most)
    return next((step for step in _TOPS if step >= highest), most)


def bar(value: float | None, low: float | None, high: float | None, top: float, kind: str) -> Bar | None:
    """A bar on the scale from 0 to `top`."""
    if value is None:
        return None
    cut = [None if end is None else min(1.0, max(0.0, end / top)) for end in (value, low, high)]
    return Bar(cut[0] or 0.0, cut[1], cut[2], kind)


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a line with its label; `low` and `high` are the places of its interval's ends."""

    x: float
    y: float
    label: str
    low: float | None = None
    high: float | None = None
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its number among the page's patterns."""

    name: str
    pattern: int
    points: tuple[Point, ...]

    @property
    def path(self) -> str:
        return " ".join(f"{'L' if number else 'M'}{p.x:.1f},{p.y:.1f}" for number, p in enumerate(self.points))


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis and its text."""

    place: float
    label: str


@dataclass(frozen=True)
class LineChart:
    """WER over what the x axis is; `bound` is the place of a limit on it."""

    title: str
    description: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM
    top: int = _TOP
    x_label: str = "scaling coefficient"
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A value at a coefficient, with its interval where there is one."""

    coef: float
    wer: float
    low: float | None = None
    high: float | None = None
    chosen: bool = False


def line_chart(title: str, lines: Sequence[tuple[str, int, Sequence[Measured]]], top: float) -> LineChart | None:
    """Lines (name, pattern, values) over the coefficients they share; None without a value."""
    coefs = sorted({m.coef for _, _, values in lines for m in values})
    if not coefs:
        return None
    low, spread = coefs[0], (coefs[-1] - coefs[0]) or 1.0

    def x(coef: float) -> float:
        inner = WIDTH - _LEFT - _RIGHT - 16
        return _LEFT + 8 + inner * ((coef - low) / spread if len(coefs) > 1 else 0.5)

    def y(wer: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * min(1.0, wer / top)

    def placed(m: Measured) -> Point:
        low_end, high_end = (None if end is None else y(end) for end in (m.low, m.high))
        return Point(x(m.coef), y(m.wer), f"c = {m.coef:g}: {100 * m.wer:.1f} %", low_end, high_end, m.chosen)

    drawn = tuple(Line(name, pattern, tuple(map(placed, values))) for name, pattern, values in lines if values)
    description = "; ".join(f"{line.name}: {', '.join(p.label for p in line.points)}" for line in drawn)
    x_ticks = tuple(Tick(x(coef), f"{coef:g}") for coef in coefs[:: -(-len(coefs) // 8)])  # at most 8
    return LineChart(title, description, drawn, x_ticks, _ticks(top, y))


@dataclass(frozen=True)
class BarPanel:
    """A few named bars on one scale: a small multiple. `bound` is the place of a limit, `note` stands below."""

    title: str
    rows: tuple[tuple[str, Bar | None, str], ...]
    note: str = ""
    bound: float | None = None
    bound_label: str = ""

    @property
    def description(self) -> str:
        return "; ".join(f"{name} {said}" for name, _, said in self.rows)


@dataclass(frozen=True, slots=True)
class Slice:
    """A stage's part of the time strip, in shares of its width."""

    start: float
    width: float
    kind: str
    cached: bool
    label: str


def time_strip(stages: Sequence[Row]) -> tuple[Slice, ...]:
    """A report's stages one after the other, as wide as the time each took when it was executed."""
    total = sum(stage["seconds"] for stage in stages)
    slices, start = [], 0.0
    for stage in stages:
        width = stage["seconds"] / total if total else 0.0
        if width >= 0.0005:
            slices.append(Slice(start, width, stage["name"], stage["state"] == "cached", stage["label"]))
        start += width
    return tuple(slices)


def kind_of(name: str) -> str:
    """How a system's bar is drawn: the adapted model, the model it started from, and all others."""
    return {ADAPTED: "adapted", ADAPTED_SHORT: "adapted", PRETRAINED: "start"}.get(name, "rival")


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
        Measured(s["scaling_coef"], s["wer"], s["ci_low"], s["ci_high"], is_chosen(selection, s["scaling_coef"]))
        for s in curve
        if s["wer"] is not None
    ]
    charts.append(line_chart("Target, scored after the choice", [("target", 0, points)], top))
    return [chart for chart in charts if chart is not None]


NOTHING_KNOWN: Row = {"pretrained": None, "within": None, "recipes": []}
"""Of general dev recordings, in the reports of versions that had none."""


def frontier_chart(report: Row) -> LineChart | None:
    """WER on the target over WER on general speech, by share of the pretrained weights; the bound is a line.

    None where the choice looked at no general recordings, or the target has none.
    """
    dev = report["forgetting"].get("dev", NOTHING_KNOWN)
    points = [r for r in dev["recipes"] if r["target"] is not None and r["general"] is not None]
    before = next((s["wer"] for s in report["systems"] if s["name"] == PRETRAINED and s["role"] == "target"), None)
    if not points or before is None or dev["pretrained"] is None:
        return None
    limit = dev["pretrained"] * (1 + report["forgetting"]["bound"])
    right = top_of([limit, dev["pretrained"], *(r["general"] for r in points)])
    top = top_of([before, *(r["target"] for r in points)])

    def x(rate: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * min(1.0, rate / right)

    def y(rate: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * min(1.0, rate / top)

    def point(name: str, general: float, target: float, *, chosen: bool = False) -> Point:
        label = f"{name}: general {100 * general:.1f} %, target {100 * target:.1f} %"
        return Point(x(general), y(target), label, chosen=chosen)

    chosen = (report["selection"]["chosen"] or {}).get("pretrained_weight")
    mixed = tuple(
        point(
            f"{r['pretrained_weight']:g} pretrained", r["general"], r["target"], chosen=r["pretrained_weight"] == chosen
        )
        for r in points
    )
    start = point(PRETRAINED, dev["pretrained"], before)
    lines = (Line("adapted, by share of the pretrained weights", 0, mixed), Line(PRETRAINED, 1, (start,)))
    description = "; ".join(p.label for p in (*mixed, start))
    x_ticks, y_ticks = _ticks(right, x), _ticks(top, y)
    title = "What the target gains and general speech loses"
    x_label = f"general dev {rate_name(report['systems'])} %; the line is the bound"
    return LineChart(title, description, lines, x_ticks, y_ticks, x_label=x_label, bound=x(limit))


def _ticks(top: float, place: Callable[[float], float]) -> tuple[Tick, ...]:
    steps = _TOPS.get(top, 4)
    return tuple(Tick(place(top * n / steps), f"{100 * top * n / steps:.3g}") for n in range(steps + 1))


def is_chosen(selection: Row, coef: float) -> bool:
    """Whether the chosen recipe has this coefficient."""
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
            Measured(s["scaling_coef"], wer, chosen=is_recipe(selection["chosen"], s))
            for s in sorted(scores, key=lambda s: s["scaling_coef"])
            if (wer := wer_of(s)) is not None
        ]
        lines.append((recipe_name(start, augmentation), number, points))
    return lines


def is_recipe(chosen: Row | None, score: Row) -> bool:
    """Whether a score is of the chosen recipe."""
    return chosen is not None and all(chosen[key] == score[key] for key in ("start", "augmentation", "scaling_coef"))


def group_panels(part: Row) -> list[BarPanel]:
    """One panel of main systems per group of a breakdown."""
    rows = [(g, [n for n in MAIN if n in g["systems"]]) for g in part["groups"]]
    top = top_of(v for g, names in rows for n in names for v in (g["systems"][n]["wer"], g["systems"][n]["ci_high"]))
    return [
        BarPanel(g["group"], tuple(_bar_row(n, g["systems"][n], top) for n in names), _sized(g)) for g, names in rows
    ]


def _sized(group: Row) -> str:
    return f"{counted(group['utterances'], 'utterance')}, {counted(group['words'], 'word')}"


def _bar_row(name: str, rates: Row, top: float) -> tuple[str, Bar | None, str]:
    shown = "–" if rates["wer"] is None else f"{100 * rates['wer']:.1f} %"
    return display_name(name), bar(rates["wer"], rates["ci_low"], rates["ci_high"], top, kind_of(name)), shown


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
