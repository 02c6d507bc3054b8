"""Fine-tuning: the loss falls, inputs stay untouched, a stop costs at most an epoch, bad data is named."""

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from asr_tv.config.run import AugmentationConfig, TrainingConfig
from asr_tv.config.trainable import Blocks, Ia3, Lora, Part, parse_trainable
from asr_tv.data.manifest import Manifest
from asr_tv.decoding.options import Decoding
from asr_tv.decoding.transcribe import transcribe
from asr_tv.errors import ConfigError, DataError
from asr_tv.models.locate import resolve_model
from asr_tv.models.parameter_names import is_buffer
from asr_tv.models.tensors import layout_of, open_tensors
from asr_tv.models.whisper import load_model, load_tokenizer, prompt_ids
from asr_tv.store.results import Record, Store, file_digest
from asr_tv.store.runtime import Runtime
from asr_tv.testing.ctc import tiny_ctc
from asr_tv.training.data import TrainingData
from asr_tv.training.finetune import finetune, identity
from asr_tv.training.objectives.whisper import WhisperLoss
from asr_tv.training.trainer import LORA_VECTOR, Job
from asr_tv.vectors.stages import vector_stage

TRAINING = TrainingConfig(epochs=3, learning_rate=1e-3, batch_size=4, precision="fp32", full_context_share=0)


