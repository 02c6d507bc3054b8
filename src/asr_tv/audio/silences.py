"""Splits a long recording at its quietest places into pieces that fit a recogniser."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_FRAME_SECONDS = 0.02
_QUIET_SECONDS = 0.3
"""A cut is placed in the middle of the quietest stretch of this length."""
_PAUSE_SECONDS = 0.3
_SMOOTH_SECONDS = 0.1
_LEAST_DECIBELS = 6.0
"""A recording whose quietest parts are not this much quieter than its speech has no pauses."""
_DEEPEST = 40.0
"""Decibels below speech at which the estimate of the quietest parts is clamped."""
_LEAST_SECONDS = 1.0
_SILENCE = 1e-3
"""-60 dBFS: a piece that is never louder is silent, and Whisper hallucinates words in silence."""


class Span(NamedTuple):
    """A part of a recording, in seconds from its start."""

    start: float
    end: float


def cut_at_silences(
    wave: NDArray[np.float32], sampling_rate: int, longest: float, *, at_each_pause: bool = False
) -> list[Span]:
    """Consecutive spans of at most `longest` seconds that cover the recording except for silent pieces.

    A recording that fits is one span. A longer one is cut where the second half of the allowed length is quietest, so
    words are cut only if there is no pause for half of `longest`. With `at_each_pause` it is cut at every pause, so
    that pieces are sentences, for recognisers fine-tuned on sentences.

    Raises:
        ValueError: `longest` is too short.
    """
    if longest < 4 * _QUIET_SECONDS:
        raise ValueError(f"pieces of {longest:g} s are too short")
    limit = int(longest * sampling_rate)
    if len(wave) <= limit:
        return [Span(0.0, len(wave) / sampling_rate)]
    step = round(_FRAME_SECONDS * sampling_rate)
    levels = _levels(wave, step, _QUIET_SECONDS)
    pauses = [frame * step for frame in _pauses(_levels(wave, step, _SMOOTH_SECONDS))] if at_each_pause else []
    cuts = [0]
    while (cut := _next_cut(levels, step, cuts[-1], limit, len(wave), pauses)) is not None:
        cuts.append(cut)
    spans = [Span(a / sampling_rate, b / sampling_rate) for a, b in pairwise([*cuts, len(wave)])]
    return [span for span in spans if is_heard(wave[_samples(span, sampling_rate)])] or spans[:1]


def _next_cut(
    levels: NDArray[np.float64], step: int, start: int, limit: int, end: int, pauses: Sequence[int]
) -> int | None:
    """The sample to cut at after `start`, or None if the rest is one piece."""
    least = step * round(_LEAST_SECONDS / _FRAME_SECONDS)
    if (pause := next((p for p in pauses if start + least <= p <= min(start + limit, end - least)), None)) is not None:
        return pause
    if end - start <= limit:
        return None
    first = (start + limit // 2) // step + 1
    window = levels[first : (start + limit) // step]
    # The last of equally quiet frames, since longer pieces give more context.
    return (first + len(window) - 1 - int(np.argmin(window[::-1]))) * step


def _pauses(levels: NDArray[np.float64]) -> list[int]:
    """The middle frame of each stretch that is closer, in dB, to the recording's quietest parts than to its speech."""
    decibels = 10 * np.log10(levels + 1e-10)
    quiet, loud = np.quantile(decibels, [0.02, 0.9])
    quiet = max(quiet, loud - _DEEPEST)  # digital silence somewhere must not hide the pauses with line noise
    if loud - quiet < _LEAST_DECIBELS:
        return []
    least = round(_PAUSE_SECONDS / _FRAME_SECONDS)
    runs = true_runs(decibels < quiet + (loud - quiet) / 2)
    return [int((first + last) // 2) for first, last in runs if last - first >= least]


def true_runs(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Start and end, exclusive, of each maximal run of True [runs, 2] in a mask [n]."""
    edges = np.diff(np.concatenate(([0], mask.astype(np.int8), [0])))
    return np.flatnonzero(edges).reshape(-1, 2)


def _levels(wave: NDArray[np.float32], step: int, seconds: float) -> NDArray[np.float64]:
    """Mean power of each frame of `step` samples, averaged over `seconds` around it."""
    whole = len(wave) // step * step
    power = np.square(wave[:whole].astype(np.float64)).reshape(-1, step).mean(axis=1)
    width = round(seconds / _FRAME_SECONDS) | 1
    padded = np.pad(power, width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def is_heard(wave: NDArray[np.float32]) -> bool:
    """Whether a wave [samples] is anywhere louder than silence."""
    return bool(np.abs(wave).max(initial=0.0) > _SILENCE)


def _samples(span: Span, sampling_rate: int) -> slice:
    return slice(round(span.start * sampling_rate), round(span.end * sampling_rate))
