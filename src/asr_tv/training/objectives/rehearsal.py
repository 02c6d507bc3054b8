"""Fine-tuning a Whisper on labelled clips while it keeps, on general clips, the answers of the pretrained model.

Learning without forgetting (Li and Hoiem, arXiv 1606.09282), here with the short-context distillation as the loss.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_tv.audio.recordings import Wave
from asr_tv.config.run import AudioContext
from asr_tv.data.manifest import Manifest, concatenate
from asr_tv.training.data import Rehearsal
from asr_tv.training.objectives.short_context import ShortContextLoss, ShortContextObjective
from asr_tv.training.objectives.whisper import WhisperLoss, WhisperObjective


class RehearsalLoss(torch.nn.Module):
    """Cross-entropy of a labelled batch; of a rehearsed one, weight x its `ShortContextLoss` from the teacher."""

    def __init__(self, whisper: Any, teacher: Any, weight: float) -> None:
        super().__init__()
        self.whisper = whisper
        self._weight = weight
        self._labelled, self._rehearsed = WhisperLoss(whisper), ShortContextLoss(whisper, teacher)

    def whole(self, *tensors: Tensor) -> Any:
        """The totals of a batch, with which the losses of its parts add up to its own."""
        return self._loss_of(tensors).whole(*tensors)

    def forward(self, *tensors: Any) -> Tensor:
        """The loss of what `RehearsalObjective.batch` returns; the last argument is the `whole`, or None."""
        of_kind = self._loss_of(tensors[:-1])
        loss: Tensor = of_kind(*tensors)
        return loss * self._weight if of_kind is self._rehearsed else loss

    def _loss_of(self, tensors: Sequence[Tensor]) -> Any:
        # A rehearsed batch has the student's and the teacher's features, a labelled one has features once.
        return self._rehearsed if len(tensors) == _REHEARSED else self._labelled


_REHEARSED = 4


class RehearsalObjective(ShortContextObjective):
    """A Whisper that learns labels on some clips and to answer as its teacher on the others.

    A batch is of one kind.
    """

    def __init__(
        self,
        base: Path,
        teacher: Path,
        labelled: Manifest,
        rehearsal: Rehearsal,
        audio_context: AudioContext,
        language: str,
    ) -> None:
        super().__init__(base, concatenate("clips", [labelled, rehearsal.clips]), language, teacher)
        self._weight = rehearsal.weight
        self._context = audio_context
        self._labelled = frozenset(u.id for u in labelled)

    def loss(self) -> RehearsalLoss:  # type: ignore[override]
        return RehearsalLoss(self.model, self._teacher, self._weight)

    def batch(self, ids: Sequence[str], waves: Sequence[Wave], *, full: bool) -> tuple[Tensor, ...]:
        """Features, decoder inputs and labels; with the features twice, the student's first, where it rehearses."""
        if ids[0] in self._labelled:
            return WhisperObjective.batch(self, ids, waves, full=full)
        return super().batch(ids, waves, full=full)
