"""Filters written sentences: cleaned, of a suitable length, and not duplicates."""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from asr_tv.text.rare_words import words
from asr_tv.text.scripts import UNSPACED

MIN_WORDS, MAX_WORDS = 3, 25
SIMILAR = 0.8
"""Jaccard similarity of the letter trigrams of two sentences at which one is a near-duplicate."""
_HASHES, _SHINGLE = 128, 3
_NUMBERING = re.compile(r"^(?:[-*•–]+|\(?\d{1,3}[.):])\s+")
_QUOTES = "\"'“”„«»`"


@dataclass
class Sieve:
    """Passes each sentence once, and counts those dropped by reason; texts of equal `identity` are the same sentence.

    Of similar sentences, those that differ in `terms_in` are all passed.
    """

    identity: Callable[[str], str]
    terms_in: Callable[[str], Sequence[str]]
    dropped: Counter[str] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)
    _near: dict[tuple[str, ...], "_Neighbours"] = field(default_factory=dict)

    def exclude(self, sentences: Iterable[str]) -> None:
        """Makes the sieve drop these sentences, such as those of a test set."""
        self._seen |= {self.identity(sentence) for sentence in sentences}

    def passing(self, sentences: Iterable[str]) -> list[str]:
        """The cleaned sentences that pass, in order."""
        passed = []
        for raw in sentences:
            sentence = clean_sentence(raw)
            if reason := self._refusal(sentence):
                self.dropped[reason] += 1
            else:
                passed.append(sentence)
        return passed

    def _refusal(self, sentence: str) -> str | None:
        length = _length(sentence)
        if not MIN_WORDS <= length <= MAX_WORDS:
            return f"fewer than {MIN_WORDS} words" if length < MIN_WORDS else f"over {MAX_WORDS} words"
        if "{" in sentence or "}" in sentence:
            return "a slot that was not filled"
        key = self.identity(sentence)
        if key in self._seen:
            return "said already"
        self._seen.add(key)
        group = self._near.setdefault(tuple(sorted(self.terms_in(sentence))), _Neighbours())
        return "nearly said already" if group.has_or_add(key) else None


def _length(sentence: str) -> float:
    """In words; two characters of a script without spaces are about one."""
    found = words(sentence)
    unspaced = sum(bool(UNSPACED.match(word)) for word in found)
    return len(found) - unspaced / 2


@functools.cache
def _bands() -> tuple[int, int]:
    """Bands, and rows per band, of an index; datasketch integrates half a second for them."""
    from datasketch import MinHashLSH

    index = MinHashLSH(threshold=SIMILAR, num_perm=_HASHES)
    return index.b, index.r


class _Neighbours:
    """Sentences with the same terms, indexed by MinHash."""

    def __init__(self) -> None:
        from datasketch import MinHashLSH

        self._index = MinHashLSH(num_perm=_HASHES, params=_bands())
        self._shingles: list[set[str]] = []

    def has_or_add(self, sentence: str) -> bool:
        from datasketch import MinHash

        shingles = {sentence[i : i + _SHINGLE] for i in range(max(1, len(sentence) - _SHINGLE + 1))}
        sketch = MinHash(num_perm=_HASHES, seed=1)
        sketch.update_batch([shingle.encode() for shingle in sorted(shingles)])
        near = [self._shingles[found] for found in self._index.query(sketch)]  # approximately, so compare exactly
        if any(len(shingles & other) / len(shingles | other) >= SIMILAR for other in near):
            return True
        self._index.insert(len(self._shingles), sketch)
        self._shingles.append(shingles)
        return False


def clean_sentence(text: str) -> str:
    """The text in NFC with single spaces, without numbering, bullets, surrounding quotes and control characters."""
    composed = unicodedata.normalize("NFC", text)
    visible = "".join(c if unicodedata.category(c) not in ("Cc", "Cf") else " " for c in composed)
    sentence = _NUMBERING.sub("", " ".join(visible.split()))
    if len(sentence) > 1 and sentence[0] in _QUOTES and sentence[-1] in _QUOTES:
        sentence = sentence[1:-1].strip()
    return sentence
