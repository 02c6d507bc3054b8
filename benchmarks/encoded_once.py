"""Encoder states that decodings of one model share, so that a table of many rows encodes each recording once."""

import hashlib
import time
from typing import Any

import torch
from torch import Tensor

from asr_tv.decoding import whisper_torch
from asr_tv.models.audio_context import encode


class EncodedOnce:
    """Takes the place of the torch engine's `encode`; states are known by the encoder's weights and the features.

    Attributes:
        seconds: processor seconds that the states took which were asked for, whenever they were made.
        done: processor seconds that went into making or finding states.
    """

    def __init__(self) -> None:
        self._states: dict[str, tuple[Tensor, float]] = {}
        self.seconds = self.done = 0.0

    def __enter__(self) -> "EncodedOnce":
        whisper_torch.encode = self  # type: ignore[assignment]
        return self

    def __exit__(self, *_: object) -> None:
        whisper_torch.encode = encode

    def __call__(self, encoder: Any, features: Tensor) -> Tensor:
        begun = time.process_time()
        key = _digest([features, *encoder.parameters()])
        if key not in self._states:
            encoding = time.process_time()
            states = encode(encoder, features)
            self._states[key] = states, time.process_time() - encoding
        states, seconds = self._states[key]
        self.seconds += seconds
        self.done += time.process_time() - begun
        return states


def _digest(tensors: list[Tensor]) -> str:
    found = hashlib.sha256()
    with torch.inference_mode():
        for tensor in tensors:
            found.update(tensor.contiguous().cpu().numpy().tobytes())
    return found.hexdigest()
