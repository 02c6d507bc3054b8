"""How synthetic speech differs from real: a table with each line's setting, and small histograms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asr_tv.report.table import Cell, Field, Table, build, field, plain, text, with_ends
from asr_tv.safe_text import counted

Row = Mapping[str, Any]

UNITS = {
    "duration": ("duration", "s", ".2f"),
    "speech_seconds": ("speech", "s", ".2f"),
    "words_a_second": ("words a second", "/s", ".2f"),
    "letters_a_second": ("letters a second", "/s", ".1f"),
    "level_dbfs": ("level", "dBFS", ".1f"),
    "snr_db": ("signal-to-noise ratio", "dB", ".1f"),
    "f0_hz": ("pitch", "Hz", ".0f"),
    "f0_semitones": ("spread of pitch", "semitones", ".1f"),
    "bandwidth_hz": ("99 % bandwidth", "Hz", ".0f"),
    "band_edge_hz": ("upper end of the band", "Hz", ".0f"),
    "edge_silence": ("silence at the ends", "s", ".2f"),
}
"""Attribute -> what people call it, its unit, and how it is written."""
_DRAWN = (
    "letters_a_second",
    "f0_hz",
    "band_edge_hz",
    "bandwidth_hz",
    "level_dbfs",
    "snr_db",
    "f0_semitones",
    "edge_silence",
)
WIDTH, HEIGHT, _MIDDLE = 240, 92, 38


def likeness_note(part: Row) -> str:
    """What was compared."""
    clips = part["clips"]
    pairs = max((row["sentences"] or 0 for row in part["rows"]), default=0)
    same = f", {counted(pairs, 'sentence')} of both" if pairs else ""
    return (
        f"{counted(clips['real'], 'recording')} against {counted(clips['synthetic'], 'synthetic clip')}{same}. "
        "P is the chance that a recording has more of it than a clip; 50 % is alike. A change is suggested beyond "
        "30 to 70 %. What cannot be known of a clip, such as the noise of a recording without pauses, is left out."
    )


def _setting(row: Row) -> str:
    """What moves the attribute, with the value suggested for it."""
    knob, suggestion = row["knob"] or "", row["suggestion"] or ""
    if not suggestion:
        return knob
    return suggestion if suggestion.startswith(knob) else f"{knob}: {suggestion}"


def likeness_table(part: Row) -> Table | None:
    """A line an attribute: quartiles of both, the KS distance, P(real > synthetic) with its interval, the setting."""
    fields: list[Field] = [
        field("attribute", lambda row: text(_named(row)), priority=0),
        field("real", lambda row: _median(row, "real"), numeric=True, priority=0, more=_ends("real")),
        field("synthetic", lambda row: _median(row, "synthetic"), numeric=True, priority=0, more=_ends("synthetic")),
        field("KS", lambda row: plain(row["ks"], ".2f"), numeric=True),
        field("P(real > synthetic) %", _chance, numeric=True, priority=0, more=("P", "P low", "P high")),
        field("known", _known, priority=3),
        field("setting", lambda row: text(_setting(row)), priority=0),
    ]
    return build("likeness", "Measured of recordings and of synthetic clips", part["rows"], fields)


def _ends(name: str) -> tuple[str, ...]:
    return tuple(f"{name} {end}" for end in ("lower quartile", "median", "upper quartile"))


def _named(row: Row) -> str:
    name, unit, _ = UNITS[row["attribute"]]
    return f"{name}, {unit}"


def _median(row: Row, side: str) -> Cell:
    """The median with the quartiles around it."""
    found, form = row[side], UNITS[row["attribute"]][2]
    if found is None:
        return Cell("unknown", more=(None, None, None))
    low, middle, high = found
    return Cell(f"{middle:{form}} ({low:{form}} to {high:{form}})", number=middle, more=(low, middle, high))


def _chance(row: Row) -> Cell:
    return with_ends(row, "probability", ".0f", scale=100, unknown="unknown")


def _known(row: Row) -> Cell:
    (real, synthetic), (all_real, all_synthetic) = row["known"], row["of"]
    return text(f"{real} of {all_real}, {synthetic} of {all_synthetic}")


@dataclass(frozen=True, slots=True)
class HistogramBar:
    """A bar of a histogram: its left edge, its width, its upper edge and its height."""

    x: float
    width: float
    y: float
    height: float


@dataclass(frozen=True)
class HistogramPanel:
    """Real above a line, synthetic below it, on one scale; `marks` are the places of the two medians."""

    title: str
    description: str
    real: tuple[HistogramBar, ...]
    synthetic: tuple[HistogramBar, ...]
    marks: tuple[float, float]
    ends: tuple[str, str]
    note: str
    width: int = WIDTH
    height: int = HEIGHT
    middle: int = _MIDDLE


def histogram_panels(part: Row) -> list[HistogramPanel]:
    """A panel for each attribute that a setting moves, where it is known of both sides."""
    rows = {row["attribute"]: row for row in part["rows"] if row["histogram"] is not None}
    return [_panel(rows[name]) for name in _DRAWN if name in rows]


def _panel(row: Row) -> HistogramPanel:
    name, unit, form = UNITS[row["attribute"]]
    bins = row["histogram"]
    low, high = float(bins["low"]), float(bins["high"])
    top = max(*bins["real"], *bins["synthetic"])

    def place(value: float) -> float:
        return WIDTH * min(1.0, max(0.0, (value - low) / (high - low)))

    medians = row["real"][1], row["synthetic"][1]
    said = f"real {medians[0]:{form}} {unit}, synthetic {medians[1]:{form}} {unit}"
    return HistogramPanel(
        title=f"{name[0].upper()}{name[1:]}",
        description=f"medians: {said}",
        real=_columns(bins["real"], top, up=True),
        synthetic=_columns(bins["synthetic"], top, up=False),
        marks=(place(medians[0]), place(medians[1])),
        ends=(f"{low:{form}}", f"{high:{form}} {unit}"),
        note=f"{said}{'; ' if row['suggestion'] else ''}{row['suggestion'] or ''}",
    )


def _columns(shares: Sequence[float], top: float, *, up: bool) -> tuple[HistogramBar, ...]:
    width, room = WIDTH / len(shares), _MIDDLE - 4
    heights = [room * share / top for share in shares]
    return tuple(
        HistogramBar(n * width + 0.5, width - 1, _MIDDLE - 1 - height if up else _MIDDLE + 1, height)
        for n, height in enumerate(heights)
        if height
    )
