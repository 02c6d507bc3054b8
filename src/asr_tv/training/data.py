"""What a fine-tuning hears: labelled clips, and general clips on which the pretrained model's answers are kept."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from asr_tv.config.run import AugmentationConfig
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.seeds import generator
from asr_tv.store.records import ManifestRef
from asr_tv.store.results import Record


@dataclass(frozen=True)
class Rehearsal:
    """General clips, and the model whose answers on them are to be kept.

    Attributes:
        share: general clips in an epoch per labelled clip.
        weight: factor on their loss.
    """

    clips: Manifest
    teacher: Record
    share: float
    weight: float = 1.0


@dataclass(frozen=True)
class TrainingData:
    """Labelled clips, how the synthetic ones are augmented, and what is rehearsed among them.

    Attributes:
        weights: by id, how much each token of a label is trusted; none where all are alike.
    """

    clips: Manifest
    augmentation: AugmentationConfig | None = None
    rehearsal: Rehearsal | None = None
    weights: tuple[tuple[str, tuple[float, ...]], ...] = ()

    def refs(self) -> tuple[ManifestRef, ...]:
        """Of everything that is heard, for the ledger."""
        return (*self.clips.refs(), *(self.rehearsal.clips.refs() if self.rehearsal else ()))


def rehearsed(clips: Sequence[Utterance], number: int, seed: int, epoch: int) -> list[Utterance]:
    """`number` of the clips for an epoch: one epoch goes on where the last one stopped, round after round.

    A round is a permutation of all clips drawn from seed and round, so that none is heard twice before all are.
    """
    drawn: list[Utterance] = []
    position = epoch * number
    while clips and len(drawn) < number:
        turn, start = divmod(position + len(drawn), len(clips))
        order = generator("rehearsal", seed, turn).permutation(len(clips))
        drawn += [clips[i] for i in order[start : start + number - len(drawn)]]
    return drawn


def rehearsed_number(rehearsal: Rehearsal | None, labelled: int) -> int:
    """How many general clips an epoch has beside so many labelled ones."""
    return math.ceil(rehearsal.share * labelled) if rehearsal and len(rehearsal.clips) else 0
