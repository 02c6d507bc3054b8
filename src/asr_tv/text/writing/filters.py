"""Which written sentences can be trained on: cleaned, of a fair length, and not said already."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from asr_tv.text.rare_words import words

MIN_WORDS, MAX_WORDS = 3, 25
SIMILAR = 0.8
"""Jaccard similarity of two sentences' runs of three letters from which on they are one."""
_HASHES, _SHINGLE = 128, 3
_NUMBERING = re.compile(r"^(?:[-*•–]+|\(?\d{1,3}[.):])\s+")
_QUOTES = "\"'“”„«»`"


@dataclass
class Sieve:
    """Lets sentences through once each, and counts why others do not pass.

    Attributes:
        identity: what makes two texts one sentence.
        terms_in: the terms of a sentence; two alike sentences of different terms are both wanted.
        dropped: reason -> sentences.
    """

    identity: Callable[[str], str]
    terms_in: Callable[[str], Sequence[str]]
    min_words: int = MIN_WORDS
    max_words: int = MAX_WORDS
    dropped: Counter[str] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)
    _near: dict[tuple[str, ...], "_Neighbours"] = field(default_factory=dict)

    def exclude(self, sentences: Iterable[str]) -> None:
        """Sentences that must not be written, such as those of a test."""
        self._seen |= {self.identity(sentence) for sentence in sentences}

    def passing(self, sentences: Iterable[str]) -> list[str]:
        """The cleaned sentences that pass, in order."""
        passed = []
        for raw in sentences:
            sentence = cleaned(raw)
            if reason := self._refusal(sentence):
                self.dropped[reason] += 1
            else:
                passed.append(sentence)
        return passed

    def _refusal(self, sentence: str) -> str | None:
        length = len(words(sentence))
        if not self.min_words <= length <= self.max_words:
            return f"fewer than {self.min_words} words" if length < self.min_words else f"over {self.max_words} words"
        if "{" in sentence or "}" in sentence:
            return "a slot that was not filled"
        key = self.identity(sentence)
        if key in self._seen:
            return "said already"
        self._seen.add(key)
        group = self._near.setdefault(tuple(sorted(self.terms_in(sentence))), _Neighbours())
        return "nearly said already" if group.has_or_add(key) else None


class _Neighbours:
    """Sentences of the same terms, found by MinHash."""

    def __init__(self) -> None:
        from datasketch import MinHashLSH

        self._index = MinHashLSH(threshold=SIMILAR, num_perm=_HASHES)
        self._shingles: list[set[str]] = []

    def has_or_add(self, sentence: str) -> bool:
        from datasketch import MinHash

        shingles = {sentence[i : i + _SHINGLE] for i in range(max(1, len(sentence) - _SHINGLE + 1))}
        sketch = MinHash(num_perm=_HASHES, seed=1)
        sketch.update_batch([shingle.encode() for shingle in sorted(shingles)])
        # The index errs on both sides of its threshold; what it finds is compared in full.
        if any(_jaccard(shingles, self._shingles[found]) >= SIMILAR for found in self._index.query(sketch)):
            return True
        self._index.insert(len(self._shingles), sketch)
        self._shingles.append(shingles)
        return False


def _jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b)


def cleaned(text: str) -> str:
    """Composed Unicode, single spaces; without numbering, bullets, surrounding quotes and control characters."""
    composed = unicodedata.normalize("NFC", text)
    visible = "".join(c if unicodedata.category(c) not in ("Cc", "Cf") else " " for c in composed)
    sentence = _NUMBERING.sub("", " ".join(visible.split()))
    if len(sentence) > 1 and sentence[0] in _QUOTES and sentence[-1] in _QUOTES:
        sentence = sentence[1:-1].strip()
    return sentence
