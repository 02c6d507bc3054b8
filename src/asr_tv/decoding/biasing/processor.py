"""Fusion inside transformers' generation: a processor of the scores of each next token, for greedy and beam search."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from asr_tv.decoding.biasing.fusion import Fusion, State

CANDIDATES = 50
"""Only so many tokens, the recogniser's best, can be chosen: no list or n-gram makes it say what it does not hear."""


class FusionProcessor:
    """Adds a fusion's scores to ln P of the recogniser's best tokens, and excludes all others.

    Args:
        begin: how many tokens precede the text.
        internal_lm: tokens so far, shape (rows, length) -> ln P of each next token without the recording, shape
            (rows, vocabulary); subtracted with weight `gamma` from text tokens.
    """

    def __init__(
        self, fusion: Fusion, begin: int, internal_lm: Callable[[Tensor], Tensor] | None = None, gamma: float = 0.0
    ) -> None:
        self._fusion, self._begin = fusion, begin
        self._internal_lm, self._gamma = internal_lm, gamma
        self._states: dict[tuple[int, ...], State] = {(): fusion.start}

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        # What Whisper suppresses is minus infinity by now, so this normalises over what is left.
        best, tokens = torch.log_softmax(scores.float(), dim=-1).topk(min(CANDIDATES, scores.shape[-1]))
        rows = input_ids[:, self._begin :].tolist()
        added = [self._fusion.added(self._state(row), own) for row, own in zip(rows, tokens.tolist(), strict=True)]
        best = best + torch.tensor(added, device=best.device)
        if self._internal_lm is not None:
            internal = self._internal_lm(input_ids).gather(1, tokens)
            best = best - self._gamma * internal.where(tokens < self._fusion.end, 0.0)
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens, best)

    def _state(self, row: Sequence[int]) -> State:
        """Of the tokens so far: one step from that of all but the last, which the step before has asked for."""
        key = tuple(row)
        if (known := self._states.get(key)) is None:
            known = self._states[key] = self._fusion.advance(self._state(key[:-1]), key[-1])
        return known
