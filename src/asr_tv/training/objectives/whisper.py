"""Fine-tuning a Whisper: log-mel features in its audio context, decoder tokens, and cross-entropy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_tv.audio.recordings import Wave
from asr_tv.config.run import AudioContext
from asr_tv.data.manifest import Manifest
from asr_tv.errors import DataError
from asr_tv.models.audio_context import FULL_SECONDS, SAMPLING_RATE, context_seconds, encode, log_mel
from asr_tv.models.vocabulary import load_tokenizer
from asr_tv.models.whisper import load_model, prompt_ids
from asr_tv.training.labels import IGNORED, collate, token_ids


class WhisperLoss(torch.nn.Module):
    """Cross-entropy of a Whisper over the scored positions of a batch, for audio of any length up to 30 s."""

    def __init__(self, whisper: Any) -> None:
        super().__init__()
        self.whisper = whisper

    def whole(self, _: Tensor, __: Tensor, labels: Tensor) -> Tensor:
        """The batch's count of scored tokens, with which the losses of its parts add up to its own."""
        return (labels != IGNORED).sum()

    def forward(self, features: Tensor, inputs: Tensor, labels: Tensor, whole: Tensor | None = None) -> Tensor:
        """Mean over the scored tokens of a batch; of a part of it, given the `whole`, its share of that mean.

        Features have shape (batch, mels, frames), inputs and labels (batch, length).
        """
        scored = labels != IGNORED
        _, logits = forward_scored(self.whisper, features, inputs, scored)
        if whole is None:
            return torch.nn.functional.cross_entropy(logits.float(), labels[scored])
        return torch.nn.functional.cross_entropy(logits.float(), labels[scored], reduction="sum") / whole


def forward_scored(whisper: Any, features: Tensor, inputs: Tensor, scored: Tensor) -> tuple[Tensor, Tensor]:
    """Encoder states, and logits at the scored positions only: projecting to 50,000 tokens is most of the work."""
    states = encode(whisper.model.encoder, features)
    hidden = whisper.model.decoder(input_ids=inputs, encoder_hidden_states=states).last_hidden_state
    return states, whisper.proj_out(hidden[scored])


class WhisperObjective:
    """A Whisper to be tuned, and the tokens of every utterance.

    Raises:
        DataError: all texts that are too long for the decoder.
    """

    def __init__(self, base: Path, manifest: Manifest, audio_context: AudioContext, language: str) -> None:
        self.model: Any = load_model(base)
        self._context = audio_context
        tokenizer, config = load_tokenizer(base), self.model.config
        prompt = prompt_ids(tokenizer, language)
        self._prompt_length = len(prompt)
        self._sequences = {u.id: token_ids(tokenizer, prompt, u.text, config.eos_token_id) for u in manifest}
        problems = [
            f"{name}: its text is {len(tokens)} tokens long, the decoder has {config.max_target_positions} positions"
            for name, tokens in self._sequences.items()
            if len(tokens) > config.max_target_positions
        ]
        if problems:
            raise DataError(problems)

    def loss(self) -> WhisperLoss:
        return WhisperLoss(self.model)

    def fits(self, _: str, wave: Wave) -> bool:
        """Whether an augmented clip still fits the context; cut off, it would lack words of its label."""
        return len(wave) <= context_seconds(self._context, FULL_SECONDS) * SAMPLING_RATE

    def batch(self, ids: Sequence[str], waves: Sequence[Wave], *, full: bool) -> tuple[Tensor, ...]:
        """Features, decoder inputs and labels; `full` pads to 30 s regardless of the audio context."""
        longest = max(len(wave) for wave in waves) / SAMPLING_RATE
        seconds = FULL_SECONDS if full else context_seconds(self._context, longest)
        config = self.model.config
        inputs, labels = collate([self._sequences[i] for i in ids], self._prompt_length, config.pad_token_id)
        return log_mel(waves, seconds, config.num_mel_bins, self.model.device), inputs, labels
