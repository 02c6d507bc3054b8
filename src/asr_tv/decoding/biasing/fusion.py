"""Phrases and n-gram together: what each next token is given besides the recogniser's own probability."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from asr_tv.decoding.biasing.ngram import END, Gram, Ngram
from asr_tv.decoding.biasing.trie import ROOT, PhraseTrie


class State(NamedTuple):
    """Where a text stands in the trie and in the n-gram."""

    node: int
    context: Gram


@dataclass(frozen=True)
class Fusion:
    """Late shallow fusion: added to ln P of a token before any is chosen.

    A text token gets its phrase score + alpha ln P_ngram + beta, the end of the text its phrase score + alpha ln
    P_ngram(end). Other tokens, such as timestamps, get nothing and change no state.

    Attributes:
        end: the recogniser's end-of-text token; text tokens are those below it.
        take_back: whether unfinished phrases lose their score again, as a beam search can make use of.
    """

    end: int
    trie: PhraseTrie | None = None
    ngram: Ngram | None = None
    alpha: float = 0.0
    beta: float = 0.0
    take_back: bool = False

    @property
    def start(self) -> State:
        return State(ROOT, self.ngram.start if self.ngram else ())

    def advance(self, state: State, token: int) -> State:
        """The state after one more token."""
        if token >= self.end:
            return state
        node = self.trie.step(state.node, token) if self.trie else ROOT
        return State(node, self.ngram.advance(state.context, token) if self.ngram else ())

    def added(self, state: State, tokens: Sequence[int]) -> list[float]:
        """The score of each of these tokens, were it the next."""
        return [self._added(state, token) for token in tokens]

    def _added(self, state: State, token: int) -> float:
        if token > self.end:
            return 0.0
        score = self._of_phrases(state.node, token) if self.trie else 0.0
        if self.ngram:
            known = END if token == self.end else token
            score += self.alpha * self.ngram.log_probability(state.context, known)
        return score + self.beta * (token != self.end)

    def _of_phrases(self, node: int, token: int) -> float:
        assert self.trie is not None  # nosec B101 - for the type checker
        if token == self.end:
            return self.trie.end(node, take_back=self.take_back)
        return self.trie.change(node, token) if self.take_back else self.trie.bonuses(node).get(token, 0.0)

    def total(self, tokens: Sequence[int]) -> float:
        """The score of a whole text, its end included; for rescoring."""
        state, score = self.start, 0.0
        for token in tokens:
            if token < self.end:
                score += self._added(state, token)
                state = self.advance(state, token)
        if self.trie:  # at a text's end no continuation competes
            score -= self.trie.unfinished(state.node)
        return score + (self.alpha * self.ngram.log_probability(state.context, END) if self.ngram else 0.0)
