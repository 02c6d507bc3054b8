"""Yes/no questions about a recording in pairs, one of each answer: is a word said, and is it said before another?

After MATCH (arXiv 2410.16130), with a transcript in place of sounds. Always answering yes is right half of the time.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from asr_tv.scoring.bootstrap import Bootstrap, ResampledSums
from asr_tv.seeds import generator

CHANCE = 0.5
_PAIRS = 3
"""Of one kind from one recording, at most."""
_LETTERS = 4
"""Shorter words are mostly function words."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whether `word` is said in a recording, or said before `later`."""

    recording: str
    word: str
    later: str | None
    truth: bool


Pair = tuple[Question, Question]
"""About one recording: the answer is yes, then no."""
Answer = Callable[[Question], bool | None]
"""None is no answer, and wrong."""


class Said(NamedTuple):
    """A recording and its normalised sentence."""

    recording: str
    text: str


def existence_pairs(said: Sequence[Said], seed: int) -> list[Pair]:
    """A word that is said against one of another sentence that is as frequent, for up to three words a recording."""
    frequency = Counter(word for one in said for word in _content(one.text))
    by_frequency = sorted(frequency, key=lambda word: (frequency[word], word))
    pairs: list[Pair] = []
    for one in sorted(said):
        present = set(one.text.split())
        for word in _drawn(_content(one.text), one.recording, seed):
            absent = _as_frequent(word, present, by_frequency, frequency)
            if absent is not None:
                pairs.append((Question(one.recording, word, None, True), Question(one.recording, absent, None, False)))
    return pairs


def order_pairs(said: Sequence[Said], seed: int) -> list[Pair]:
    """Two words of a sentence that are said once, in their order and the other way round."""
    pairs: list[Pair] = []
    for one in sorted(said):
        counts = Counter(one.text.split())
        once = [word for word in _content(one.text) if counts[word] == 1]
        places = _drawn(list(map(str, range(len(once) - 1))), one.recording, seed)
        for place in map(int, places):
            first, second = once[place], once[place + 1]
            yes, no = Question(one.recording, first, second, True), Question(one.recording, second, first, False)
            pairs.append((yes, no))
    return pairs


def _content(text: str) -> list[str]:
    """Its longer words, in order, each once."""
    return [word for word in dict.fromkeys(text.split()) if len(word) >= _LETTERS]


def _drawn(items: Sequence[str], recording: str, seed: int) -> list[str]:
    order = generator("questions", seed, recording).permutation(len(items))
    return [items[i] for i in order[:_PAIRS]]


def _as_frequent(word: str, present: set[str], by_frequency: Sequence[str], frequency: Mapping[str, int]) -> str | None:
    """The word nearest in frequency that the sentence lacks; of equal ones the next in the alphabet, in a circle."""
    others = [other for other in by_frequency if other not in present]
    return min(others, key=lambda other: (abs(frequency[other] - frequency[word]), other <= word, other), default=None)


def from_transcript(heard: Mapping[str, str]) -> Answer:
    """Answers as a cascade does: from the normalised transcripts of a recogniser, by recording."""

    def answer(question: Question) -> bool | None:
        words = heard[question.recording].split()
        if question.later is None:
            return question.word in words
        if question.word not in words or question.later not in words:
            return None
        return words.index(question.word) < words.index(question.later)

    return answer


@dataclass(frozen=True)
class Answered:
    """How a set of pairs was answered; each share is None without pairs.

    Attributes:
        accuracy: over all questions, an unanswered one being wrong; its interval by drawing recordings.
        f1_no: of "no" as the answer to be found: 0 where none is right.
        both_right: share of pairs of which both questions are right.
    """

    pairs: int
    accuracy: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    yes_rate: float | None = None
    f1_no: float | None = None
    both_right: float | None = None
    unanswered: float | None = None

    @property
    def row(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def ask_all(pairs: Sequence[Pair], answer: Answer, bootstrap: Bootstrap) -> Answered:
    """Asks every question and counts."""
    if not pairs:
        return Answered(0)
    answers = [(question, answer(question)) for pair in pairs for question in pair]
    right = [given is question.truth for question, given in answers]
    said_no = sum(given is False for _, given in answers)
    found = sum(given is False and not question.truth for question, given in answers)
    sums = ResampledSums([q.recording for q, _ in answers], {"right": right, "asked": [1] * len(right)}, bootstrap)
    low, high = sums.interval("right", "asked").ends
    return Answered(
        pairs=len(pairs),
        accuracy=sum(right) / len(right),
        ci_low=low,
        ci_high=high,
        yes_rate=sum(given is True for _, given in answers) / len(answers),
        f1_no=2 * found / (said_no + len(pairs)),
        both_right=sum(a and b for a, b in zip(right[::2], right[1::2], strict=True)) / len(pairs),
        unanswered=sum(given is None for _, given in answers) / len(answers),
    )
