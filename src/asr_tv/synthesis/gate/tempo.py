"""How long a text should last in a voice: from its letters, fitted to all clips of that voice without outliers' say."""

from collections.abc import Iterable, Sequence
from math import exp, log
from statistics import median
from typing import Protocol

_OFFSETS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Letters that every text has beside its own: starting and ending takes time."""
_FEWEST = 8
"""Clips that a voice needs for a fit of its own."""
_SECONDS_A_LETTER, _OFFSET = 0.06, 3.0
"""Of English speech; used where there are too few clips to fit anything."""
_DIGIT, _SPELLED = 4.0, 3.0
"""Letters that a digit or a spelled letter sounds like."""


class TimedClip(Protocol):
    """A clip as far as its length is concerned."""

    @property
    def id(self) -> str: ...
    @property
    def voice(self) -> str: ...
    @property
    def reference(self) -> str: ...
    @property
    def speech_seconds(self) -> float: ...


def letters(text: str) -> float:
    """Letters of a normalised text as they sound: digits and single letters count for several."""
    count = 0.0
    for word in text.split():
        alphabetic = [character for character in word if character.isalpha()]
        count += _DIGIT * sum(character.isdigit() for character in word)
        count += _SPELLED if len(alphabetic) == 1 and len(word) == 1 else len(alphabetic)
    return max(count, 1.0)


def expected_seconds(clips: Sequence[TimedClip]) -> dict[str, float]:
    """Clip -> seconds of speech that its text should take in its voice."""
    spoken = [clip for clip in clips if clip.speech_seconds > 0]
    everywhere = _fit(spoken)
    expected: dict[str, float] = {}
    for voice in {clip.voice for clip in clips}:
        own = [clip for clip in spoken if clip.voice == voice]
        rate, offset = _fit(own) if len(own) >= _FEWEST else everywhere
        expected |= {c.id: rate * (letters(c.reference) + offset) for c in clips if c.voice == voice}
    return expected


def _fit(clips: Sequence[TimedClip]) -> tuple[float, float]:
    """Seconds a letter, and the offset: the pair whose median absolute error (of logarithms) is least."""
    if len(clips) < _FEWEST:
        return _SECONDS_A_LETTER, _OFFSET
    fits = [(offset, *_centre(clips, offset)) for offset in _OFFSETS]
    offset, centre, _ = min(fits, key=lambda fit: (fit[2], fit[0]))
    return exp(centre), offset


def _centre(clips: Iterable[TimedClip], offset: float) -> tuple[float, float]:
    errors = [log(clip.speech_seconds / (letters(clip.reference) + offset)) for clip in clips]
    centre = median(errors)
    return centre, median(abs(error - centre) for error in errors)
