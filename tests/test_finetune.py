"""Fine-tuning: the loss falls, inputs stay untouched, a stop costs at most an epoch, bad data is named."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_tv.checkpoint.locate import resolve_model
from asr_tv.checkpoint.tensors import open_tensors
from asr_tv.checkpoint.whisper import load_model, load_tokenizer, prompt_ids
from asr_tv.config import AugmentationConfig, TrainingConfig
from asr_tv.corpora.local import read_manifest
from asr_tv.errors import DataError
from asr_tv.finetune import Job, finetune, identity
from asr_tv.manifest import Manifest
from asr_tv.store import Record, Store, file_digest
from asr_tv.testing.runs import fake_recordings
from asr_tv.testing.whisper import tiny_whisper

TRAINING = TrainingConfig(epochs=3, learning_rate=1e-3, batch_size=4, precision="fp32", full_context_share=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finetune")
    tiny_whisper(path / "base")
    fake_recordings(path / "recordings", sentences=6, domains=("banking",))
    return path


@pytest.fixture(scope="module")
def base(folder: Path) -> Record:
    return resolve_model(str(folder / "base"), Store(folder / "store"))


@pytest.fixture(scope="module")
def manifest(folder: Path) -> Manifest:
    return read_manifest(folder / "recordings" / "manifest.jsonl")


def test_loss_falls_and_the_base_is_untouched(base: Record, manifest: Manifest, folder: Path) -> None:
    before = file_digest(base.path / "model" / "model.safetensors")
    training = TRAINING.model_copy(update={"epochs": 8, "learning_rate": 5e-3})
    record = finetune(base, manifest, training, store=Store(folder / "store"), seed=1)
    losses = record.details["epoch_losses"]
    assert losses[-1] < 0.7 * losses[0]
    assert record.details["updates"] == 8 * 2
    assert file_digest(base.path / "model" / "model.safetensors") == before


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    base: Record, manifest: Manifest, tmp_path: Path
) -> None:
    digests = [
        finetune(base, manifest, TRAINING, store=Store(tmp_path / name), seed=seed).digest
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_trainings_of_different_precision_share_a_process(base: Record, manifest: Manifest, tmp_path: Path) -> None:
    losses = []
    for precision in ("bf16", "fp32", "bf16"):
        training = TRAINING.model_copy(update={"precision": precision})
        record = finetune(base, manifest, training, store=Store(tmp_path / f"{len(losses)}"), seed=1)
        losses.append(record.details["epoch_losses"])
    assert losses[0] == losses[2] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_embedding_stays_tied_and_positions_stay_frozen(base: Record, manifest: Manifest, folder: Path) -> None:
    record = finetune(base, manifest, TRAINING, store=Store(folder / "store"), seed=1)
    model = load_model(record.path / "model")
    assert model.proj_out.weight.data_ptr() == model.model.decoder.embed_tokens.weight.data_ptr()
    tuned, start = (open_tensors(r.path / "model") for r in (record, base))
    assert "proj_out.weight" not in tuned
    name = "model.encoder.embed_positions.weight"
    assert torch.equal(tuned[name], start[name])
    assert not torch.equal(tuned["model.encoder.conv1.weight"], start["model.encoder.conv1.weight"])


def test_side_files_stay_beside_the_weights(base: Record, manifest: Manifest, folder: Path) -> None:
    record = finetune(base, manifest, TRAINING, store=Store(folder / "store"), seed=1)
    names = {path.name for path in (record.path / "model").iterdir()}
    assert {"tokenizer.json", "preprocessor_config.json", "generation_config.json", "config.json"} <= names
    start = prompt_ids(load_tokenizer(base.path / "model"), "en")
    assert load_model(record.path / "model").generation_config.decoder_start_token_id == start[0]


def test_augmentation_counts_only_for_synthetic_clips(base: Record, manifest: Manifest) -> None:
    plain = Job(manifest, TRAINING, "fp32", 1, "en")
    augmented = replace(plain, augmentation=AugmentationConfig())
    assert identity(base, plain).key == identity(base, augmented).key
    clips = Manifest("clips", tuple(replace(u, origin="synthetic") for u in manifest))
    plain, augmented = (replace(job, manifest=clips) for job in (plain, augmented))
    assert identity(base, plain).key != identity(base, augmented).key


def test_augmentation_changes_the_result(base: Record, manifest: Manifest, tmp_path: Path) -> None:
    clips = Manifest("clips", tuple(replace(u, origin="synthetic") for u in manifest))
    store = Store(tmp_path)
    plain = finetune(base, clips, TRAINING, store=store, seed=1)
    augmented = finetune(base, clips, TRAINING, store=store, seed=1, augmentation=AugmentationConfig())
    assert plain.digest != augmented.digest


def test_an_exploding_loss_names_the_clips_and_leaves_no_result(
    base: Record, manifest: Manifest, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    training = TRAINING.model_copy(update={"learning_rate": 1e30, "warmup": 0.0, "gradient_clip": 1e30})
    with pytest.raises(DataError, match=r"loss became .* lower training.learning_rate"):
        finetune(base, manifest, training, store=store, seed=1)
    assert not list((tmp_path / "finetune").glob("*/record.json"))


def test_over_long_texts_are_all_named_before_any_training(base: Record, manifest: Manifest, tmp_path: Path) -> None:
    long = [replace(u, text="word " * 900) for u in manifest.utterances[:2]]
    bad = Manifest("bad", (*long, *manifest.utterances[2:]))
    with pytest.raises(DataError) as error:
        finetune(base, bad, TRAINING, store=Store(tmp_path), seed=1)
    assert [problem.split(":")[0] for problem in error.value.problems] == [u.id for u in long]


def test_clips_longer_than_the_context_are_refused_and_never_cut(
    base: Record, manifest: Manifest, tmp_path: Path
) -> None:
    training = TRAINING.model_copy(update={"audio_context": 0.5})
    with pytest.raises(DataError, match=r"banking-0000: lasts .* longer training.audio_context"):
        finetune(base, manifest, training, store=Store(tmp_path), seed=1)


def test_the_order_of_the_manifest_changes_nothing(base: Record, manifest: Manifest, tmp_path: Path) -> None:
    turned = Manifest(manifest.name, tuple(reversed(manifest.utterances)))
    one = finetune(base, manifest, TRAINING, store=Store(tmp_path / "a"), seed=1)
    other = finetune(base, turned, TRAINING, store=Store(tmp_path / "b"), seed=1)
    assert (one.key, one.digest) == (other.key, other.digest)


def test_an_empty_manifest_is_refused(base: Record, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to train on"):
        finetune(base, Manifest("none", ()), TRAINING, store=Store(tmp_path), seed=1)


_SCRIPT = """
import sys
from pathlib import Path
from asr_tv.checkpoint.locate import resolve_model
from asr_tv.config import TrainingConfig
from asr_tv.corpora.local import read_manifest
from asr_tv.finetune import finetune
from asr_tv.store import Store