def test_loss_falls_and_the_base_is_untouched(base: Record, manifest: Manifest, folder: Path) -> None:
    before = file_digest(base.path / "model" / "model.safetensors")
    training = TRAINING.model_copy(update={"epochs": 8, "learning_rate": 5e-3})
    record = finetune(Runtime(Store(folder / "store")), base, manifest, training, seed=1)
    losses = record.details["epoch_losses"]
    assert losses[-1] < 0.7 * losses[0]
    assert record.details["updates"] == 8 * 2
    assert file_digest(base.path / "model" / "model.safetensors") == before


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    base: Record, manifest: Manifest, tmp_path: Path
) -> None:
    digests = [
        finetune(Runtime(Store(tmp_path / name)), base, manifest, TRAINING, seed=seed).digest
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_trainings_of_different_precision_share_a_process(base: Record, manifest: Manifest, tmp_path: Path) -> None:
    losses = []
    for precision in ("bf16", "fp32", "bf16"):
        training = TRAINING.model_copy(update={"precision": precision})
        record = finetune(Runtime(Store(tmp_path / f"{len(losses)}")), base, manifest, training, seed=1)
        losses.append(record.details["epoch_losses"])
    assert losses[0] == losses[2] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_embedding_stays_tied_and_positions_stay_frozen(base: Record, manifest: Manifest, folder: Path) -> None:
    record = finetune(Runtime(Store(folder / "store")), base, manifest, TRAINING, seed=1)
    model = load_model(record.path / "model")
    assert model.proj_out.weight.data_ptr() == model.model.decoder.embed_tokens.weight.data_ptr()
    tuned, start = (open_tensors(r.path / "model") for r in (record, base))
    assert "proj_out.weight" not in tuned
    name = "model.encoder.embed_positions.weight"
    assert torch.equal(tuned[name], start[name])
    assert not torch.equal(tuned["model.encoder.conv1.weight"], start["model.encoder.conv1.weight"])


def test_side_files_stay_beside_the_weights(base: Record, manifest: Manifest, folder: Path) -> None:
    record = finetune(Runtime(Store(folder / "store")), base, manifest, TRAINING, seed=1)
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
    plain = finetune(Runtime(store), base, clips, TRAINING, seed=1)
    augmented = finetune(Runtime(store), base, TrainingData(clips, AugmentationConfig()), TRAINING, seed=1)
    assert plain.digest != augmented.digest


def test_an_exploding_loss_names_the_clips_and_leaves_no_result(
    base: Record, manifest: Manifest, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    training = TRAINING.model_copy(update={"learning_rate": 1e30, "warmup": 0.0, "gradient_clip": 1e30})
    with pytest.raises(DataError, match=r"loss became .* lower training.learning_rate"):
        finetune(Runtime(store), base, manifest, training, seed=1)
    assert not list((tmp_path / "finetune").glob("*/record.json"))


def bad_gradients(monkeypatch: pytest.MonkeyPatch, epoch: int, batch: int) -> None:
    """The loss stays a number and its gradient is none, in one update."""
    forward, calls = WhisperLoss.forward, [0]

    def planted(self: Any, *tensors: Any, **named: Any) -> Any:
        loss = forward(self, *tensors, **named)
        calls[0] += 1
        if calls[0] == 2 * epoch + batch + 1:  # two batches an epoch
            loss.register_hook(lambda gradient: gradient * math.inf)
        return loss

    monkeypatch.setattr(WhisperLoss, "forward", planted)


@pytest.mark.parametrize(
    ("epoch", "batch", "kept"),
    [(0, 1, "no epoch was finished"), (1, 0, "epoch 1 of 3 is kept"), (2, 1, "epoch 2 of 3 is kept")],
)
def test_a_gradient_that_is_no_number_stops_at_the_last_good_checkpoint(
    base: Record,
    manifest: Manifest,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    epoch: int,
    kept: str,
    batch: int,
) -> None:
    expected = finetune(Runtime(Store(folder / "store")), base, manifest, TRAINING, seed=1)
    with monkeypatch.context() as patch:
        bad_gradients(patch, epoch, batch)
        with pytest.raises(DataError) as caught:
            finetune(Runtime(Store(tmp_path), label="finetune it"), base, manifest, TRAINING, seed=1)
    (told,) = caught.value.problems
    assert told.startswith("finetune it: the gradient's norm became ")
    assert f"in epoch {epoch + 1}, batch {batch + 1} (update {2 * epoch + batch + 1} of 6; banking-" in told
    assert kept in told
    assert "To go on: lower training.learning_rate (0.001)" in told
    folders = [path.name for path in tmp_path.glob("finetune/*.partial/epoch-*")]
    assert folders == ([f"epoch-{epoch}"] if epoch else [])
    assert finetune(Runtime(Store(tmp_path)), base, manifest, TRAINING, seed=1).digest == expected.digest


def test_a_first_loss_that_is_no_number_points_at_the_checkpoint(
    base: Record, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WhisperLoss, "forward", lambda self, *_: self.whisper.proj_out.weight.sum() * math.nan)
    training = TRAINING.model_copy(update={"precision": "bf16"})
    with pytest.raises(
        DataError, match=r"loss became nan .*, or set training.precision to fp32, or look for .* in the ch"
    ):
        finetune(Runtime(Store(tmp_path)), base, manifest, training, seed=1)


def test_weights_that_overflow_are_never_kept(base: Record, manifest: Manifest, tmp_path: Path) -> None:
    """A step that no later loss of its epoch could show."""
    training = TRAINING.model_copy(
        update={"learning_rate": 3e38, "warmup": 0.0, "batch_size": 8, "epochs": 2, "weight_decay": 1.0}
    )
    with pytest.raises(DataError, match="weights became infinite or NaN"):
        finetune(Runtime(Store(tmp_path)), base, manifest, training, seed=1)
    assert not list(tmp_path.glob("finetune/*.partial/epoch-*"))


def test_over_long_texts_are_all_named_before_any_training(base: Record, manifest: Manifest, tmp_path: Path) -> None:
    long = [replace(u, text="word " * 900) for u in manifest.utterances[:2]]
    bad = Manifest("bad", (*long, *manifest.utterances[2:]))
    with pytest.raises(DataError) as error:
        finetune(Runtime(Store(tmp_path)), base, bad, TRAINING, seed=1)
    assert [problem.split(":")[0] for problem in error.value.problems] == [u.id for u in long]


def test_clips_longer_than_the_context_are_refused_and_never_cut(
    base: Record, manifest: Manifest, tmp_path: Path
) -> None:
    training = TRAINING.model_copy(update={"audio_context": 0.5})
    with pytest.raises(DataError, match=r"banking-0000: lasts .* longer training.audio_context"):
        finetune(Runtime(Store(tmp_path)), base, manifest, training, seed=1)


def test_the_order_of_the_manifest_changes_nothing(base: Record, manifest: Manifest, tmp_path: Path) -> None:
    turned = Manifest(manifest.name, tuple(reversed(manifest.utterances)))
    one = finetune(Runtime(Store(tmp_path / "a")), base, manifest, TRAINING, seed=1)
    other = finetune(Runtime(Store(tmp_path / "b")), base, turned, TRAINING, seed=1)
    assert (one.key, one.digest) == (other.key, other.digest)


def test_an_empty_manifest_is_refused(base: Record, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to train on"):
        finetune(Runtime(Store(tmp_path)), base, Manifest("none", ()), TRAINING, seed=1)


_SCRIPT = """
import sys
from pathlib import Path
from asr_tv.models.locate import resolve_model
from asr_tv.config.run import TrainingConfig
from asr_tv.data.corpora.local import read_manifest
from asr_tv.training.data import TrainingData
from asr_tv.training.finetune import finetune
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime

folder, store = Path(sys.argv[1]), Store(Path(sys.argv[2]))
training = TrainingConfig.model_validate_json(sys.argv[3])
base = resolve_model(str(folder / "base"), store)
clips = read_manifest(folder / "recordings" / "manifest.jsonl")
print(finetune(Runtime(store), base, clips, training, seed=1).digest)
"""


def test_killed_training_goes_on_from_its_last_epoch_to_the_same_bytes(
    folder: Path, base: Record, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = TRAINING.model_copy(update={"epochs": 16})
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
    from asr_tv.training import trainer as module

    original = module._Trainer.train_epoch
    monkeypatch.setattr(
        module._Trainer,
        "train_epoch",
        lambda self, epoch, advance: trained.append(epoch) or original(self, epoch, advance),
    )
    resumed = finetune(Runtime(Store(tmp_path / "killed")), base, manifest, training, seed=1)
    assert trained == list(range(max(kept), 16))
    monkeypatch.undo()
    unbroken = finetune(Runtime(Store(tmp_path / "unbroken")), base, manifest, training, seed=1)
    assert resumed.digest == unbroken.digest
    assert not list(stage.glob("*.partial"))
    assert {p.name for p in resumed.path.iterdir()} == {"model", "losses.json", "record.json"}


def stopped_in_the_third_epoch(
    base: Record, manifest: Manifest, training: TrainingConfig, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that ended with two epochs kept."""
    from asr_tv.training import trainer as module

    original = module._Trainer.train_epoch

    def stopping(self: Any, epoch: int, advance: Any) -> float:
        if epoch == 2:
            raise KeyboardInterrupt
        return original(self, epoch, advance)

    with monkeypatch.context() as patch:
        patch.setattr(module._Trainer, "train_epoch", stopping)
        with pytest.raises(KeyboardInterrupt):
            finetune(Runtime(Store(root)), base, manifest, training, seed=1)


def test_a_damaged_epoch_is_trained_again_to_the_same_bytes(
    base: Record, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Stopped in the third epoch; a byte of the weights then changes on the disk."""
    stopped_in_the_third_epoch(base, manifest, TRAINING, tmp_path / "stopped", monkeypatch)
    (weights,) = (tmp_path / "stopped" / "finetune").glob("*.partial/epoch-2/model.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1000] ^= 1
    weights.write_bytes(data)
    resumed = finetune(Runtime(Store(tmp_path / "stopped")), base, manifest, TRAINING, seed=1)
    assert "epoch-2 is damaged (model.safetensors: other bytes than when it was written)" in caplog.text
    unbroken = finetune(Runtime(Store(tmp_path / "unbroken")), base, manifest, TRAINING, seed=1)
    assert resumed.digest == unbroken.digest


@pytest.mark.parametrize("trainable", ["all", "lora", "freeze_first:1"])
@pytest.mark.parametrize("kind", ["whisper", "conformer"])
def test_gradient_checkpointing_computes_twice_and_learns_the_same(
    base: Record, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainable: str, kind: str
) -> None:
    if kind == "conformer":
        base = resolve_model(str(tiny_ctc(tmp_path / "ctc", "conformer")), Store(tmp_path / "models"))
    training = TRAINING.model_copy(update={"epochs": 1, "trainable": parse_trainable(trainable)})
    blocks: list[int] = []
    original = torch.utils.checkpoint.checkpoint
    counted: Any = lambda *a, **k: (blocks.append(1), original(*a, **k))[1]  # noqa: E731
    monkeypatch.setattr("transformers.modeling_utils.checkpoint", counted)
    tuned = []
    for less in (False, True):
        settings = training.model_copy(update={"gradient_checkpointing": less})
        tuned.append(finetune(Runtime(Store(tmp_path / str(less))), base, manifest, settings, seed=1))
        assert bool(blocks) is less
    assert tuned[0].key != tuned[1].key
    assert tuned[0].details["epoch_losses"] == pytest.approx(tuned[1].details["epoch_losses"], rel=1e-4)


LORA = TRAINING.model_copy(update={"trainable": Lora(r=2), "learning_rate": 1e-2})


def test_the_default_choice_leaves_key_and_result_as_they_were(base: Record, manifest: Manifest) -> None:
    """This key is that of the first release: results in a store stay valid."""
    job = Job(manifest, TRAINING, "fp32", 1, "en")
    assert set(identity(base, job).parameters["training"]) == {
        *("epochs", "learning_rate", "batch_size", "warmup", "weight_decay", "gradient_clip"),
        *("audio_context", "full_context_share", "precision"),
    }
    lora = replace(job, training=LORA)
    assert identity(base, lora).key != identity(base, job).key


def test_a_part_is_tuned_and_the_rest_stays_bit_for_bit(base: Record, manifest: Manifest, tmp_path: Path) -> None:
    """Through the whole stage, weight decay and all."""
    training = TRAINING.model_copy(update={"trainable": Part("only", "attention"), "weight_decay": 0.5})
    record = finetune(Runtime(Store(tmp_path)), base, manifest, training, seed=1)
    tuned, start = open_tensors(record.path / "model"), open_tensors(base.path / "model")
    moved = {name for name in start if not torch.equal(tuned[name], start[name])}
    assert moved == {name for name in start if ".self_attn." in name or ".encoder_attn." in name}
    assert record.details["trainable"] == "only_attention"
    assert record.details["trainable_parameters"] == sum(start[name].numel() for name in moved)


@pytest.mark.parametrize("choice", [Lora(r=2), Ia3()])
def test_adapters_end_as_an_ordinary_checkpoint(base: Record, manifest: Manifest, tmp_path: Path, choice: Any) -> None:
    training = LORA.model_copy(update={"trainable": choice, "epochs": 6})
    record = finetune(Runtime(Store(tmp_path)), base, manifest, training, seed=1)
    assert record.details["epoch_losses"][-1] < record.details["epoch_losses"][0]
    assert record.details["trainable_parameters"] == {Lora: 2 * 12 * 2 * 64, Ia3: 2 * (256 + 384)}[type(choice)]
    assert layout_of(open_tensors(record.path / "model")) == layout_of(open_tensors(base.path / "model"))
    model = load_model(record.path / "model")
    assert model.proj_out.weight.data_ptr() == model.model.decoder.embed_tokens.weight.data_ptr()
    assert (record.path / LORA_VECTOR).exists() is isinstance(choice, Lora)
    vector = vector_stage(Runtime(Store(tmp_path)), record, base)
    again = finetune(Runtime(Store(tmp_path)), record, manifest, training, seed=1)  # a second stage on top
    assert again.details["epoch_losses"][0] < record.details["epoch_losses"][0]
    assert open_tensors(vector.path / "vector.safetensors").keys() == open_tensors(base.path / "model").keys()
    said = transcribe(Runtime(Store(tmp_path)), record, manifest, Decoding("dynamic", "en", max_new_tokens=3))
    assert said.details["utterances"] == len(manifest)


def test_a_choice_that_the_model_has_not_is_told_before_training(
    base: Record, manifest: Manifest, tmp_path: Path
) -> None:
    training = TRAINING.model_copy(update={"trainable": Blocks("first", 3, "encoder")})
    with pytest.raises(ConfigError, match="the model's encoder has 2 blocks"):
        finetune(Runtime(Store(tmp_path)), base, manifest, training, seed=1)


@pytest.mark.parametrize("kind", ["whisper", "conformer"])
def test_adapters_go_on_from_the_last_epoch_to_the_same_bytes(
    base: Record, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Stopped after two of four epochs, by a failure in the third."""
    if kind == "conformer":
        base = resolve_model(str(tiny_ctc(tmp_path / "ctc", "conformer")), Store(tmp_path / "models"))
    training = LORA.model_copy(update={"epochs": 4})
    stopped_in_the_third_epoch(base, manifest, training, tmp_path / "stopped", monkeypatch)
    assert len(list((tmp_path / "stopped" / "finetune").glob("*.partial/epoch-2/losses.json"))) == 1
    torch.manual_seed(99)  # another process has drawn other numbers
    resumed = finetune(Runtime(Store(tmp_path / "stopped")), base, manifest, training, seed=1)
    unbroken = finetune(Runtime(Store(tmp_path / "unbroken")), base, manifest, training, seed=1)
    assert resumed.digest == unbroken.digest
    assert {p.name for p in resumed.path.iterdir()} == {"model", "losses.json", "record.json", LORA_VECTOR}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    path = tmp_path_factory.mktemp("ctc")
    kinds: tuple[Literal["wav2vec2", "conformer"], ...] = ("wav2vec2", "conformer")
    return {kind: resolve_model(str(tiny_ctc(path / kind, kind)), Store(path / "store")) for kind in kinds}


class TestCtc:
    @pytest.mark.parametrize("kind", ["wav2vec2", "conformer"])
    def test_the_loss_falls_and_the_feature_encoder_stays(
        self, bases: dict[str, Record], manifest: Manifest, tmp_path: Path, kind: str
    ) -> None:
        training = TRAINING.model_copy(update={"epochs": 12, "learning_rate": 5e-3})
        record = finetune(Runtime(Store(tmp_path)), bases[kind], manifest, training, seed=1)
        assert record.details["epoch_losses"][-1] < 0.6 * record.details["epoch_losses"][0]
        assert record.details["audio_context"] == "full"
        tuned, start = open_tensors(record.path / "model"), open_tensors(bases[kind].path / "model")
        moved = {name for name in start if not torch.equal(tuned[name], start[name])}
        assert not [name for name in moved if ".feature_extractor." in name]
        assert any(name.startswith("lm_head") for name in moved)
        assert any("running_mean" in name for name in moved) is (kind == "conformer")
        kept = sum(start[n].numel() for n in start if ".feature_extractor." in n or is_buffer(n))
        assert record.details["trainable_parameters"] == sum(t.numel() for t in start.values()) - kept

    def test_the_feature_encoder_is_tuned_on_demand(
        self, bases: dict[str, Record], manifest: Manifest, tmp_path: Path
    ) -> None:
        training = TRAINING.model_copy(update={"freeze_feature_encoder": False})
        record = finetune(Runtime(Store(tmp_path)), bases["conformer"], manifest, training, seed=1)
        tuned, start = open_tensors(record.path / "model"), open_tensors(bases["conformer"].path / "model")
        name = "wav2vec2_conformer.feature_extractor.conv_layers.0.conv.weight"
        assert not torch.equal(tuned[name], start[name])

    def test_the_same_seed_gives_the_same_bytes_with_specaugment(
        self, bases: dict[str, Record], manifest: Manifest, tmp_path: Path
    ) -> None:
        digests = []
        for name in ("a", "b"):
            np.random.seed(len(digests))
            digests.append(
                finetune(Runtime(Store(tmp_path / name)), bases["conformer"], manifest, TRAINING, seed=1).digest
            )
        assert digests[0] == digests[1]

    def test_settings_of_whisper_are_refused(
        self, bases: dict[str, Record], manifest: Manifest, tmp_path: Path
    ) -> None:
        training = TRAINING.model_copy(update={"audio_context": 8.0})
        with pytest.raises(ConfigError, match="a CTC model hears the whole clip"):
            finetune(Runtime(Store(tmp_path)), bases["conformer"], manifest, training, seed=1)


def test_settings_of_ctc_models_are_refused(base: Record, manifest: Manifest, tmp_path: Path) -> None:
    training = TRAINING.model_copy(update={"freeze_feature_encoder": False})
    with pytest.raises(ConfigError, match="is for CTC models"):
        finetune(Runtime(Store(tmp_path)), base, manifest, training, seed=1)


class TestCtcClips:
    def test_augmented_clips_that_no_longer_fit_are_heard_as_they_are(
        self, bases: dict[str, Record], manifest: Manifest, tmp_path: Path
    ) -> None:
        clips = Manifest("clips", tuple(replace(u, origin="synthetic") for u in manifest))
        fast = AugmentationConfig(speed=(4.0, 4.0), silence_seconds=(0, 0), probability=1.0)
        record = finetune(Runtime(Store(tmp_path)), bases["conformer"], TrainingData(clips, fast), TRAINING, seed=1)
        assert all(math.isfinite(loss) for loss in record.details["epoch_losses"])


def test_one_update_changes_the_weights(base: Record, manifest: Manifest, tmp_path: Path) -> None:
    training = TRAINING.model_copy(update={"epochs": 1, "batch_size": 8, "warmup": 0.1})
    record = finetune(Runtime(Store(tmp_path)), base, manifest, training, seed=1)
    assert record.details["updates"] == 1
    before, after = open_tensors(base.path / "model"), open_tensors(record.path / "model")
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_a_clip_longer_than_a_whisper_hears_is_refused(base: Record, manifest: Manifest, tmp_path: Path):
    long = Manifest("m", tuple(replace(u, duration=35.0) for u in manifest))
    training = TRAINING.model_copy(update={"audio_context": "full"})
    with pytest.raises(DataError, match=r"lasts 35\.0 s, over 30 s: the most a Whisper hears: cut it .*--drop-longer"):
        finetune(Runtime(Store(tmp_path)), base, long, training, seed=1)
