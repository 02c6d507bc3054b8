"""Chooses among sentences: first those with terms not covered yet, then those with words and word pairs rare so far."""

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from asr_tv.text.rare_words import Known, rare_words, words

_TERM, _RARE_TERM = 4.0, 8.0
_RARE_WORD, _WORD, _PAIR = 2.0, 0.25, 0.5
"""Weight of a term, a word or a word pair when it first occurs; its n-th occurrence counts 1/n² of that."""


@dataclass(frozen=True)
class Candidate:
    """A sentence with the terms in it; `source` is "given", "template" or "model"."""

    text: str
    terms: tuple[str, ...]
    source: str


def choose(candidates: Sequence[Candidate], count: int, known: Known) -> list[Candidate]:
    """At most `count` of the candidates: the user's own before all others, else the most valuable first.

    Greedy maximisation of a submodular function, divided by the square root of the length so that long sentences are
    not preferred for their length; deterministic. Words that are not known count for more.
    """
    said: Counter[str] = Counter()
    chosen: list[Candidate] = []
    # A candidate's value only falls, so a stale one on top of the heap is an upper bound (lazy greedy).
    heap = [(-_worth(c, said, known), c.text, i) for i, c in enumerate(candidates)]
    heapq.heapify(heap)
    while heap and len(chosen) < count:
        _, text, index = heapq.heappop(heap)
        candidate = candidates[index]
        worth = _worth(candidate, said, known)
        if heap and (-worth, text) > heap[0][:2]:
            heapq.heappush(heap, (-worth, text, index))
            continue
        chosen.append(candidate)
        said.update(_parts(candidate, known).keys())
    return chosen


def _worth(candidate: Candidate, said: Counter[str], known: Known) -> float:
    parts = _parts(candidate, known)
    total = sum(weight / (1 + said[part]) ** 2 for part, weight in parts.items())
    return total / math.sqrt(max(len(candidate.text.split()), 1)) + 1e9 * (candidate.source == "given")


def _parts(candidate: Candidate, known: Known) -> dict[str, float]:
    spoken = [word.casefold() for word in words(candidate.text)]
    parts = {f"p {a} {b}": _PAIR for a, b in pairwise(spoken)}
    parts |= {f"w {word}": _WORD if known(word) else _RARE_WORD for word in spoken}
    for term in candidate.terms:
        parts[f"t {term.casefold()}"] = _RARE_TERM if rare_words(term, known) else _TERM
    return parts