folder, store = Path(sys.argv[1]), Store(Path(sys.argv[2]))
training = TrainingConfig.model_validate_json(sys.argv[3])
base = resolve_model(str(folder / "base"), store)
print(finetune(base, read_manifest(folder / "recordings" / "manifest.jsonl"), training, store=store, seed=1).digest)
"""


def test_killed_training_goes_on_from_its_last_epoch_to_the_same_bytes(
    folder: Path, base: Record, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = TRAINING.model_copy(update={"epochs": 40})
    command = [sys.executable, "-c", _SCRIPT, str(folder), str(tmp_path / "killed"), training.model_dump_json()]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    stage = tmp_path / "killed" / "finetune"
    deadline = time.monotonic() + 120
    while not list(stage.glob("*.partial/epoch-*/losses.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = [int(p.name.partition("-")[2]) for p in stage.glob("*.partial/epoch-*")]
    assert kept, "the process ended before an epoch was kept"

    trained: list[int] = []
    from asr_tv import finetune as module

    original = module._Trainer.train_epoch
    monkeypatch.setattr(
        module._Trainer,
        "train_epoch",
        lambda self, epoch, advance: trained.append(epoch) or original(self, epoch, advance),
    )
    resumed = finetune(base, manifest, training, store=Store(tmp_path / "killed"), seed=1)
    assert trained == list(range(max(kept), 40))
    monkeypatch.undo()
    unbroken = finetune(base, manifest, training, store=Store(tmp_path / "unbroken"), seed=1)
    assert resumed.digest == unbroken.digest
    assert not list(stage.glob("*.partial"))
    assert {p.name for p in resumed.path.iterdir()} == {"model", "losses.json", "record.json"}
