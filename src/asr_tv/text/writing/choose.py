"""Chooses among sentences: terms that have none yet first, then words and word pairs that are rare so far."""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from asr_tv.text.rare_words import Known, words

_TERM, _RARE_TERM = 4.0, 8.0
_RARE_WORD, _WORD, _PAIR = 2.0, 0.25, 0.5
"""What a term, a word or a pair of words adds the first time it is said; the n-th time it adds 1/n² of it."""


@dataclass(frozen=True)
class Candidate:
    """A sentence with the terms it says; `source` is given, template or model."""

    text: str
    terms: tuple[str, ...]
    source: str


def choose(
    candidates: Sequence[Candidate], count: int, known: Known, wanted: Callable[[Candidate], bool] = lambda c: False
) -> list[Candidate]:
    """At most `count` of the candidates, in the order in which they are worth most.

    Greedy over a submodular worth, divided by the root of the length so that long sentences do not win for their
    length; equal candidates give equal choices.

    Args:
        known: words the recogniser has in its vocabulary; others count for more.
        wanted: candidates that are taken before any other.
    """
    said: Counter[str] = Counter()
    chosen: list[Candidate] = []
    # Worth only falls, so a stale value on top of the heap is an upper bound (lazy greedy).
    heap = [(-_worth(c, said, known) - 1e9 * wanted(c), c.text, i) for i, c in enumerate(candidates)]
    heapq.heapify(heap)
    while heap and len(chosen) < count:
        _, text, index = heapq.heappop(heap)
        candidate = candidates[index]
        worth = _worth(candidate, said, known) + 1e9 * wanted(candidate)
        if heap and (-worth, text) > heap[0][:2]:
            heapq.heappush(heap, (-worth, text, index))
            continue
        chosen.append(candidate)
        said.update(_parts(candidate, known).keys())
    return chosen


def _worth(candidate: Candidate, said: Counter[str], known: Known) -> float:
    parts = _parts(candidate, known)
    total = sum(weight / (1 + said[part]) ** 2 for part, weight in parts.items())
    return total / math.sqrt(max(len(candidate.text.split()), 1))


def _parts(candidate: Candidate, known: Known) -> dict[str, float]:
    spoken = [word.casefold() for word in words(candidate.text)]
    parts = {f"p {a} {b}": _PAIR for a, b in pairwise(spoken)}
    parts |= {f"w {word}": _WORD if known(word) else _RARE_WORD for word in spoken}
    for term in candidate.terms:
        rare = any(not known(word) for word in words(term))
        parts[f"t {term.casefold()}"] = _RARE_TERM if rare else _TERM
    return parts
