"""What a CTC model is trained on: its loss is transformers' own, padding is no speech, bad texts are all told first."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asr_tv.data.corpora.local import read_manifest
from asr_tv.data.manifest import Manifest
from asr_tv.errors import DataError
from asr_tv.models.ctc import frames, normalised
from asr_tv.testing.ctc import tiny_ctc
from asr_tv.testing.runs import fake_recordings
from asr_tv.training.objectives.ctc import CtcObjective


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("objective")
    for kind in ("wav2vec2", "conformer"):
        tiny_ctc(path / kind, kind)
    fake_recordings(path / "recordings", sentences=4, domains=("banking",))
    return path


@pytest.fixture(scope="module")
def manifest(folder: Path) -> Manifest:
    return read_manifest(folder / "recordings" / "manifest.jsonl")


def objective(folder: Path, manifest: Manifest, kind: str = "conformer") -> CtcObjective:
    return CtcObjective(folder / kind, manifest)


def noise(*seconds: float) -> list[Any]:
    rng = np.random.default_rng(1)
    return [(0.3 + 0.1 * rng.standard_normal(round(16_000 * s))).astype(np.float32) for s in seconds]


def test_waves_are_normalised_by_themselves_and_padded_with_zeros(folder: Path, manifest: Manifest) -> None:
    made = objective(folder, manifest)
    waves = noise(1.0, 1.5)
    values, lengths, characters, letters = made.batch([u.id for u in manifest][:2], waves, full=False)
    assert lengths.tolist() == [16_000, 24_000]
    assert values.shape == (2, 24_000)
    assert values[0, 16_000:].count_nonzero() == 0
    for row, length in zip(values, lengths, strict=True):
        assert abs(float(row[:length].mean())) < 1e-4
        assert float(row[:length].var()) == pytest.approx(1.0, abs=1e-3)
    assert characters.shape == (2, int(letters.max()))
    assert torch.equal(values[0, :16_000], normalised(made._extractor, waves[0]))


@pytest.mark.parametrize("kind", ["wav2vec2", "conformer"])
def test_the_loss_is_that_of_transformers(folder: Path, manifest: Manifest, kind: str) -> None:
    """Of one clip, so that transformers' batch normalisation of waves and lengths plays no part."""
    made = objective(folder, manifest, kind)
    (tensors,) = [made.batch([manifest.utterances[0].id], noise(1.5), full=False)]
    ours = made.loss().eval()(*tensors)
    made.model.config.ctc_loss_reduction = "mean"
    theirs = made.model(tensors[0], labels=tensors[2]).loss
    torch.testing.assert_close(ours, theirs)


def test_padding_of_a_masked_model_changes_its_frames_little_and_the_count_not(
    folder: Path, manifest: Manifest
) -> None:
    made = objective(folder, manifest)
    assert made.loss()._masked
    assert not objective(folder, manifest, "wav2vec2").loss()._masked
    ids = [u.id for u in manifest][:2]
    loss = made.loss().eval()
    with torch.no_grad():
        short = loss(*made.batch(ids[:1], noise(1.0), full=False))
        long = loss(*made.batch(ids[1:], noise(1.0, 3.0)[1:], full=False))
        both = loss(*made.batch(ids, noise(1.0, 3.0), full=False))
    torch.testing.assert_close(both, (short + long) / 2, rtol=0.01, atol=0)


def test_clips_shorter_than_a_mask_of_specaugment_are_padded(folder: Path) -> None:
    manifest = Manifest("m", (replace(read_manifest(folder / "recordings/manifest.jsonl").utterances[0], text="go"),))
    made = objective(folder, manifest)
    values, lengths, *_ = made.batch([manifest.utterances[0].id], noise(0.1), full=False)
    assert (values.shape[1], lengths.tolist()) == (8000, [1600])
    made.model.config.mask_time_prob = 0.5
    made.model.config.mask_time_length = 10
    assert torch.isfinite(made.loss().train()(values, lengths, *_))


def test_bad_texts_are_all_named_before_any_training(folder: Path, manifest: Manifest) -> None:
    a, b, c, d = manifest.utterances
    bad = Manifest("bad", (replace(a, text="Größe жук"), replace(b, text="?!"), replace(c, text="la " * 200), d))
    with pytest.raises(DataError) as error:
        objective(folder, bad)
    assert [p.split(":")[0] for p in error.value.problems] == [a.id, b.id, c.id]
    assert "vocabulary has no Ж У К" in error.value.problems[0]
    assert "too short for its text of 599 letters" in error.value.problems[2]


def test_a_recording_shorter_than_the_manifest_says_is_named(folder: Path, manifest: Manifest) -> None:
    made = objective(folder, manifest)
    name = manifest.utterances[0].id
    assert not made.fits(name, noise(0.1)[0])
    assert made.fits(name, noise(1.0)[0])
    with pytest.raises(DataError, match=f"{name}: its recording is too short"):
        made.batch([name], noise(0.1), full=False)


def test_frames_are_those_of_the_convolutions(folder: Path, manifest: Manifest) -> None:
    made = objective(folder, manifest)
    with torch.no_grad():
        logits = made.model.eval()(torch.zeros(1, 16_000)).logits
    assert frames(made.model, 16_000) == logits.shape[1]
