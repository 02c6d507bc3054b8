"""Token n-gram models with back-off: trained by Witten-Bell smoothing, mixed, and asked token by token.

All probabilities are natural logarithms; an ARPA file holds base-10 ones.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log, log1p

Gram = tuple[int, ...]
BEGIN, END = -1, -2
"""Stand in a gram for the start and the end of a text; tokens are ids from 0."""


@dataclass(frozen=True)
class Ngram:
    """P(token | the tokens before it), in back-off form (Katz 1987).

    Attributes:
        order: of the longest gram.
        vocabulary: how many text tokens there are; ids are below it.
        probabilities: gram -> ln P(its last token | its others).
        backoffs: gram -> ln of the weight of the shorter context where a token does not follow; 0 where not given.
        rest: ln P of each single token without a probability of its own.
    """

    order: int
    vocabulary: int
    probabilities: Mapping[Gram, float]
    backoffs: Mapping[Gram, float]
    rest: float
    _asked: dict[Gram, dict[int, float]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def start(self) -> Gram:
        """The state before the first token."""
        return (BEGIN,) if self.order > 1 else ()

    def log_probability(self, state: Gram, token: int) -> float:
        """Of a token, or of `END`, after a state."""
        asked = self._asked.setdefault(state, {})
        if (known := asked.get(token)) is None:
            known = asked[token] = self._look_up(state, token)
        return known

    def _look_up(self, state: Gram, token: int) -> float:
        weight = 0.0
        while (found := self.probabilities.get((*state, token))) is None:
            if not state:
                return weight + self.rest
            weight += self.backoffs.get(state, 0.0)
            state = state[1:]
        return weight + found

    def advance(self, state: Gram, token: int) -> Gram:
        """The state after one more token: the longest context that the model knows."""
        return self.known((*state, token))

    def known(self, context: Gram) -> Gram:
        """The longest end of a context that the model holds."""
        context = context[max(0, len(context) + 1 - self.order) :]
        while context and context not in self.backoffs:
            context = context[1:]
        return context

    def score(self, tokens: Sequence[int]) -> float:
        """The ln P of a whole text, its end included."""
        state, total = self.start, 0.0
        for token in tokens:
            total += self.log_probability(state, token)
            state = self.advance(state, token)
        return total + self.log_probability(state, END)


def train(texts: Iterable[Sequence[int]], order: int, vocabulary: int) -> Ngram:
    """Interpolated Witten-Bell smoothing (Chen and Goodman 1998, section 2.5) above a uniform distribution.

    P(w | h) = (c(h w) + T(h) P(w | h')) / (c(h) + T(h)), where T(h) counts the different tokens seen after h, and h' is
    h without its first token.

    Raises:
        ValueError: no text, an order below 1, or a token outside the vocabulary.
    """
    if order < 1:
        raise ValueError(f"an order of {order}; at least 1")
    counts = _followers(texts, order, vocabulary)
    if not counts:
        raise ValueError("no text to count n-grams in")
    uniform = 1 / (vocabulary + 1)  # the end counts as a token
    probabilities: dict[Gram, float] = {}
    backoffs: dict[Gram, float] = {}
    for context in sorted(counts, key=len):
        after = counts[context]
        total = after.total() + len(after)
        backoffs[context] = log(len(after) / total)
        for token, count in after.items():
            # What follows a context also follows each shorter one, so that its probability is there already.
            lower = exp(probabilities[*context[1:], token]) if context else uniform
            probabilities[*context, token] = log((count + len(after) * lower) / total)
    return Ngram(order, vocabulary, probabilities, backoffs, backoffs[()] + log(uniform))


def _followers(texts: Iterable[Sequence[int]], order: int, vocabulary: int) -> dict[Gram, Counter[int]]:
    counts: dict[Gram, Counter[int]] = defaultdict(Counter)
    for text in texts:
        if outside := [token for token in text if not 0 <= token < vocabulary]:
            raise ValueError(f"token {outside[0]} is no text token; those are below {vocabulary}")
        padded = (BEGIN, *text, END)
        for place in range(1, len(padded)):
            for length in range(min(order - 1, place) + 1):
                counts[padded[place - length : place]][padded[place]] += 1
    return counts


def mix(first: Ngram, second: Ngram, share: float) -> Ngram:
    """One model of both: (1 - share) first + share second for every gram that either holds, back-off weights anew.

    This is the static interpolation of SRILM (Stolcke 2002): probabilities still add up to one after every context.

    Raises:
        ValueError: the vocabularies differ, or the share is not between 0 and 1.
    """
    if first.vocabulary != second.vocabulary or not 0 <= share <= 1:
        raise ValueError(f"vocabularies of {first.vocabulary} and {second.vocabulary} tokens, a share of {share:g}")
    grams = sorted({*first.probabilities, *second.probabilities}, key=lambda gram: (len(gram), gram))
    mixed = {gram: _mean(first, second, gram[:-1], gram[-1], share) for gram in grams}
    singles = sum(len(gram) == 1 for gram in grams)
    seen = sum(exp(mixed[gram]) for gram in grams[:singles])
    rest = log(max(1 - seen, 1e-12) / max(1, first.vocabulary + 1 - singles))
    order = max(first.order, second.order)
    return Ngram(order, first.vocabulary, mixed, dict(_weights(mixed, rest)), rest)


def _mean(first: Ngram, second: Ngram, context: Gram, token: int, share: float) -> float:
    a, b = (exp(model.log_probability(model.known(context), token)) for model in (first, second))
    return log((1 - share) * a + share * b)


def _weights(probabilities: Mapping[Gram, float], rest: float) -> Iterator[tuple[Gram, float]]:
    """Each context's back-off weight: what its own grams leave, over what they leave of the shorter context's."""
    following: dict[Gram, list[int]] = defaultdict(list)
    for gram in probabilities:
        following[gram[:-1]].append(gram[-1])
    weights: dict[Gram, float] = {}
    for context in sorted(following, key=len):
        if not context:
            weights[context] = 0.0
            yield context, 0.0
            continue
        lower = Ngram(len(context), 0, probabilities, weights, rest)
        taken = sum(exp(probabilities[*context, token]) for token in following[context])
        below = sum(exp(lower.log_probability(lower.known(context[1:]), token)) for token in following[context])
        weights[context] = log(max(1 - taken, 1e-12)) - log1p(-min(below, 1 - 1e-12))
        yield context, weights[context]
