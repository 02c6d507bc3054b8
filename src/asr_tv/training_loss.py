"""The loss of a batch as one module, so that whatever wraps a model for devices or precision wraps all of it."""

from typing import Any

import torch
from torch import Tensor

from asr_tv.labels import IGNORED
from asr_tv.short_context import encode


class WhisperLoss(torch.nn.Module):
    """Cross-entropy of a Whisper over the scored positions of a batch, audio of any length up to 30 s."""

    def __init__(self, whisper: Any) -> None:
        super().__init__()
        self.whisper = whisper

    def whole(self, _: Tensor, __: Tensor, labels: Tensor) -> Tensor:
        """What the losses of a batch's parts are divided by to add up to the batch's: its scored tokens."""
        return (labels != IGNORED).sum()

    def forward(self, features: Tensor, inputs: Tensor, labels: Tensor, whole: Tensor | None = None) -> Tensor:
        """Mean over the scored tokens.

        Args:
            features: shape (batch, mels, frames).
            inputs: decoder tokens, shape (batch, length).
            labels: the token after each, or `IGNORED`; same shape.
            whole: of the batch that this is a part of; the part's share of its loss is returned.
        """
        states = encode(self.whisper.model.encoder, features)
        hidden = self.whisper.model.decoder(input_ids=inputs, encoder_hidden_states=states).last_hidden_state
        # Only scored positions meet the vocabulary: its 50,000 rows are most of the decoder's work.
        scored = labels != IGNORED
        logits = self.whisper.proj_out(hidden[scored])
        if whole is None:
            return torch.nn.functional.cross_entropy(logits.float(), labels[scored])
        return torch.nn.functional.cross_entropy(logits.float(), labels[scored], reduction="sum") / whole
