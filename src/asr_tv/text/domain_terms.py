"""The terms of a domain, found in its texts alone: words that are rare elsewhere, and phrases they stand in.

What is rare is told by other texts, a general word list (wordfreq), or the recogniser's vocabulary, whichever there is.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import groupby, pairwise

from asr_tv.text.rare_words import Known, words

Frequency = Callable[[str], float]
"""A word's share of general text: 1e-5 is ten in a million."""

_COMMON = 1e-5
"""Above it a word is ordinary, however frequent in the domain."""
_GENERAL_RATIO = 50.0
"""How much more frequent than in general a word that the vocabulary has as one token must be."""
_OTHERS_RATIO = 5.0
"""The same against other texts of one's own, whose counts are smoothed by one."""
_MIN_LETTERS = 3
_MIN_PAIRS = 2


@dataclass(frozen=True)
class _Words:
    """The words of texts, each in lower case beside its spelling."""

    sentences: tuple[tuple[str, ...], ...]
    counts: Counter[str]

    @property
    def total(self) -> int:
        return self.counts.total()


def domain_terms(
    texts: Sequence[str],
    known: Known,
    frequency: Frequency | None = None,
    others: Iterable[str] = (),
    *,
    most: int = 200,
) -> tuple[str, ...]:
    """Words and phrases as they are spelled in the texts, the most frequent first.

    A word is a term if it has three letters and is rare elsewhere: in the other texts, if there are any; else by its
    general frequency and the vocabulary, if that is known; else by the vocabulary alone. Neighbouring terms make a
    phrase, and so do a term and a word that mostly stand together. A term that stands in phrases only is left out.
    """
    found, background = _counted(texts), _counted(others)
    smoothed = background.total + len({*found.counts, *background.counts}) if background.total else 0

    def is_rare(word: str, n: int) -> bool:
        share = n / found.total
        if smoothed:
            return _has_letters(word) and share >= _OTHERS_RATIO * (background.counts[word] + 1) / smoothed
        return _has_letters(word) and _is_rare_in_general(word, share, known, frequency)

    rare = {word for word, n in found.counts.items() if is_rare(word, n)}
    phrases: Counter[tuple[str, ...]] = Counter()
    alone: Counter[str] = Counter()
    pairs = _pairs(found)
    for sentence in found.sentences:
        for run in _runs(sentence, rare, pairs):
            if len(run) > 1:
                phrases[run] += 1
            else:
                alone[run[0]] += 1
    counts = {" ".join(run): n for run, n in phrases.items()} | dict(alone)
    spelled = _spellings(texts, counts)
    ranked = sorted(counts, key=lambda term: (-counts[term], term))[:most]
    return tuple(spelled.get(term, term) for term in ranked)


def _counted(texts: Iterable[str]) -> _Words:
    sentences = tuple(tuple(word.lower() for word in words(text)) for text in texts)
    return _Words(sentences, Counter(word for sentence in sentences for word in sentence))


def _has_letters(word: str) -> bool:
    """Enough of them; a word of a script without an alphabet may be short."""
    letters = sum(character.isalpha() for character in word)
    return letters >= _MIN_LETTERS or bool(letters and not word.isascii())


def _is_rare_in_general(word: str, share: float, known: Known, frequency: Frequency | None) -> bool:
    if frequency is None:
        return not known(word)
    general = frequency(word)
    return general < _COMMON and (not known(word) or share >= _GENERAL_RATIO * general)


def _pairs(found: _Words) -> set[tuple[str, str]]:
    """Neighbours that occur together more than once, and at least every other time that either occurs."""
    neighbours = (pair for sentence in found.sentences for pair in pairwise(sentence))
    together = Counter(pair for pair in neighbours if min(map(len, pair)) >= _MIN_LETTERS)
    return {
        (a, b) for (a, b), n in together.items() if n >= _MIN_PAIRS and 2 * n >= max(found.counts[a], found.counts[b])
    }


def _runs(sentence: Sequence[str], rare: set[str], pairs: set[tuple[str, str]]) -> Iterator[tuple[str, ...]]:
    """The stretches of a sentence that consist of terms and of words bound to them."""
    bound = [pair in pairs for pair in pairwise(sentence)]
    inside = [word in rare for word in sentence]
    for place, together in enumerate(bound):
        if together and (sentence[place] in rare or sentence[place + 1] in rare):
            inside[place] = inside[place + 1] = True
    for is_term, run in groupby(zip(inside, sentence, strict=True), key=lambda item: item[0]):
        if is_term:
            yield tuple(word for _, word in run)


def _spellings(texts: Iterable[str], terms: Iterable[str]) -> dict[str, str]:
    """Each term as it is most often spelled; of equally frequent spellings, the one with fewer capitals."""
    wanted = set(terms)
    longest = max((term.count(" ") + 1 for term in wanted), default=0)
    seen: dict[str, Counter[str]] = {}
    for text in texts:
        spelled = words(text)
        for length in range(1, longest + 1):
            for start in range(len(spelled) - length + 1):
                surface = " ".join(spelled[start : start + length])
                if surface.lower() in wanted:
                    seen.setdefault(surface.lower(), Counter())[surface] += 1
    return {term: min(c, key=lambda s: (-c[s], sum(map(str.isupper, s)), s)) for term, c in seen.items()}


def general_frequency(language: str) -> Frequency | None:
    """By the package wordfreq; None where it is not installed or has no list of the language."""
    if find_spec("wordfreq") is None:
        return None
    import wordfreq

    if language not in wordfreq.available_languages():
        return None
    return cache(lambda word: float(wordfreq.word_frequency(word, language)))


def rarest_first(terms: Iterable[str], known: Known, frequency: Frequency | None) -> tuple[str, ...]:
    """Terms ordered for a prompt that may be cut: those whose words are rarest, the longest of equals first."""

    def rarity(term: str) -> tuple[float, bool, int, str]:
        own = words(term)
        general = min((frequency(word.lower()) for word in own), default=0.0) if frequency else 0.0
        return general, all(map(known, own)), -len(term), term

    return tuple(sorted(terms, key=rarity))
