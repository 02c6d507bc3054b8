"""What a written corpus covers: its terms, its rare words, where its sentences came from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from asr_tv.text.rare_words import Known, rare_words, words
from asr_tv.text.writing.choose import Candidate
from asr_tv.text.writing.terms import Term


def coverage(
    chosen: Sequence[Candidate], terms: Sequence[Term], known: Known, dropped: Mapping[str, int]
) -> dict[str, Any]:
    """JSON-able counts: sentences a term, the terms without one, rare words, sources and what was dropped why."""
    said = Counter(term.casefold() for candidate in chosen for term in candidate.terms)
    counts = {term.text: said[term.text.casefold()] for term in terms}
    spoken = [word.casefold() for candidate in chosen for word in words(candidate.text)]
    pairs = {pair for c in chosen for pair in _pairs(c.text)}
    rare = Counter(word.casefold() for c in chosen for word in rare_words(c.text, known))
    return {
        "sentences": len(chosen),
        "words": len(spoken),
        "distinct_words": len(set(spoken)),
        "distinct_word_pairs": len(pairs),
        "rare_words": dict(sorted(rare.items(), key=lambda item: (-item[1], item[0]))),
        "sources": dict(sorted(Counter(c.source for c in chosen).items())),
        "terms": counts,
        "rare_terms": [t.text for t in terms if any(not known(word) for word in words(t.text))],
        "terms_without_a_sentence": [text for text, count in counts.items() if not count],
        "dropped": dict(sorted(dropped.items())),
    }


def _pairs(text: str) -> list[tuple[str, str]]:
    spoken = [word.casefold() for word in words(text)]
    return list(pairwise(spoken))
