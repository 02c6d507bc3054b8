"""Cuts a long recording into pieces that a recogniser can take, in the quietest places."""

import numpy as np
from numpy.typing import NDArray

from asr_tv.subtitles import Span

_FRAME_SECONDS = 0.02
_QUIET_SECONDS = 0.3
"""A cut goes into the middle of the quietest stretch of this length."""
_SILENCE = 1e-3
"""-60 dB of full scale: a piece that never gets louder has nothing to hear, and Whisper makes words up there."""


def cut_at_silences(wave: NDArray[np.float32], sampling_rate: int, longest: float) -> list[Span]:
    """Spans in seconds, in order, none longer than `longest`; together the recording but for silent pieces.

    A recording that fits is one span. A longer one is cut where it is quietest in the second half of what fits, so that
    words are cut only where nobody pauses for half of `longest`.

    Raises:
        ValueError: `longest` is too short for a cut to be looked for.
    """
    if longest < 4 * _QUIET_SECONDS:
        raise ValueError(f"pieces of {longest:g} s are too short")
    step = round(_FRAME_SECONDS * sampling_rate)
    limit = int(longest * sampling_rate)
    levels = _levels(wave, step)
    spans: list[Span] = []
    start = 0
    while len(wave) - start > limit:
        end = _quietest(levels, (start + limit // 2) // step + 1, (start + limit) // step) * step
        spans.append(Span(start / sampling_rate, end / sampling_rate))
        start = end
    spans.append(Span(start / sampling_rate, len(wave) / sampling_rate))
    return [span for span in spans if len(spans) == 1 or _is_heard(wave, sampling_rate, span)]


def _levels(wave: NDArray[np.float32], step: int) -> NDArray[np.float64]:
    """Mean power of each frame, averaged over the stretch around it."""
    whole = len(wave) // step * step
    power = np.square(wave[:whole].astype(np.float64)).reshape(-1, step).mean(axis=1)
    width = round(_QUIET_SECONDS / _FRAME_SECONDS) | 1
    padded = np.pad(power, width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def _quietest(levels: NDArray[np.float64], first: int, last: int) -> int:
    """The quietest frame of first <= frame < last, the latest of equals: longer pieces give more context."""
    window = levels[first:last]
    return first + len(window) - 1 - int(np.argmin(window[::-1]))


def _is_heard(wave: NDArray[np.float32], sampling_rate: int, span: Span) -> bool:
    part = wave[round(span.start * sampling_rate) : round(span.end * sampling_rate)]
    return bool(np.abs(part).max(initial=0.0) > _SILENCE)
