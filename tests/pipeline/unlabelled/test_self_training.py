"""What a model hears itself: which labels are kept, how much each token counts, and that weights decide a training."""

import math
from pathlib import Path

import pytest
import torch

from asr_tv.config.run import TrainingConfig
from asr_tv.data.corpora.local import read_manifest
from asr_tv.data.unlabelled import read_unlabelled
from asr_tv.decoding.whisper_torch import TorchDecoder
from asr_tv.errors import DataError
from asr_tv.models.locate import resolve_model
from asr_tv.models.tensors import open_tensors
from asr_tv.pipeline.unlabelled.self_training import (
    SelfLabel,
    SelfTraining,
    corrected,
    kept_labels,
    read_labels,
    self_labels,
    tuned_on_own,
)
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime
from asr_tv.testing.runs import fake_recordings
from asr_tv.testing.whisper import tiny_whisper
from asr_tv.training.objectives.weighted import WeightedLoss, WeightedObjective
from asr_tv.training.objectives.whisper import WhisperLoss

TRAINING = TrainingConfig(epochs=1, batch_size=2, precision="fp32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("self")
    tiny_whisper(path / "model")
    fake_recordings(path / "recordings", sentences=4, domains=("banking",))
    return path


def label(name: str, text: str, *log_p: float) -> SelfLabel:
    return SelfLabel(name, text, log_p)


class TestLabels:
    def test_the_surest_of_those_that_say_something_are_kept(self) -> None:
        labels = [
            label("a", "one two", -0.1, -0.3),
            label("b", "three", -0.5),
            label("c", "", -0.01),
            label("d", "so " * 40, -0.01),
            label("e", "four", -0.05),
            label("f", "five", -2.0),
        ]
        kept = kept_labels(labels, 0.5)
        assert [found.id for found in kept.labels] == ["e", "a"]
        assert kept.dropped == {"nothing heard": 1, "loops": 1, "least sure": 2}

    def test_nothing_to_train_on_is_refused(self) -> None:
        with pytest.raises(DataError, match="nothing to train on"):
            kept_labels([label("a", "...", -0.1)], 0.8)

    def test_weights_are_probabilities_over_their_mean(self) -> None:
        found = label("a", "x", math.log(0.9), math.log(0.3)).weights
        assert found == pytest.approx((1.5, 0.5))


class TestTraining:
    def test_the_texts_of_the_manifest_are_not_used(self, folder: Path) -> None:
        path = folder / "recordings" / "manifest.jsonl"
        assert {u.text for u in read_unlabelled(path)} == {""}
        assert [u.id for u in read_unlabelled(path)] == [u.id for u in read_manifest(path)]

    def test_a_model_is_tuned_on_what_it_hears_and_corrected(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(TorchDecoder, "tokens_of", lambda *_: [[40, 41, 42]])  # random weights hear nothing
        runtime = Runtime(Store(folder / "store"), device="cpu")
        base = resolve_model(str(folder / "model"), runtime.store)
        path = folder / "recordings" / "manifest.jsonl"
        how = SelfTraining(TRAINING, 17, "en", share=0.5)
        heard = read_labels(self_labels(runtime, base, read_unlabelled(path), "en"))
        assert all(found.log_p and found.mean < 0 for found in heard)
        record, kept = tuned_on_own(runtime, base, read_unlabelled(path), how)
        assert record.details["utterances"] == len(kept.labels) < 4
        plain, _ = tuned_on_own(runtime, base, read_unlabelled(path), SelfTraining(TRAINING, 17, "en", 0.5, False))
        assert plain.key != record.key
        source = read_manifest(path)
        same = corrected(runtime, base, record, source, 0.0, how)
        moved = corrected(runtime, base, record, source, 0.5, how)
        before, zero, after = (open_tensors(r.path / MODEL) for r in (record, same, moved))
        assert all(torch.equal(before[name], zero[name]) for name in before)
        assert any(not torch.equal(before[name], after[name]) for name in before)

    def test_equal_weights_are_the_usual_loss_and_a_weight_of_zero_silences_a_token(self, folder: Path) -> None:
        manifest = read_manifest(folder / "recordings" / "manifest.jsonl")
        needed = WeightedObjective.__mro__[1](folder / "model", manifest, "dynamic", "en")
        counts = {n: len(s) - needed._prompt_length for n, s in needed._sequences.items()}
        objective = WeightedObjective(
            folder / "model", manifest, "dynamic", "en", {name: [0.7] * count for name, count in counts.items()}
        )
        ids = [u.id for u in manifest][:2]
        waves = [torch.zeros(8000).numpy() for _ in ids]
        tensors = objective.batch(ids, waves, full=False)
        objective.model.eval()
        usual = WhisperLoss(objective.model)(*tensors[:3]).detach()
        assert float(WeightedLoss(objective.model)(*tensors).detach()) == pytest.approx(float(usual), rel=1e-5)
        total = objective.loss().whole(*tensors)
        halves = [WeightedLoss(objective.model)(*(t[row : row + 1] for t in tensors), total) for row in (0, 1)]
        assert sum(float(half.detach()) for half in halves) == pytest.approx(float(usual), rel=1e-5)
        with pytest.raises(DataError, match="weights for"):
            WeightedObjective(folder / "model", manifest, "dynamic", "en", {})
