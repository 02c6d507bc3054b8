"""Two systems on the same recordings, compared word by word; and whether several runs may be compared at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, NamedTuple

from asr_tv.errors import DataError
from asr_tv.scoring.evaluation import AUDIO_CONTEXT, Evaluation, UtteranceScore
from asr_tv.scoring.wer import AlignedWord, alignment_places


class PairedWord(NamedTuple):
    """One word of the reference and what each system recognised for it; empty where there is no word."""

    reference: str
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class UtteranceDiff:
    """Normalised words of one utterance as two systems recognised them, and the errors of each."""

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
    """How two systems differ on a set: counts of words, and of utterances (`better_a`, `better_b`, `same_words`)."""

    only_a_right: int
    only_b_right: int
    inserted_a: int
    inserted_b: int
    better_a: int
    better_b: int
    same_words: int


def word_diffs(a: Evaluation, b: Evaluation) -> tuple[UtteranceDiff, ...]:
    """Every utterance of two evaluations of the same set, sorted by id.

    Raises:
        DataError: the words do not give the errors that were counted: a score of an earlier version, read with another
            version of its normaliser.
    """
    others = {u.id: u for u in b.utterances}
    return tuple(_diff(u, others[u.id]) for u in sorted(a.utterances, key=lambda u: u.id))


def tally(diffs: Sequence[UtteranceDiff]) -> WordTally:
    """The differences, counted."""
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
    nothing = AlignedWord("insertion", "", "")
    columns = tuple(
        PairedWord(left.reference, left.hypothesis, right.hypothesis)
        for places in zip(*(alignment_places(a.sentence, u.heard) for u in (a, b)), strict=True)
        for left, right in zip_longest(*places, fillvalue=nothing)
    )
    errors_a, errors_b = sum(c.reference != c.a for c in columns), sum(c.reference != c.b for c in columns)
    if (errors_a, errors_b) != (a.word_counts.errors, b.word_counts.errors):
        raise DataError(f"{a.id}: was scored with another normaliser than the installed one: score it again")
    return UtteranceDiff(a.id, a.domain, errors_a, errors_b, columns)


def different_conditions(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Every condition in which runs differ though they must not, one line each; empty if they may be compared.

    A run is given by its name and its row among the systems of its report.
    """
    sets = {name: {"set": (row["role"], row["split"]), **row["conditions"]} for name, row in rows.items()}
    keys = sorted({key for conditions in sets.values() for key in conditions} - {AUDIO_CONTEXT, "checkpoint"})
    return [
        f"runs differ in {key}: " + ", ".join(f"{name} {_short(values.get(key))}" for name, values in sets.items())
        for key in keys
        if len({repr(values.get(key)) for values in sets.values()}) > 1
    ]


def _short(value: object) -> str:
    return repr(value if len(str(value)) <= 40 else f"{str(value)[:12]}...")
