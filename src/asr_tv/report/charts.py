"""The geometry of the page's charts: numbers to places; the templates draw them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from asr_tv.report.table import Bar

WIDTH, HEIGHT = 340, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 12, 12, 34


_TOPS = {0.01: 5, 0.02: 4, 0.05: 5, 0.1: 5, 0.15: 3, 0.2: 4, 0.3: 3, 0.4: 4, 0.5: 5, 0.6: 3, 0.8: 4, 1.0: 5, 1.2: 4}
"""Tops of a scale and the number of its ticks."""


def top_of(values: Iterable[float | None], most: float = 1.2) -> float:
    """A round top of the scale over the values; a rate beyond `most`, of a loop, is cut and flattens no other."""
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
    """A point of a line with what it says; `low` and `high` are places of its interval's ends."""

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
    """WER over scaling coefficients."""

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
    x_ticks = tuple(Tick(x(coef), f"{coef:g}") for coef in _sparse(coefs))
    steps = _TOPS.get(top, 4)
    y_ticks = tuple(Tick(y(top * n / steps), f"{100 * top * n / steps:.3g}") for n in range(steps + 1))
    return LineChart(title, description, drawn, x_ticks, y_ticks)


def _sparse(values: Sequence[float], most: int = 8) -> Sequence[float]:
    step = -(-len(values) // most)
    return values[::step]


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


def time_strip(stages: Sequence[tuple[str, str, bool, float]]) -> tuple[Slice, ...]:
    """Stages (kind, label, cached, seconds) one after the other, as wide as the time they took when executed."""
    total = sum(seconds for *_, seconds in stages)
    slices, start = [], 0.0
    for kind, label, cached, seconds in stages:
        width = seconds / total if total else 0.0
        if width >= 0.0005:
            slices.append(Slice(start, width, kind, cached, label))
        start += width
    return tuple(slices)
