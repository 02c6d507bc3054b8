"""Cuts a long recording into pieces that a recogniser can take, in the quietest places."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_FRAME_SECONDS = 0.02
_QUIET_SECONDS = 0.3
"""A cut goes into the middle of the quietest stretch of this length."""
_PAUSE_SECONDS = 0.3
_SMOOTH_SECONDS = 0.1
_LEAST_DECIBELS = 6.0
"""A pause is that much quieter than speech, or the recording has none to cut at."""
_DEEPEST = 40.0
_LEAST_SECONDS = 1.0
_SILENCE = 1e-3
"""-60 dB of full scale: a piece that never gets louder has nothing to hear, and Whisper makes words up there."""


class Span(NamedTuple):
    """A part of a recording, in seconds from its start."""

    start: float
    end: float


def cut_at_silences(
    wave: NDArray[np.float32], sampling_rate: int, longest: float, *, at_each_pause: bool = False
) -> list[Span]:
    """Spans in seconds, in order, none longer than `longest`; together the recording but for silent pieces.

    A recording that fits is one span. A longer one is cut where it is quietest in the second half of what fits, so that
    words are cut only where nobody pauses for half of `longest`.

    Args:
        at_each_pause: cut in every pause, so that pieces are sentences, as a recogniser tuned on sentences knows them.

    Raises:
        ValueError: `longest` is too short for a cut to be looked for.
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
    return [span for span in spans if _is_heard(wave, sampling_rate, span)] or spans[:1]


def _next_cut(
    levels: NDArray[np.float64], step: int, start: int, limit: int, end: int, pauses: Sequence[int]
) -> int | None:
    """The sample to cut at after `start`, or None where the rest is one piece."""
    least = step * round(_LEAST_SECONDS / _FRAME_SECONDS)
    if (pause := next((p for p in pauses if start + least <= p <= min(start + limit, end - least)), None)) is not None:
        return pause
    if end - start <= limit:
        return None
    return _quietest(levels, (start + limit // 2) // step + 1, (start + limit) // step) * step


def _pauses(levels: NDArray[np.float64]) -> list[int]:
    """The middle frame of each stretch that is nearer, in dB, to a recording's quietest parts than to its speech.

    A recording without such a difference has no pause.
    """
    decibels = 10 * np.log10(levels + 1e-10)
    quiet, loud = np.quantile(decibels, [0.02, 0.9])
    quiet = max(quiet, loud - _DEEPEST)  # digital silence somewhere must not hide the pauses on a line
    if loud - quiet < _LEAST_DECIBELS:
        return []
    below = np.concatenate([[False], decibels < quiet + (loud - quiet) / 2, [False]])
    edges = np.flatnonzero(np.diff(below.astype(np.int8)))
    runs = edges.reshape(-1, 2)
    least = round(_PAUSE_SECONDS / _FRAME_SECONDS)
    return [int((first + last) // 2) for first, last in runs if last - first >= least]


def _levels(wave: NDArray[np.float32], step: int, seconds: float) -> NDArray[np.float64]:
    """Mean power of each frame, averaged over so many seconds around it."""
    whole = len(wave) // step * step
    power = np.square(wave[:whole].astype(np.float64)).reshape(-1, step).mean(axis=1)
    width = round(seconds / _FRAME_SECONDS) | 1
    padded = np.pad(power, width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def _quietest(levels: NDArray[np.float64], first: int, last: int) -> int:
    """The quietest frame of first <= frame < last, the latest of equals: longer pieces give more context."""
    window = levels[first:last]
    return first + len(window) - 1 - int(np.argmin(window[::-1]))


def _is_heard(wave: NDArray[np.float32], sampling_rate: int, span: Span) -> bool:
    part = wave[round(span.start * sampling_rate) : round(span.end * sampling_rate)]
    return bool(np.abs(part).max(initial=0.0) > _SILENCE)
