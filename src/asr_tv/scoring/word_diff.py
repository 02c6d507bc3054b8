"""Two systems on the same recordings, word by word, and several runs in one order, if they may be compared at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from asr_tv.errors import DataError
from asr_tv.scoring.evaluation import AUDIO_CONTEXT, Evaluation, UtteranceScore
from asr_tv.scoring.wer import word_alignment

Row = Mapping[str, Any]

_MAY_DIFFER = frozenset({AUDIO_CONTEXT, "checkpoint"})


class PairedWord(NamedTuple):
    """One word of the reference with what each side heard for it; empty where a side has no word."""

    reference: str
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class UtteranceDiff:
    """What two systems made of one utterance, over normalised words."""

    id: str
    domain: str
    errors_a: int
    errors_b: int
    columns: tuple[PairedWord, ...]

    @property
    def same_words(self) -> bool:
        return all(column.a == column.b for column in self.columns)


@dataclass(frozen=True, slots=True)
class WordTally:
    """Counts over the words of a reference set, and over the utterances."""

    only_a_right: int
    only_b_right: int
    inserted_a: int
    inserted_b: int
    better_a: int
    better_b: int
    same_words: int


def word_diffs(a: Evaluation, b: Evaluation) -> tuple[UtteranceDiff, ...]:
    """Every utterance of both, which are of one set, sorted by id.

    Raises:
        DataError: the words do not have the errors that were counted, in a score of an earlier version whose
            normaliser is not the installed one.
    """
    others = {u.id: u for u in b.utterances}
    return tuple(_diff(u, others[u.id]) for u in sorted(a.utterances, key=lambda u: u.id))


def tally(diffs: Sequence[UtteranceDiff]) -> WordTally:
    """What differs, counted."""
    words = [column for diff in diffs for column in diff.columns]
    spoken = [column for column in words if column.reference]
    return WordTally(
        only_a_right=sum(c.a == c.reference != c.b for c in spoken),
        only_b_right=sum(c.b == c.reference != c.a for c in spoken),
        inserted_a=sum(bool(c.a) for c in words if not c.reference),
        inserted_b=sum(bool(c.b) for c in words if not c.reference),
        better_a=sum(d.errors_a < d.errors_b for d in diffs),
        better_b=sum(d.errors_b < d.errors_a for d in diffs),
        same_words=sum(d.same_words for d in diffs),
    )


def _diff(a: UtteranceScore, b: UtteranceScore) -> UtteranceDiff:
    sides = [_slots(a.sentence, u.heard) for u in (a, b)]
    columns: list[PairedWord] = []
    words = [*a.sentence.split(), None]
    for number, word in enumerate(words):
        extra = [side.inserted[number] for side in sides]
        for position in range(max(map(len, extra))):
            columns.append(PairedWord("", *(e[position] if position < len(e) else "" for e in extra)))
        if word is not None:
            columns.append(PairedWord(word, *(side.words[number] for side in sides)))
    errors = [sum(c.reference != c.a for c in columns), sum(c.reference != c.b for c in columns)]
    if errors != [a.word_counts.errors, b.word_counts.errors]:
        raise DataError(f"{a.id}: was scored with another normaliser than is installed: score it again")
    return UtteranceDiff(a.id, a.domain, errors[0], errors[1], tuple(columns))


class _Slots(NamedTuple):
    """What was heard for each word of a reference, and before each word and at the end."""

    words: list[str]
    inserted: list[list[str]]


def _slots(reference: str, hypothesis: str) -> _Slots:
    words: list[str] = []
    inserted: list[list[str]] = [[]]
    for step in word_alignment(reference, hypothesis):
        if step.op == "insertion":
            inserted[-1].append(step.hypothesis)
        else:
            words.append(step.hypothesis)
            inserted.append([])
    return _Slots(words, inserted)


def different_conditions(rows: Mapping[str, Row]) -> list[str]:
    """Every condition in which rows of reports differ though they must not, a line each; none, and they compare.

    Args:
        rows: name of a run -> the row of its report's systems.
    """
    sets = {name: {"set": (row["role"], row["split"]), **row["conditions"]} for name, row in rows.items()}
    keys = sorted({key for conditions in sets.values() for key in conditions} - _MAY_DIFFER)
    return [
        f"runs differ in {key}: " + ", ".join(f"{name} {_short(values.get(key))}" for name, values in sets.items())
        for key in keys
        if len({repr(values.get(key)) for values in sets.values()}) > 1
    ]


def _short(value: object) -> str:
    return repr(value if len(str(value)) <= 40 else f"{str(value)[:12]}...")
