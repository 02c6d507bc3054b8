"""A word n-gram that remembers how a domain speaks in a few kilobytes, and writes sentences like it.

P(w | h) = b · c(h w) / c(h) + (1 - b) · P(w | h without its first word), and c(w) / c() for single words: Jelinek-
Mercer smoothing with one weight b for every context, which a draw follows by backing off with probability 1 - b.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

BACKOFF = 0.9
"""The weight b of LAMOL's analogue for speech: measured in docs/replay.md."""
BEGIN, END = "<s>", "</s>"
Context = tuple[str, ...]


@dataclass(frozen=True)
class WordModel:
    """Counts of words after the longest contexts; those of shorter ones follow from them.

    Attributes:
        order: of the longest gram.
        counts: context of up to order - 1 words -> word or `END` -> how often.
    """

    order: int
    counts: Mapping[Context, Mapping[str, int]]

    @cached_property
    def _followers(self) -> dict[Context, dict[str, int]]:
        found: dict[Context, Counter[str]] = defaultdict(Counter)
        for context, after in self.counts.items():
            for start in range(len(context) + 1):
                found[context[start:]].update(after)
        return {context: dict(sorted(after.items())) for context, after in found.items()}

    @property
    def vocabulary(self) -> frozenset[str]:
        """All words that it can write, and `END`."""
        return frozenset(self._followers[()])

    def probability(self, word: str, context: Sequence[str] = ()) -> float:
        """P(word | context), of which the last order - 1 words count."""
        known = self._followers
        total, weight = 0.0, 1.0
        at = self._cut(context)
        while at:
            if (after := known.get(at)) is not None:
                total += weight * BACKOFF * after.get(word, 0) / sum(after.values())
                weight *= 1 - BACKOFF
            at = at[1:]
        return total + weight * known[()].get(word, 0) / sum(known[()].values())

    def draw(self, random: np.random.Generator, longest: int = 40) -> list[str]:
        """The words of one sentence, of `longest` at most."""
        words: list[str] = []
        while len(words) < longest:
            at = self._cut((BEGIN, *words))
            while at and (at not in self._followers or random.random() >= BACKOFF):
                at = at[1:]
            after = self._followers[at]
            place = int(random.integers(sum(after.values())))
            word = next(w for w, end in zip(after, np.cumsum(list(after.values())), strict=True) if place < end)
            if word == END:
                break
            words.append(word)
        return words

    def _cut(self, context: Sequence[str]) -> Context:
        return tuple(context)[max(0, len(context) + 1 - self.order) :]

    def row(self) -> dict[str, Any]:
        """As JSON: the words once, and numbers for them."""
        words = sorted({w for context, after in self.counts.items() for w in (*context, *after)})
        place = {word: number for number, word in enumerate(words)}
        grams = [
            [*(place[w] for w in (*c, w)), n] for c, after in sorted(self.counts.items()) for w, n in after.items()
        ]
        return {"order": self.order, "words": words, "grams": grams}


def train_words(sentences: Iterable[Sequence[str]], order: int) -> WordModel:
    """Counts the words of sentences.

    Raises:
        ValueError: an order below 1, no sentence, or a word that stands for a sentence's begin or end.
    """
    counts: dict[Context, Counter[str]] = defaultdict(Counter)
    for words in sentences:
        if order < 1 or {BEGIN, END} & set(words):
            raise ValueError(f"an order of {order}, or {BEGIN} or {END} as a word")
        padded = (BEGIN, *words, END)
        for place in range(1, len(padded)):
            counts[padded[max(0, place - order + 1) : place]][padded[place]] += 1
    if not counts:
        raise ValueError("no sentence to count words in")
    return WordModel(order, {context: dict(sorted(after.items())) for context, after in counts.items()})


def parse_words(row: Any) -> WordModel:
    """The model of `WordModel.row`.

    Raises:
        ValueError: it is none.
    """
    try:
        order, words, grams = int(row["order"]), list(map(str, row["words"])), row["grams"]
        counts: dict[Context, dict[str, int]] = defaultdict(dict)
        for *gram, number in grams:
            if not 1 <= len(gram) <= order or int(number) < 1 or min(gram) < 0:
                raise ValueError(f"a gram of {len(gram)} words, {number} times")
            *context, word = (words[place] for place in gram)
            counts[tuple(context)][word] = int(number)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not a text model: {error!r}") from None
    model = WordModel(order, dict(counts))
    if not counts or END not in model.vocabulary:
        raise ValueError("no sentence of it ends")
    return model
