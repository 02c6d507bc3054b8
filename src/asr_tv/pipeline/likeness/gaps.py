"""Descriptions of two sets of clips, compared attribute by attribute, and what each difference suggests."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from asr_tv.audio.attributes import NAMES
from asr_tv.data.splits import Normalize
from asr_tv.describing.description import Description
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.gap import Gap, Value, compare_attribute

KNOBS = {
    "letters_a_second": "synthesis.length_scale",
    "words_a_second": "synthesis.length_scale",
    "level_dbfs": "synthesis.gain_db",
    "snr_db": "augmentation.snr_db",
    "f0_hz": "synthesis.voices",
    "f0_semitones": "synthesis.voices",
    "bandwidth_hz": "synthesis.voices",
    "band_edge_hz": "synthesis.high_hz",
    "edge_silence": "augmentation.silence_seconds",
}
"""Attribute -> the setting that moves it; durations follow from the others."""
_HERTZ = 100.0
"""To which an upper end of a band is rounded."""
_NEAR_SEMITONES = 3.0
"""A voice farther than this from the real one's median pitch is no match for it."""
_TAILS = (0.1, 0.9)


@dataclass(frozen=True)
class Suggestion:
    """A change that would bring the synthetic clips nearer, as a setting and its value, or in words."""

    attribute: str
    knob: str
    text: str
    value: float | tuple[float, float] | None = None


def gaps_between(
    real: Sequence[Description], synthetic: Sequence[Description], normalize: Normalize, bootstrap: Bootstrap
) -> tuple[Gap, ...]:
    """A gap for each attribute; clips are of one sentence where their texts are equal after normalisation."""
    of = len(real), len(synthetic)
    sides = {name: (values(real, name, normalize), values(synthetic, name, normalize)) for name in NAMES}
    return tuple(compare_attribute(name, *both, of, bootstrap) for name, both in sides.items())


def values(described: Sequence[Description], name: str, normalize: Normalize) -> list[Value]:
    """What is known of one attribute."""
    known = ((d.text, getattr(d.attributes, name)) for d in described)
    return [Value(normalize(text), value) for text, value in known if value is not None]


def suggestions(gaps: Sequence[Gap], real: Sequence[Description], pitches: dict[str, float]) -> dict[str, Suggestion]:
    """Attribute -> what to change, where P(real > synthetic) is outside 0.3 to 0.7 and there is something to change.

    Args:
        pitches: median pitch in Hz of each voice of the run.
    """
    found: dict[str, Suggestion] = {}
    for gap in gaps:
        if gap.differs and (suggestion := _suggest(gap, real, pitches)) is not None:
            found[gap.attribute] = suggestion
    return found


def _suggest(gap: Gap, real: Sequence[Description], pitches: dict[str, float]) -> Suggestion | None:
    assert gap.real is not None  # nosec B101 - it differs
    assert gap.synthetic is not None  # nosec B101
    name, knob = gap.attribute, KNOBS.get(gap.attribute, "")
    wanted, made = gap.real.median, gap.synthetic.median
    if name == "letters_a_second":
        ratio = round(made / wanted, 3)
        return Suggestion(name, knob, f"{knob} × {ratio:.2f}", ratio)
    if name == "level_dbfs":
        gain = round(wanted - made, 1)
        return Suggestion(name, knob, f"{knob} {gain:+.1f}", gain)
    if name == "band_edge_hz" and wanted < made:
        edge = round(wanted / _HERTZ) * _HERTZ
        return Suggestion(name, knob, f"{knob} {edge:.0f}", edge)
    if name == "snr_db" and (noise := snr_range(real)) is not None:
        return Suggestion(name, knob, f"{knob} [{noise[0]:g}, {noise[1]:g}]", noise)
    if name == "f0_hz":
        return Suggestion(name, knob, _voice(wanted, pitches))
    return None


def snr_range(real: Sequence[Description]) -> tuple[float, float] | None:
    """From the 10th to the 90th percentile of the known signal-to-noise ratios; None where most are not known.

    A recording without noise, or without a pause to hear it in, has none that is known.
    """
    known = [d.attributes.snr_db for d in real if d.attributes.snr_db is not None]
    if 2 * len(known) <= len(real):
        return None
    low, high = np.quantile(known, _TAILS)
    return round(float(low), 1), round(float(high), 1)


def _voice(hertz: float, pitches: dict[str, float]) -> str:
    near = min(pitches, key=lambda name: abs(np.log2(pitches[name] / hertz)), default=None)
    if near is None or 12 * abs(np.log2(pitches[near] / hertz)) > _NEAR_SEMITONES:
        return f"no voice near {hertz:.0f} Hz"
    return f"the voice {near}"


def gap_part(gaps: Sequence[Gap], found: dict[str, Suggestion]) -> dict[str, Any]:
    """The gaps with their knobs and suggestions for JSON."""
    rows = []
    for gap in gaps:
        interval, suggestion = gap.interval, found.get(gap.attribute)
        rows.append(
            {
                **{key: value for key, value in asdict(gap).items() if key != "interval"},
                "ci_low": interval and interval.low,
                "ci_high": interval and interval.high,
                "knob": KNOBS.get(gap.attribute),
                "suggestion": suggestion and suggestion.text,
            }
        )
    real, synthetic = gaps[0].of
    part: dict[str, Any] = json.loads(json.dumps({"clips": {"real": real, "synthetic": synthetic}, "rows": rows}))
    return part
