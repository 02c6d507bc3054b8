"""What a Whisper learns from: log-mel features of a batch in its audio context, decoder tokens, and its loss."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from asr_tv.checkpoint.vocabulary import load_tokenizer
from asr_tv.checkpoint.whisper import load_model, prompt_ids
from asr_tv.config import AudioContext
from asr_tv.errors import DataError
from asr_tv.labels import collate, token_ids
from asr_tv.manifest import Manifest
from asr_tv.short_context import FULL_SECONDS, SAMPLING_RATE, context_seconds, log_mel
from asr_tv.training_loss import WhisperLoss


class WhisperLessons:
    """A Whisper to be tuned and every sentence's tokens.

    Raises:
        DataError: all texts that are longer than the decoder, before any training.
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
        """The model wrapped in its loss, which takes what `batch` gives."""
        return WhisperLoss(self.model)

    def fits(self, _: str, wave: NDArray[np.float32]) -> bool:
        """Whether a changed clip is still short enough; cut, it would lose words that its label keeps."""
        return len(wave) <= context_seconds(self._context, FULL_SECONDS) * SAMPLING_RATE

    def batch(self, ids: Sequence[str], waves: Sequence[NDArray[np.float32]], *, full: bool) -> tuple[Tensor, ...]:
        """Features, decoder inputs and labels.

        Args:
            full: pad to 30 s in spite of the audio context.
        """
        longest = max(len(wave) for wave in waves) / SAMPLING_RATE
        seconds = FULL_SECONDS if full else context_seconds(self._context, longest)
        config = self.model.config
        inputs, labels = collate([self._sequences[i] for i in ids], self._prompt_length, config.pad_token_id)
        return log_mel(waves, seconds, config.num_mel_bins, self.model.device), inputs, labels
