"""Distils a Whisper into itself: on a short audio context it learns to give the outputs that it gives on 30 s."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax, mse_loss

from asr_tv.audio.recordings import Wave
from asr_tv.data.manifest import Manifest
from asr_tv.models.audio_context import FULL_SECONDS, SAMPLING_RATE, context_seconds, encode, log_mel
from asr_tv.models.whisper import load_model
from asr_tv.seeds import generator
from asr_tv.training.labels import IGNORED
from asr_tv.training.objectives.whisper import WhisperObjective, forward_scored

_DYNAMIC_SHARE = 0.5
"""Share of batches with the shortest possible context; others have a random one of up to 30 s."""
_Totals = tuple[int, Tensor, Tensor]
"""A batch's clips, its scored tokens, and the variance of the teacher's states."""


class ShortContextObjective(WhisperObjective):
    """A Whisper as student, and as teacher a frozen copy, or another one; the teacher always gets 30 s."""

    def __init__(self, base: Path, manifest: Manifest, language: str, teacher: Path | None = None) -> None:
        super().__init__(base, manifest, "dynamic", language)
        self._teacher = load_model(teacher or base).requires_grad_(False)

    def loss(self) -> "ShortContextLoss":  # type: ignore[override]
        return ShortContextLoss(self.model, self._teacher)

    def batch(self, ids: Sequence[str], waves: Sequence[Wave], *, full: bool) -> tuple[Tensor, ...]:
        """The student's features, those of 30 s, decoder inputs and labels; the context depends on the ids."""
        features, inputs, labels = super().batch(ids, waves, full=True)
        seconds = context_seconds("dynamic", max(len(wave) for wave in waves) / SAMPLING_RATE)
        rng = generator("short context", *ids)
        if rng.random() >= _DYNAMIC_SHARE:
            seconds = context_seconds("dynamic", rng.uniform(seconds, FULL_SECONDS))
        short = features if full else log_mel(waves, seconds, self.model.config.num_mel_bins, self.model.device)
        return short, features, inputs, labels


class ShortContextLoss(torch.nn.Module):
    """Distance between student and teacher in encoder states and in next-token distributions over the text.

    Mean squared error of the states, relative to the variance of the teacher's, plus the Kullback-Leibler divergence
    of the student's distribution from the teacher's, in nats per token (Hinton et al., arXiv 1503.02531).
    """

    def __init__(self, whisper: Any, teacher: Any) -> None:
        super().__init__()
        self.whisper = whisper
        self._teacher = (teacher,)  # in a tuple, so that it is no submodule and neither trained nor saved

    @torch.no_grad()
    def whole(self, short: Tensor, features: Tensor, _: Tensor, labels: Tensor) -> _Totals:
        """Totals of the batch, with which the losses of its parts add up to its own; computed one clip at a time."""
        encoder = self._teacher[0].to(features.device).model.encoder
        frames = short.shape[-1] // 2
        total = squares = torch.zeros((), dtype=torch.float64, device=features.device)
        for row in features:
            states = encode(encoder, row[None])[:, :frames].double()
            total, squares = total + states.sum(), squares + states.square().sum()
        count = len(features) * frames * encoder.config.d_model
        variance = (squares - total.square() / count) / (count - 1)
        return len(features), (labels != IGNORED).sum(), variance.float()

    def forward(
        self, short: Tensor, features: Tensor, inputs: Tensor, labels: Tensor, whole: _Totals | None = None
    ) -> Tensor:
        """The distance of what `ShortContextObjective.batch` returns; of a part, given the `whole`, its share of it."""
        scored = labels != IGNORED
        with torch.no_grad():
            teacher = self._teacher[0].to(features.device)
            expected, wanted = forward_scored(teacher, features, inputs, scored)
        states, logits = forward_scored(self.whisper, short, inputs, scored)
        expected = expected[:, : states.shape[1]].float()
        both = log_softmax(logits.float(), -1), log_softmax(wanted.float(), -1)
        if whole is not None:
            clips, tokens, variance = whole
            distance = mse_loss(states.float(), expected) / variance * (len(short) / clips)
            return distance + kl_div(*both, log_target=True, reduction="sum") / tokens
        distance = mse_loss(states.float(), expected) / expected.var()
        return distance + kl_div(*both, log_target=True, reduction="batchmean")
