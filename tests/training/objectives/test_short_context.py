"""The pupil starts as its teacher, moves towards it on a short context, and the teacher stays as it is."""

from pathlib import Path

import pytest
import torch

from asr_tv.config.run import ContextStartConfig
from asr_tv.data.manifest import Manifest
from asr_tv.errors import DataError
from asr_tv.models.tensors import open_tensors
from asr_tv.models.whisper import load_model
from asr_tv.store.results import Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.training.context_start import context_start
from asr_tv.training.labels import IGNORED
from asr_tv.training.objectives.short_context import ShortContextLoss, ShortContextObjective


def test_in_one_context_pupil_and_teacher_are_one(folder: Path) -> None:
    model, teacher = load_model(folder / "base"), load_model(folder / "base")
    features = torch.randn(2, 80, 3000)
    inputs, labels = torch.tensor([[3, 4, 5], [6, 7, 8]]), torch.tensor([[IGNORED, 5, 6], [IGNORED, 8, IGNORED]])
    loss = ShortContextLoss(model, teacher)
    assert float(loss(features, features, inputs, labels).detach()) == pytest.approx(0.0, abs=1e-6)
    assert float(loss(features[..., :300], features, inputs, labels).detach()) > 1e-3


def test_only_the_pupil_is_trained_and_kept(folder: Path) -> None:
    model, teacher = load_model(folder / "base"), load_model(folder / "base").requires_grad_(False)
    loss = ShortContextLoss(model, teacher)
    assert {id(p) for p in loss.parameters()} == {id(p) for p in model.parameters()}
    loss(
        torch.randn(1, 80, 200), torch.randn(1, 80, 3000), torch.tensor([[3, 4]]), torch.tensor([[IGNORED, 5]])
    ).backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert model.model.encoder.conv1.weight.grad is not None


def test_contexts_reach_from_the_shortest_to_long_ones_and_are_drawn_by_the_ids(
    base: Record, manifest: Manifest
) -> None:
    objective = ShortContextObjective(base.path / "model", manifest, "en")
    wave = torch.zeros(16_000).numpy()
    ids = [u.id for u in manifest]
    frames = [objective.batch([name], [wave], full=False)[0].shape[-1] for name in ids * 2]
    assert frames[: len(ids)] == frames[len(ids) :]
    assert min(frames) == 150
    assert max(frames) > 300
    short, full, _, _ = objective.batch(ids[:1], [wave], full=True)
    assert short.shape == full.shape == (1, 80, 3000)


def test_the_stage_brings_the_two_contexts_together(base: Record, manifest: Manifest, tmp_path: Path) -> None:
    config = ContextStartConfig(epochs=6, learning_rate=2e-3, batch_size=2)
    record = context_start(Runtime(Store(tmp_path)), base, manifest, config, seed=1)
    losses = record.details["epoch_losses"]
    assert losses[-1] < 0.8 * losses[0]
    assert record.details["updates"] == 6 * 3
    assert set(open_tensors(record.path / "model")) == set(open_tensors(base.path / "model"))
    again = context_start(Runtime(Store(tmp_path)), base, manifest, config, seed=1)
    assert again.digest == record.digest


def test_nothing_to_learn_from(base: Record, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        context_start(Runtime(Store(tmp_path)), base, Manifest("none", ()), ContextStartConfig(), seed=1)
