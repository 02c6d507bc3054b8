"""Terms: the words that matter in a domain, and how many of them a recogniser gets right."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from asr_tv.scoring.wer import AlignedWord, word_alignment

_OVER = 5.0
"""A found term is so many times as frequent in the target's texts as in the sources'."""
_MOST = 200
_LETTERS = 3


@dataclass(frozen=True, slots=True)
class TermCounts:
    """Occurrences of terms in references (`expected`), in hypotheses (`heard`) and aligned in both (`right`)."""

    expected: int = 0
    heard: int = 0
    right: int = 0

    def __add__(self, other: "TermCounts") -> "TermCounts":
        return TermCounts(self.expected + other.expected, self.heard + other.heard, self.right + other.right)

    @property
    def recall(self) -> float | None:
        """Share of the spoken terms that were heard; None where none was spoken."""
        return self.right / self.expected if self.expected else None

    @property
    def precision(self) -> float | None:
        """Share of the heard terms that were spoken; None where none was heard."""
        return self.right / self.heard if self.heard else None


def find_terms(target: Iterable[str], source: Iterable[str]) -> tuple[str, ...]:
    """Words of the target's texts that are rare in the sources', most frequent first, at most 200.

    A term has at least three letters and is five times as frequent as in the sources, where every word counts
    once more than it occurs: sources shorter than the target's texts show of few words that they are rare in them.
    Texts are normalised; without any source text no term is found.
    """
    wanted, known = (Counter(word for text in texts for word in text.split()) for texts in (target, source))
    if not wanted or not known:
        return ()
    own, other = wanted.total(), known.total() + len({*wanted, *known})
    found = [w for w, n in wanted.items() if _is_word(w) and n / own >= _OVER * (known[w] + 1) / other]
    return tuple(sorted(found, key=lambda word: (-wanted[word], word))[:_MOST])


def _is_word(word: str) -> bool:
    letters = sum(character.isalpha() for character in word)
    return letters >= _LETTERS or (letters > 0 and not word.isascii())


class TermCounter:
    """Counts given terms, words or phrases, in pairs of normalised texts."""

    def __init__(self, terms: Iterable[str]) -> None:
        self._by_first: dict[str, list[tuple[str, ...]]] = {}
        for term in dict.fromkeys(tuple(term.split()) for term in terms):
            if term:
                self._by_first.setdefault(term[0], []).append(term)

    def count(self, reference: str, hypothesis: str) -> Mapping[str, TermCounts]:
        """Term -> counts, of the terms that stand in either text. A phrase is right when all its words are."""
        expected, heard = (self._occurrences(text.split()) for text in (reference, hypothesis))
        if not expected and not heard:
            return {}
        right = expected if reference == hypothesis else self._right(word_alignment(reference, hypothesis))
        return {t: TermCounts(expected[t], heard[t], right[t]) for t in sorted({*expected, *heard})}

    def _occurrences(self, words: Sequence[str]) -> Counter[str]:
        found: Counter[str] = Counter()
        for start, word in enumerate(words):
            for term in self._by_first.get(word, ()):
                found[" ".join(term)] += tuple(words[start : start + len(term)]) == term
        return +found

    def _right(self, steps: Sequence[AlignedWord]) -> Counter[str]:
        # A step that is no hit cuts a phrase; the empty word stands for it, and is of no term.
        return self._occurrences([step.reference if step.op == "hit" else "" for step in steps])
