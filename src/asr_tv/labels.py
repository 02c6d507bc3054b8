"""What the decoder is trained to write: prompt, text and end, with only text and end scored."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

IGNORED = -100
"""The label that the cross-entropy passes over."""


def token_ids(tokenizer: Any, prompt: Sequence[int], text: str, end: int) -> tuple[int, ...]:
    """The whole sequence of one utterance: the prompt as at inference, the text as written, one end-of-text.

    The leading space is Whisper's own: its transcripts begin with one.
    """
    return (*prompt, *tokenizer.encode(" " + text.strip(), add_special_tokens=False), end)


def collate(sequences: Sequence[Sequence[int]], prompt_length: int, pad: int) -> tuple[Tensor, Tensor]:
    """Decoder inputs and labels of a batch, both of shape (batch, longest - 1).

    Inputs are the sequences without their last token, labels without their first. The prompt is not scored.
    Padding is masked by position and not by id: Whisper pads with end-of-text, and the one real end must stay.
    """
    width = max(map(len, sequences)) - 1
    inputs = torch.full((len(sequences), width), pad)
    labels = torch.full((len(sequences), width), IGNORED)
    for row, sequence in enumerate(sequences):
        length = len(sequence) - 1
        inputs[row, :length] = torch.tensor(sequence[:-1])
        labels[row, prompt_length - 1 : length] = torch.tensor(sequence[prompt_length:])
    return inputs, labels
