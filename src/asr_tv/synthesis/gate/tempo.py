"""Measurements of clips, and the expected duration of a text in a voice: a fit to all its clips, robust to outliers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import median

from asr_tv.audio.silences import Span
from asr_tv.scoring.wer import count_characters

MAX_CER = 10.0
"""Greater character error rates are cut to this."""
_OFFSETS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Candidate numbers of letters to add to every text: starting and ending takes time."""
_FEWEST = 8
"""Clips needed to fit a voice by itself."""
_SECONDS_PER_LETTER, _OFFSET = 0.06, 3.0
"""Of English speech; used if there are too few clips for a fit."""
_DIGIT, _SPELLED = 4.0, 3.0
"""Equivalents in letters of a digit and of a letter spoken by its name."""


@dataclass(frozen=True, slots=True)
class ClipMeasure:
    """Measurements of one clip.

    Attributes:
        sentence: equal for all takes of a text.
        reference: the text, and `hypothesis` the judge's transcription, both normalised.
        seconds: duration without the silence trimmed off the ends; `speech_seconds` without any silence.
        clipped: share of clipped samples.
        trim: the part to keep; None for all of it.
    """

    id: str
    sentence: str
    voice: str
    reference: str
    hypothesis: str
    seconds: float
    speech_seconds: float
    clipped: float
    trim: Span | None = None

    @property
    def cer(self) -> float:
        """Character error rate of the judge, at most `MAX_CER`."""
        return min(count_characters(self.reference, self.hypothesis).rate, MAX_CER)


def letters(text: str) -> float:
    """Effective number of letters of a normalised text: a digit or a single letter counts as several."""
    count = 0.0
    for word in text.split():
        alphabetic = [character for character in word if character.isalpha()]
        count += _DIGIT * sum(character.isdigit() for character in word)
        count += _SPELLED if len(alphabetic) == 1 and len(word) == 1 else len(alphabetic)
    return max(count, 1.0)


def expected_seconds(clips: Sequence[ClipMeasure]) -> dict[str, float]:
    """Clip id -> expected seconds of speech for its text in its voice."""
    spoken = [clip for clip in clips if clip.speech_seconds > 0]
    everywhere = _fit(spoken)
    expected: dict[str, float] = {}
    for voice in {clip.voice for clip in clips}:
        own = [clip for clip in spoken if clip.voice == voice]
        rate, offset = _fit(own) if len(own) >= _FEWEST else everywhere
        expected |= {c.id: rate * (letters(c.reference) + offset) for c in clips if c.voice == voice}
    return expected


def _fit(clips: Sequence[ClipMeasure]) -> tuple[float, float]:
    """Seconds per letter, and the offset: the pair with the least median absolute error of the logarithm."""
    if len(clips) < _FEWEST:
        return _SECONDS_PER_LETTER, _OFFSET
    fits = [(offset, *_centre(clips, offset)) for offset in _OFFSETS]
    offset, centre, _ = min(fits, key=lambda fit: (fit[2], fit[0]))
    return exp(centre), offset


def _centre(clips: Iterable[ClipMeasure], offset: float) -> tuple[float, float]:
    errors = [log(clip.speech_seconds / (letters(clip.reference) + offset)) for clip in clips]
    centre = median(errors)
    return centre, median(abs(error - centre) for error in errors)
