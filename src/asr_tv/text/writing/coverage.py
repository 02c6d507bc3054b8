"""What a written corpus covers: terms, rare words, and the sources of its sentences."""

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
    """Sentences per term, terms without a sentence, rare words, sources, and reasons for drops, as JSON values."""
    said = Counter(term.casefold() for candidate in chosen for term in candidate.terms)
    counts = {term.text: said[term.text.casefold()] for term in terms}
    sentences = [[word.casefold() for word in words(candidate.text)] for candidate in chosen]
    spoken = [word for sentence in sentences for word in sentence]
    rare = Counter(word.casefold() for c in chosen for word in rare_words(c.text, known))
    return {
        "sentences": len(chosen),
        "words": len(spoken),
        "distinct_words": len(set(spoken)),
        "distinct_word_pairs": len({pair for sentence in sentences for pair in pairwise(sentence)}),
        "rare_words": dict(sorted(rare.items(), key=lambda item: (-item[1], item[0]))),
        "sources": dict(sorted(Counter(c.source for c in chosen).items())),
        "terms": counts,
        "rare_terms": [term.text for term in terms if rare_words(term.text, known)],
        "terms_without_a_sentence": [text for text, count in counts.items() if not count],
        "dropped": dict(sorted(dropped.items())),
    }
