"""Terms: the words that characterise a domain, and how many of them a recogniser gets right."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from asr_tv.scoring.wer import word_alignment

_MIN_FREQUENCY_RATIO = 5.0
"""Between a term's frequency in the target's texts and in the sources'."""
_MAX_TERMS = 200
_MIN_LETTERS = 3


@dataclass(frozen=True, slots=True)
class TermCounts:
    """Occurrences of terms in references (`expected`), in hypotheses (`heard`), and aligned in both (`right`)."""

    expected: int = 0
    heard: int = 0
    right: int = 0

    def __add__(self, other: "TermCounts") -> "TermCounts":
        return TermCounts(self.expected + other.expected, self.heard + other.heard, self.right + other.right)

    @property
    def recall(self) -> float | None:
        """Share of the spoken terms that were recognised; None if none was spoken."""
        return self.right / self.expected if self.expected else None

    @property
    def precision(self) -> float | None:
        """Share of the recognised terms that were spoken; None if none was recognised."""
        return self.right / self.heard if self.heard else None


def find_terms(target: Iterable[str], source: Iterable[str]) -> tuple[str, ...]:
    """Words of the target's texts that are rare in the sources', most frequent first, at most 200.

    A term has at least three letters and is at least five times as frequent as in the sources, whose counts are
    smoothed by one: short sources are little evidence that a word is rare.
    Texts are normalised; without any source text no term is found.
    """
    in_target, in_source = (Counter(word for text in texts for word in text.split()) for texts in (target, source))
    if not in_target or not in_source:
        return ()
    target_total, source_total = in_target.total(), in_source.total() + len({*in_target, *in_source})
    found = [
        word
        for word, n in in_target.items()
        if _is_word(word) and n / target_total >= _MIN_FREQUENCY_RATIO * (in_source[word] + 1) / source_total
    ]
    return tuple(sorted(found, key=lambda word: (-in_target[word], word))[:_MAX_TERMS])


def _is_word(word: str) -> bool:
    letters = sum(character.isalpha() for character in word)
    return letters >= _MIN_LETTERS or (letters > 0 and not word.isascii())


class TermCounter:
    """Counts given terms (words or phrases) in pairs of normalised texts."""

    def __init__(self, terms: Iterable[str]) -> None:
        self._by_first: dict[str, list[tuple[str, ...]]] = {}
        for term in dict.fromkeys(tuple(term.split()) for term in terms):
            if term:
                self._by_first.setdefault(term[0], []).append(term)

    def count(self, reference: str, hypothesis: str) -> Mapping[str, TermCounts]:
        """Term -> counts, for terms that occur in either text; a phrase is right when all its words are."""
        expected, heard = (self._occurrences(text.split()) for text in (reference, hypothesis))
        if not expected and not heard:
            return {}
        # The empty word stands for a step that is no hit: it belongs to no term and so interrupts a phrase.
        hits = [step.reference if step.op == "hit" else "" for step in word_alignment(reference, hypothesis)]
        right = self._occurrences(hits)
        return {t: TermCounts(expected[t], heard[t], right[t]) for t in sorted({*expected, *heard})}

    def _occurrences(self, words: Sequence[str]) -> Counter[str]:
        found: Counter[str] = Counter()
        for start, word in enumerate(words):
            for term in self._by_first.get(word, ()):
                found[" ".join(term)] += tuple(words[start : start + len(term)]) == term
        return +found
