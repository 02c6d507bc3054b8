"""A batch of the target's clips has its labels' loss, one of general clips the weighted distance from the teacher."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_tv.data.manifest import Manifest
from asr_tv.store.results import Record
from asr_tv.training.data import Rehearsal, rehearsed, rehearsed_number
from asr_tv.training.objectives.rehearsal import RehearsalObjective
from asr_tv.training.objectives.short_context import ShortContextLoss
from asr_tv.training.objectives.whisper import WhisperLoss

WAVE = torch.zeros(16_000).numpy()


@pytest.fixture
def general(manifest: Manifest) -> Manifest:
    return Manifest("general", tuple(replace(u, id=f"general-{u.id}") for u in manifest))


@pytest.mark.parametrize("weight", [0.0, 1.0, 3.0])
def test_each_kind_of_batch_has_its_own_loss(
    base: Record, folder: Path, manifest: Manifest, general: Manifest, weight: float
) -> None:
    rehearsal = Rehearsal(general, base, 1.0, weight)
    objective = RehearsalObjective(base.path / "model", folder / "base", manifest, rehearsal, "dynamic", "en")
    loss = objective.loss()
    labelled = objective.batch([u.id for u in manifest][:2], [WAVE, WAVE], full=False)
    answered = objective.batch([u.id for u in general][:2], [WAVE, WAVE], full=False)
    with torch.no_grad():
        torch.testing.assert_close(loss(*labelled, None), WhisperLoss(objective.model)(*labelled, None))
        distance = ShortContextLoss(objective.model, objective._teacher)(*answered, None)
        torch.testing.assert_close(loss(*answered, None), weight * distance)
    assert float(distance) > 0


def test_no_clip_is_heard_twice_before_all_were(general: Manifest) -> None:
    clips = list(general)
    epochs = [rehearsed(clips, 4, 17, epoch) for epoch in range(3)]
    assert [len(epoch) for epoch in epochs] == [4, 4, 4]
    heard = Counter(u.id for epoch in epochs for u in epoch)
    assert set(heard.values()) == {2}  # 12 of 6 clips
    assert rehearsed(clips, 4, 17, 1) == epochs[1]
    assert rehearsed([], 4, 17, 1) == []


def test_the_share_counts_general_clips_per_labelled_one(base: Record, general: Manifest) -> None:
    assert rehearsed_number(Rehearsal(general, base, 0.5), 5) == 3
    assert rehearsed_number(Rehearsal(Manifest("none", ()), base, 0.5), 5) == 0
