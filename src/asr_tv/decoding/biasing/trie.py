"""Boosted phrases as a trie over tokens with fail links (Aho and Corasick 1975), which finds them anywhere in a text.

The score of a phrase's n-th token is boost x (1 + ln n), as in NeMo's GPU-PB for attention decoders (arXiv 2508.07014).
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from math import log

ROOT = 0
"""The node of a text in which no phrase has begun."""


class PhraseTrie:
    """Nodes are numbers; each stands for the longest end of a text that some phrase begins with.

    Args:
        phrases: token sequences, none of them empty; equal ones count once, and a shared beginning is shared.
        boost: the weight of all scores.
    """

    def __init__(self, phrases: Iterable[Sequence[int]], boost: float) -> None:
        self._boost = boost
        self._children: list[dict[int, int]] = [{}]
        self._depth, self._whole, self._fail = [0], [False], [ROOT]
        self._total, self._kept = [0.0], [0.0]
        for phrase in phrases:
            self._add(phrase)
        self._link()
        self._bonuses: dict[int, Mapping[int, float]] = {}

    def _add(self, phrase: Sequence[int]) -> None:
        node = ROOT
        for token in phrase:
            if (child := self._children[node].get(token)) is None:
                child = self._children[node][token] = len(self._children)
                self._children.append({})
                self._depth.append(self._depth[node] + 1)
                self._whole.append(False)
                self._fail.append(ROOT)
                self._total.append(self._total[node] + self._boost * (1 + log(self._depth[child])))
                self._kept.append(0.0)
            node = child
        self._whole[node] = node != ROOT

    def _link(self) -> None:
        """Sets fail links and kept scores, shorter beginnings first."""
        waiting = deque([ROOT])
        while waiting:
            node = waiting.popleft()
            for token, child in self._children[node].items():
                if node != ROOT:
                    self._fail[child] = self.step(self._fail[node], token)
                kept = max(self._kept[node], self._kept[self._fail[child]])
                self._kept[child] = self._total[child] if self._whole[child] else kept
                waiting.append(child)

    def _parent(self, node: int, token: int) -> int:
        """The first node on the way over fail links that has a child for the token, else the root."""
        while node != ROOT and token not in self._children[node]:
            node = self._fail[node]
        return node

    def step(self, node: int, token: int) -> int:
        """The node after one more token."""
        return self._children[self._parent(node, token)].get(token, ROOT)

    def bonuses(self, node: int) -> Mapping[int, float]:
        """Token -> its score for every token that begins or continues a phrase; of several, the longest's.

        For greedy decoding, which cannot take back what it gave to a phrase that then was not finished.
        """
        if (known := self._bonuses.get(node)) is None:
            own = {token: self._boost * (1 + log(self._depth[child])) for token, child in self._children[node].items()}
            known = self._bonuses[node] = own if node == ROOT else {**self.bonuses(self._fail[node]), **own}
        return known

    def change(self, node: int, token: int) -> float:
        """What a token adds to a text's score: its own, less that of phrases which it leaves unfinished.

        Summed over a text it is the score of the phrases in it, and of the one that its end has begun. For beam search.
        """
        parent = self._parent(node, token)
        reached = self._children[parent].get(token, ROOT)
        return self._total[reached] - self._kept[parent] - self.unfinished(node) if reached else -self.unfinished(node)

    def unfinished(self, node: int) -> float:
        """The score in a node that leaving it takes back."""
        return self._total[node] - self._kept[node]

    def end(self, node: int, *, take_back: bool) -> float:
        """The score of ending a text: as much as the best continuation's, and `boost` more at a phrase's end.

        Otherwise what begins a phrase would be preferred to ending, and heard where nobody speaks (as in GPU-PB).
        """
        best = max(self.bonuses(node).values(), default=0.0)
        return best + self._boost * self._whole[node] - (self.unfinished(node) if take_back else 0.0)
