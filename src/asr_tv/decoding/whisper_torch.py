"""Greedy decoding of a batch by transformers, from encoder states of any length."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_tv.devices import shape_independent_attention
from asr_tv.models.audio_context import encode
from asr_tv.models.tensors import TIED
from asr_tv.models.whisper import load_model

MAX_INITIAL_TIMESTAMP = 50
"""In units of 0.02 s: the first timestamp is at most 1 s, as in openai-whisper."""


class TorchDecoder:
    """A Whisper as a `Decoder`; `bf16` is for its encoder only.

    Args:
        first_timestamp: the token of 0 s, to apply Whisper's rules for timestamps; None for a prompt without them.
    """

    def __init__(
        self, directory: Path, prompt: Sequence[int], first_timestamp: int | None, device: torch.device, *, bf16: bool
    ) -> None:
        self._model = load_model(directory).to(device).eval()
        self._prompt, self._first_timestamp = list(prompt), first_timestamp
        self._device, self._bf16 = device, bf16
        state = self._model.state_dict()
        self.own_state: Mapping[str, Tensor] = {n: t.cpu().clone() for n, t in state.items() if n not in TIED}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self._model.load_state_dict(state, strict=False)  # the tied output follows the embedding

    @torch.inference_mode()
    def tokens(self, features: Tensor, limit: int) -> list[list[int]]:
        with shape_independent_attention(self._device):
            generated: Tensor = self._generate(features, limit)
        return generated[:, len(self._prompt) :].tolist()

    def _generate(self, features: Tensor, limit: int) -> Any:
        """Prompt and tokens, shape (batch, tokens), by the generic `generate` of transformers.

        Whisper's own requires 30 s of features; the generic one takes encoder states of any length.
        """
        from transformers import GenerationMixin
        from transformers.modeling_outputs import BaseModelOutput

        settings = copy.deepcopy(self._model.generation_config)  # has the checkpoint's suppressed tokens
        settings.update(max_length=len(self._prompt) + limit, max_new_tokens=None, do_sample=False, num_beams=1)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
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
        """Whisper's own rules for the positions of timestamps, without which it rarely writes any."""
        from transformers import LogitsProcessorList, WhisperTimeStampLogitsProcessor

        if self._first_timestamp is None:
            return LogitsProcessorList()
        settings.update(
            no_timestamps_token_id=self._first_timestamp - 1, max_initial_timestamp_index=MAX_INITIAL_TIMESTAMP
        )
        return LogitsProcessorList([WhisperTimeStampLogitsProcessor(settings, begin_index=len(self._prompt))])
