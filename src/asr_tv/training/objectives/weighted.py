"""Cross-entropy whose tokens count as much as their labels are trusted (STAR, arXiv 2405.14161, without attention)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from asr_tv.audio.recordings import Wave
from asr_tv.config.run import AudioContext
from asr_tv.data.manifest import Manifest
from asr_tv.errors import DataError
from asr_tv.training.labels import IGNORED
from asr_tv.training.objectives.whisper import WhisperLoss, WhisperObjective, forward_scored


class WeightedLoss(WhisperLoss):
    """The weighted mean of the scored tokens' cross-entropy."""

    def whole(self, _: Tensor, __: Tensor, labels: Tensor, weights: Tensor) -> Tensor:  # type: ignore[override]
        """The batch's sum of weights, with which the losses of its parts add up to its own."""
        return weights[labels != IGNORED].sum()

    def forward(  # type: ignore[override]
        self, features: Tensor, inputs: Tensor, labels: Tensor, weights: Tensor, whole: Tensor | None = None
    ) -> Tensor:
        """As `WhisperLoss`; weights have the shape of labels."""
        scored = labels != IGNORED
        _, logits = forward_scored(self.whisper, features, inputs, scored)
        losses = torch.nn.functional.cross_entropy(logits.float(), labels[scored], reduction="none")
        return (losses * weights[scored]).sum() / (weights[scored].sum() if whole is None else whole)


class WeightedObjective(WhisperObjective):
    """A Whisper to be tuned on labels that are not all trusted alike.

    Args:
        weights: by id, one for each token of the text and one for its end.

    Raises:
        DataError: as `WhisperObjective`; an utterance with another number of weights than tokens.
    """

    def __init__(
        self,
        base: Path,
        manifest: Manifest,
        audio_context: AudioContext,
        language: str,
        weights: Mapping[str, Sequence[float]],
    ) -> None:
        super().__init__(base, manifest, audio_context, language)
        self._weights = weights
        needed = {u.id: len(self._sequences[u.id]) - self._prompt_length for u in manifest}
        given = {name: len(weights.get(name, ())) for name in needed}
        if wrong := [name for name in needed if given[name] != needed[name]]:
            raise DataError(f"{name}: {given[name]} weights for {needed[name]} tokens" for name in wrong)

    def loss(self) -> WeightedLoss:
        return WeightedLoss(self.model)

    def batch(self, ids: Sequence[str], waves: Sequence[Wave], *, full: bool) -> tuple[Tensor, ...]:
        """Features, decoder inputs, labels, and weights of the labels' shape."""
        features, inputs, labels = super().batch(ids, waves, full=full)
        weights = torch.zeros(labels.shape)
        for row, name in zip(weights, ids, strict=True):
            own = torch.tensor(self._weights[name])
            row[self._prompt_length - 1 : self._prompt_length - 1 + len(own)] = own
        return features, inputs, labels, weights
