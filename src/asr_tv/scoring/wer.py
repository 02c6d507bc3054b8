"""Word and character errors of a pair of texts, kept as counts and not as rates, since counts can be added."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from math import inf
from typing import Any, Literal, NamedTuple

import jiwer

Op = Literal["hit", "substitution", "deletion", "insertion"]


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Counts of one utterance, or summed over a set; `ErrorCounts()` is zero."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def words(self) -> int:
        """Words (or characters) of the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float:
        """Errors per reference word; without reference words 0 if nothing was inserted, infinite otherwise."""
        if self.words:
            return self.errors / self.words
        return inf if self.insertions else 0.0


class AlignedWord(NamedTuple):
    """One step of an alignment; a side without a word there is empty."""

    op: Op
    reference: str
    hypothesis: str


def count_words(reference: str, hypothesis: str) -> ErrorCounts:
    """Word errors of an alignment with the fewest errors; words are separated by whitespace."""
    return _count(reference.split(), hypothesis.split(), jiwer.process_words, " ")


def count_characters(reference: str, hypothesis: str) -> ErrorCounts:
    """Character errors; a run of whitespace counts as one character, at either end as none."""
    return _count(list(" ".join(reference.split())), list(" ".join(hypothesis.split())), jiwer.process_characters, "")


def word_alignment(reference: str, hypothesis: str) -> tuple[AlignedWord, ...]:
    """The alignment that `count_words` counts, word by word."""
    expected, found = reference.split(), hypothesis.split()
    if expected == found:
        return tuple(AlignedWord("hit", word, word) for word in expected)
    if not expected or not found:
        return tuple(_one_sided(expected, found))
    chunks = jiwer.process_words(" ".join(expected), " ".join(found)).alignments[0]
    return tuple(chain.from_iterable(_steps(chunk, expected, found) for chunk in chunks))


def alignment_places(reference: str, hypothesis: str) -> list[list[AlignedWord]]:
    """The alignment by place of the reference: before its first word, that word, between it and the next, and so on.

    Returns:
        2 n + 1 lists for n reference words: one step at odd indices, any number of insertions at even ones.
    """
    places: list[list[AlignedWord]] = [[]]
    for step in word_alignment(reference, hypothesis):
        if step.op == "insertion":
            places[-1].append(step)
        else:
            places += [[step], []]
    return places


def _count(expected: list[str], found: list[str], process: Callable[..., Any], joint: str) -> ErrorCounts:
    if expected == found:
        return ErrorCounts(hits=len(expected))
    # jiwer refuses or special-cases an empty side, by version; the counts need no alignment then.
    if not expected or not found:
        return ErrorCounts(deletions=len(expected), insertions=len(found))
    output = process(joint.join(expected), joint.join(found))
    return ErrorCounts(output.hits, output.substitutions, output.deletions, output.insertions)


def _one_sided(expected: list[str], found: list[str]) -> list[AlignedWord]:
    deletions = [AlignedWord("deletion", word, "") for word in expected]
    return deletions + [AlignedWord("insertion", "", word) for word in found]


def _steps(chunk: Any, expected: list[str], found: list[str]) -> list[AlignedWord]:
    left = expected[chunk.ref_start_idx : chunk.ref_end_idx]
    right = found[chunk.hyp_start_idx : chunk.hyp_end_idx]
    if chunk.type in ("delete", "insert"):
        return _one_sided(left, right)
    op: Op = "hit" if chunk.type == "equal" else "substitution"
    return [AlignedWord(op, a, b) for a, b in zip(left, right, strict=True)]
