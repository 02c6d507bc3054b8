"""Greedy and beam search of a batch by transformers, from encoder states of any length."""

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_tv.decoding.biasing.processor import FusionProcessor
from asr_tv.decoding.biasing.search import Search
from asr_tv.devices import shape_independent_attention
from asr_tv.models.audio_context import encode
from asr_tv.models.tensors import TIED
from asr_tv.models.whisper import load_model

MAX_INITIAL_TIMESTAMP = 50
"""In units of 0.02 s: the first timestamp is at most 1 s, as in openai-whisper."""


class TorchDecoder:
    """A Whisper as a `Decoder`; `bf16` is for its encoder only.

    Args:
        prompt: the tokens that every text begins after.
        first_timestamp: the token of 0 s, to apply Whisper's rules for timestamps; None for a prompt without them.
    """

    def __init__(
        self,
        directory: Path,
        prompt: Sequence[int],
        first_timestamp: int | None,
        device: torch.device,
        search: Search,
        *,
        bf16: bool,
    ) -> None:
        self._model = load_model(directory).to(device).eval()
        self._prompt, self._first_timestamp = list(prompt), first_timestamp
        self._device, self._bf16, self._search = device, bf16, search
        state = self._model.state_dict()
        self.own_state: Mapping[str, Tensor] = {n: t.cpu().clone() for n, t in state.items() if n not in TIED}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self._model.load_state_dict(state, strict=False)  # the tied output follows the embedding

    @torch.inference_mode()
    def tokens(self, features: Tensor, limit: int, previous: Sequence[int] = ()) -> list[list[int]]:
        return self.tokens_of(self.states(features), limit, previous)

    @torch.inference_mode()
    def states(self, features: Tensor) -> Tensor:
        """Encoder states (batch, frames / 2, width), fp32."""
        attention = shape_independent_attention(self._device)
        with attention, torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            return encode(self._model.model.encoder, features).float()

    @torch.inference_mode()
    def tokens_of(
        self, states: Tensor, limit: int, previous: Sequence[int] = (), search: Search | None = None
    ) -> list[list[int]]:
        """As `tokens`, of encoder states, and perhaps with another search than the decoder's own."""
        prompt = [*previous, *self._prompt]
        with shape_independent_attention(self._device):
            generated: Tensor = self._generate(states, prompt, limit, search or self._search)
        return generated[:, len(prompt) :].tolist()

    @torch.inference_mode()
    def mean_log_probability(self, state: Tensor, tokens: Sequence[int], previous: Sequence[int] = ()) -> float:
        """Mean ln P of the tokens of one recording, state (1, frames, width); 0 of none."""
        found = self.log_probabilities(state, tokens, previous)
        return sum(found) / len(found) if found else 0.0

    @torch.inference_mode()
    def log_probabilities(self, state: Tensor, tokens: Sequence[int], previous: Sequence[int] = ()) -> list[float]:
        """Ln P of each token of one recording, state (1, frames, width), all of those before it given."""
        if not tokens:
            return []
        begin = [*previous, *self._prompt]
        row = torch.tensor([[*begin, *tokens]], device=self._device)
        hidden = self._model.model.decoder(input_ids=row[:, :-1], encoder_hidden_states=state).last_hidden_state
        log_p = torch.log_softmax(self._model.proj_out(hidden[0, len(begin) - 1 :]).float(), dim=-1)
        found: list[float] = log_p.gather(1, row[0, len(begin) :, None])[:, 0].tolist()
        return found

    @torch.inference_mode()
    def probability_at_start(self, state: Tensor, token: int) -> float:
        """P of a token right after the first of a text's own prompt, where Whisper tells that nobody speaks."""
        row = torch.tensor([self._prompt[:1]], device=self._device)
        hidden = self._model.model.decoder(input_ids=row, encoder_hidden_states=state).last_hidden_state
        return float(torch.softmax(self._model.proj_out(hidden[0, -1]).float(), dim=-1)[token])

    def _generate(self, states: Tensor, begin: Sequence[int], limit: int, search: Search) -> Any:
        """Prompt and tokens, shape (batch, tokens), by the generic `generate` of transformers.

        Whisper's own requires 30 s of features; the generic one takes encoder states of any length.
        """
        from transformers import GenerationMixin
        from transformers.modeling_outputs import BaseModelOutput

        settings = copy.deepcopy(self._model.generation_config)  # has the checkpoint's suppressed tokens
        settings.update(max_length=len(begin) + limit, max_new_tokens=None, do_sample=False, num_beams=search.beams)
        prompt = torch.tensor([begin] * len(states), device=self._device)
        return GenerationMixin.generate(
            self._model,
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=torch.ones(states.shape[:2], dtype=torch.long, device=self._device),
            decoder_input_ids=prompt,
            decoder_attention_mask=torch.ones_like(prompt),
            generation_config=settings,
            logits_processor=self._processors(settings, len(begin), search),
        )

    def _processors(self, settings: Any, begin: int, search: Search) -> Any:
        """Whisper's own rules for the positions of timestamps, without which it rarely writes any; then the fusion."""
        from transformers import LogitsProcessorList, WhisperTimeStampLogitsProcessor

        processors: list[Any] = []
        if self._first_timestamp is not None:
            settings.update(
                no_timestamps_token_id=self._first_timestamp - 1, max_initial_timestamp_index=MAX_INITIAL_TIMESTAMP
            )
            processors.append(WhisperTimeStampLogitsProcessor(settings, begin_index=begin))
        if search.fusion is not None:
            processors.append(FusionProcessor(search.fusion, begin, self._internal_lm(), search.gamma))
        return LogitsProcessorList(processors)

    def _internal_lm(self) -> Any:
        """The decoder as a language model of its own: its cross-attention sees one encoder state, whatever is spoken.

        Every step computes all positions anew, since the cache belongs to the decoding itself.
        """
        if self._search.internal_lm is None:
            return None
        return partial(_log_probabilities, self._model, self._search.internal_lm.to(self._device))


def _log_probabilities(model: Any, state: Tensor, tokens: Tensor) -> Tensor:
    hidden = model.model.decoder(input_ids=tokens, encoder_hidden_states=state.expand(len(tokens), -1, -1))
    return torch.log_softmax(model.proj_out(hidden.last_hidden_state[:, -1]).float(), dim=-1)
