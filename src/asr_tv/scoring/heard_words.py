"""What several recognisers heard of one recording, word by word: which words differ."""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from asr_tv.scoring.wer import word_alignment
from asr_tv.text.scripts import pieces_of


class HeardWord(NamedTuple):
    """A word as it was written, and whether another recogniser wrote a different one there."""

    text: str
    differs: bool


def heard_words(texts: Sequence[str]) -> tuple[tuple[HeardWord, ...], ...]:
    """The words of each text, compared with the first text without regard to case and punctuation.

    A word of a later text differs if the first text has another or none in its place; a word of the first text, if any
    later text does.
    """
    pieces = [pieces_of(text) for text in texts]
    differing: list[set[int]] = [set() for _ in texts]
    for number in range(1, len(texts)):
        first, other = _differences(pieces[0], pieces[number])
        differing[0] |= first
        differing[number] |= other
    return tuple(
        tuple(HeardWord(word, place in marked) for place, word in enumerate(words))
        for words, marked in zip(pieces, differing, strict=True)
    )


def same_words(a: str, b: str) -> bool:
    """Whether two texts have the same words, without regard to case and punctuation."""
    return [w for w in map(_folded, pieces_of(a)) if w] == [w for w in map(_folded, pieces_of(b)) if w]


def _differences(first: Sequence[str], other: Sequence[str]) -> tuple[set[int], set[int]]:
    """The places, in each of two word lists, of the words that the other does not have there."""
    places = [[n for n, word in enumerate(words) if _folded(word)] for words in (first, other)]
    folded = [" ".join(_folded(words[n]) for n in kept) for words, kept in zip((first, other), places, strict=True)]
    marked: tuple[set[int], set[int]] = set(), set()
    following = [iter(kept) for kept in places]
    for step in word_alignment(folded[0], folded[1]):
        for side, word in enumerate((step.reference, step.hypothesis)):
            if word:
                place = next(following[side])
                marked[side].update([] if step.op == "hit" else [place])
    return marked


def _folded(word: str) -> str:
    return "".join(c for c in word.casefold() if unicodedata.category(c)[0] in "LMN")
