"""Teaches a Whisper to hear on a short audio context what it hears on 30 s: distillation from itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax, mse_loss

from asr_tv.data.manifest import Manifest
from asr_tv.models.audio_context import FULL_SECONDS, SAMPLING_RATE, context_seconds, encode, log_mel
from asr_tv.models.whisper import load_model
from asr_tv.seeds import generator
from asr_tv.training.labels import IGNORED
from asr_tv.training.objectives.whisper import WhisperLessons

_DYNAMIC_SHARE = 0.5
"""Half of the batches as short as they can be, the others anything up to 30 s, so that every context is safe."""


class ShortContextLessons(WhisperLessons):
    """The pupil, and its frozen former self as teacher; the teacher always hears 30 s."""

    def __init__(self, base: Path, manifest: Manifest, language: str) -> None:
        super().__init__(base, manifest, "dynamic", language)
        self._teacher = load_model(base).requires_grad_(False)

    def loss(self) -> "ShortContextLoss":  # type: ignore[override]
        """The pupil wrapped in its distance from the teacher."""
        return ShortContextLoss(self.model, self._teacher)

    def batch(self, ids: Sequence[str], waves: Sequence[NDArray[np.float32]], *, full: bool) -> tuple[Tensor, ...]:
        """Features of the pupil's context and of 30 s, decoder inputs and labels. The context is drawn by the ids."""
        features, inputs, labels = super().batch(ids, waves, full=True)
        longest = context_seconds("dynamic", max(len(wave) for wave in waves) / SAMPLING_RATE)
        rng = generator("short context", *ids)
        if rng.random() >= _DYNAMIC_SHARE:
            longest = context_seconds("dynamic", rng.uniform(longest, FULL_SECONDS))
        mels = self.model.config.num_mel_bins
        short = features if full else log_mel(waves, longest, mels, self.model.device)
        return short, features, inputs, labels


class ShortContextLoss(torch.nn.Module):
    """Distance between what pupil and teacher hear: encoder states, and next-token distributions over the text.

    Mean squared error of the states, relative to the variance of the teacher's, plus the Kullback-Leibler divergence
    of the pupil's distribution from the teacher's, in nats a token (Hinton et al., arXiv 1503.02531, temperature 1).
    """

    def __init__(self, whisper: Any, teacher: Any) -> None:
        super().__init__()
        self.whisper = whisper
        self._teacher = (teacher,)  # no part of what is trained or kept

    @torch.no_grad()
    def whole(self, short: Tensor, features: Tensor, _: Tensor, labels: Tensor) -> "Whole":
        """What makes the losses of a batch's parts add up to the batch's; the teacher hears clip after clip."""
        encoder = self._teacher[0].to(features.device).model.encoder
        frames = short.shape[-1] // 2
        total = squares = torch.zeros((), dtype=torch.float64, device=features.device)
        for row in features:
            states = encode(encoder, row[None])[:, :frames].double()
            total, squares = total + states.sum(), squares + states.square().sum()
        count = len(features) * frames * encoder.config.d_model
        variance = (squares - total.square() / count) / (count - 1)
        return Whole(len(features), (labels != IGNORED).sum(), variance.float())

    def forward(
        self, short: Tensor, features: Tensor, inputs: Tensor, labels: Tensor, whole: "Whole | None" = None
    ) -> Tensor:
        """One number.

        Args:
            short: the pupil's features, shape (batch, mels, frames).
            features: the teacher's, 30 s of the same clips.
            inputs: decoder tokens, shape (batch, length).
            labels: the token after each, or `IGNORED`; only their places are used.
            whole: of the batch that this is a part of; the part's share of its loss is returned.
        """
        scored = labels != IGNORED
        with torch.no_grad():
            teacher = self._teacher[0].to(features.device)
            expected, wanted = _heard(teacher, features, inputs, scored)
        states, logits = _heard(self.whisper, short, inputs, scored)
        expected = expected[:, : states.shape[1]].float()
        both = log_softmax(logits.float(), -1), log_softmax(wanted.float(), -1)
        if whole is not None:
            distance = mse_loss(states.float(), expected) / whole.variance * (len(short) / whole.clips)
            return distance + kl_div(*both, log_target=True, reduction="sum") / whole.tokens
        distance = mse_loss(states.float(), expected) / expected.var()
        return distance + kl_div(*both, log_target=True, reduction="batchmean")


@dataclass(frozen=True)
class Whole:
    """Of a batch: its clips, its scored tokens, and the variance of the teacher's states."""

    clips: int
    tokens: Tensor
    variance: Tensor


def _heard(whisper: Any, features: Tensor, inputs: Tensor, scored: Tensor) -> tuple[Tensor, Tensor]:
    """Encoder states, and the logits at the scored positions."""
    states = encode(whisper.model.encoder, features)
    hidden = whisper.model.decoder(input_ids=inputs, encoder_hidden_states=states).last_hidden_state
    return states, whisper.proj_out(hidden[scored])
