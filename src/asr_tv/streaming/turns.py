"""A turn of a stream as values: what an agent hears, answers and is told, after StreamBench (arXiv 2406.08747)."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from asr_tv.audio.recordings import Wave
from asr_tv.scoring.loops import looped
from asr_tv.scoring.wer import count_words

Mode = Literal["none", "right-wrong", "corrected"]
Normalize = Callable[[str], str]


@dataclass(frozen=True)
class HeardTurn:
    """What an agent gets of a recording: no id, path or text, which may spell what is said.

    Attributes:
        number: of the turn, from 0.
        wave: 16 kHz samples.
    """

    number: int
    wave: Wave
    seconds: float


@dataclass(frozen=True)
class Answer:
    """What an agent wrote; `notes` are for the report."""

    text: str
    notes: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Nothing:
    """No feedback."""


@dataclass(frozen=True)
class Judged:
    """Whether the answer was right."""

    right: bool


@dataclass(frozen=True)
class Corrected:
    """What was said; `right` where the answer said the same."""

    text: str
    right: bool


Feedback = Nothing | Judged | Corrected


class Listener(Protocol):
    """An agent: it answers a recording, and then learns from what it is told of its answer."""

    def answer(self, heard: HeardTurn) -> Answer: ...

    def learn(self, heard: HeardTurn, answer: Answer, feedback: Feedback) -> None:
        """After the answer is in the journal; also for turns that an earlier process answered."""

    def catch_up(self, heard: HeardTurn) -> None:
        """Does again what answering did to the agent itself, for a turn whose answer an earlier process wrote."""


def teach(mode: Mode, gold: str, answer: str, normalize: Normalize, tolerance: float) -> Feedback:
    """The feedback on an answer; the only place where gold becomes something that an agent hears.

    An answer is right with a WER of at most `tolerance` after normalisation, an empty gold only with an empty answer.
    """
    if mode == "none":
        return Nothing()
    counts = count_words(normalize(gold), normalize(answer))
    right = counts.rate <= tolerance if counts.words else not counts.errors
    return Judged(right) if mode == "right-wrong" else Corrected(gold, right)


def is_asked(number: int, share: float, seed: int) -> bool:
    """Whether a turn gets feedback: a share of all, drawn by number and seed alone."""
    drawn = int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:8], "big") / 2**64
    return drawn < share


class Sound(Protocol):
    """A recording that is encoded once and may be decoded several times.

    Attributes:
        no_speech: the probability that nobody speaks.
        key: what it resembles others by, a unit vector.
    """

    no_speech: float

    @property
    def key(self) -> Wave: ...

    def text(self, terms: tuple[str, ...] = (), prompt: str = "") -> tuple[str, float]:
        """The text, and its mean log-probability a token, without what boosts terms."""


Ear = Callable[[Wave], Sound]
_MOST_WORSE, _NO_SPEECH = 0.1, 0.6


def second_hearing(sound: Sound, terms: tuple[str, ...] = (), prompt: str = "") -> tuple[str, str]:
    """The text with terms or a prompt where that is safe, else without; and which of the two it is.

    Not on silence, which a decoder fills with its prompt; not where the recogniser finds the text less likely by over
    0.1 a token; not where it loops.
    """
    plain, likely = sound.text()
    if not (terms or prompt):
        return plain, "plain"
    if sound.no_speech > _NO_SPEECH:
        return plain, "no speech"
    text, as_likely = sound.text(terms, prompt)
    if as_likely < likely - _MOST_WORSE or looped(text):
        return plain, "refused"
    return text, "used"
