"""Defects of clips, for measuring what a quality gate catches; each maps a wave to a wave."""

from collections.abc import Callable, Mapping

import numpy as np
import soxr

from asr_tv.audio.recordings import Wave

Fault = Callable[[Wave, np.random.Generator], Wave]


def half_silent(wave: Wave, rng: np.random.Generator) -> Wave:
    """The first or the second half of the wave is silent."""
    spoilt = wave.copy()
    middle = wave.size // 2
    spoilt[:middle] *= 0 if rng.random() < 0.5 else 1
    if spoilt[:middle].any():
        spoilt[middle:] = 0
    return spoilt


def clipped(wave: Wave, rng: np.random.Generator) -> Wave:
    """Amplified by 12 to 24 dB and cut off at full scale."""
    gain = np.float32(10 ** (rng.uniform(12, 24) / 20))
    loud: Wave = np.clip(wave * gain, -1, 1).astype(np.float32)
    return loud


def stretched(wave: Wave, rng: np.random.Generator) -> Wave:  # noqa: ARG001 - every fault has the same signature
    """Twice as long and an octave lower, as of a wrong sampling rate."""
    slow: Wave = soxr.resample(wave, 1.0, 2.0, quality="HQ")
    return slow


def said_twice(wave: Wave, rng: np.random.Generator) -> Wave:  # noqa: ARG001 - every fault has the same signature
    """Twice as long because the engine repeats itself."""
    return np.concatenate((wave, wave))


FAULTS: Mapping[str, Fault] = {
    "half silent": half_silent,
    "clipped": clipped,
    "twice as long, stretched": stretched,
    "twice as long, said twice": said_twice,
}
