"""Greedy decoding of a batch by transformers, on encoder states of any length."""

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_tv.devices import shape_independent_attention
from asr_tv.models.audio_context import encode
from asr_tv.models.tensors import TIED
from asr_tv.models.whisper import load_model


class TorchDecoder:
    """A Whisper on a device.

    Args:
        prompt: tokens that decoding starts from.
        first_timestamp: the token of 0 s, where Whisper's rules of timestamps are to hold; None for a prompt that
            asks for none.
        bf16: whether the encoder computes in bf16.

    Attributes:
        own_state: its weights as they were loaded.
    """

    def __init__(
        self, directory: Path, prompt: Sequence[int], first_timestamp: int | None, device: torch.device, *, bf16: bool
    ) -> None:
        self._model = load_model(directory).to(device).eval()
        self._prompt, self._first_timestamp = list(prompt), first_timestamp
        self._device, self._bf16 = device, bf16
        state = self._model.state_dict()
        own = {name: tensor.cpu().clone() for name, tensor in state.items() if name not in TIED}
        self.own_state: Mapping[str, Tensor] = own

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Takes other weights; the tied output comes with the embedding."""
        self._model.load_state_dict(state, strict=False)

    @torch.inference_mode()
    def tokens(self, features: Tensor, limit: int) -> list[list[int]]:
        """Token ids after the prompt, at most `limit`."""
        with shape_independent_attention(self._device):
            generated: Tensor = self._generated(features, limit)
        return generated[:, len(self._prompt) :].tolist()

    def _generated(self, features: Tensor, limit: int) -> Any:
        """Prompt and tokens, shape (batch, tokens), through the generic generation of transformers.

        Whisper's own `generate` insists on 30 s of features; the generic one takes encoder states of any length.
        """
        from transformers import GenerationMixin
        from transformers.modeling_outputs import BaseModelOutput

        settings = self._generation(limit)
        with self._autocast():
            states = encode(self._model.model.encoder, features).float()
        prompt = torch.tensor([self._prompt] * len(states), device=self._device)
        return GenerationMixin.generate(
            self._model,
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=torch.ones(states.shape[:2], dtype=torch.long, device=self._device),
            decoder_input_ids=prompt,
            decoder_attention_mask=torch.ones_like(prompt),
            generation_config=settings,
            logits_processor=self._timestamp_rules(settings),
        )

    def _timestamp_rules(self, settings: Any) -> Any:
        """Whisper's own rules of where a timestamp may stand, without which it seldom writes any."""
        from transformers import LogitsProcessorList, WhisperTimeStampLogitsProcessor

        if self._first_timestamp is None:
            return LogitsProcessorList()

        settings.update(no_timestamps_token_id=self._first_timestamp - 1, max_initial_timestamp_index=50)
        return LogitsProcessorList([WhisperTimeStampLogitsProcessor(settings, begin_index=len(self._prompt))])

    def _generation(self, limit: int) -> Any:
        """The checkpoint's own settings (suppressed tokens and the like), greedy and bounded."""
        settings = copy.deepcopy(self._model.generation_config)
        settings.update(max_length=len(self._prompt) + limit, max_new_tokens=None, do_sample=False, num_beams=1)
        return settings

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self._device.type, torch.bfloat16) if self._bf16 else nullcontext()
