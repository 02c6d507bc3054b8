"""The whole method with a CTC model, on fakes: the same stages, the same rows, one context for all."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_tv.config.run import AdaptConfig
from asr_tv.errors import ConfigError
from asr_tv.models.tensors import open_tensors
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.runs.run import run
from asr_tv.store.results import Store
from asr_tv.testing.ctc import tiny_ctc
from asr_tv.testing.runs import fake_config


def ctc_config(folder: Path, **overrides: Any) -> AdaptConfig:
    settings = {"training__learning_rate": 5e-3, "selection__starts": ["pretrained"]} | overrides
    return fake_config(folder, model=str(tiny_ctc(folder / "ctc", "conformer")), **settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ctc_run")


@pytest.fixture(scope="module")
def executor(folder: Path) -> InProcess:
    return InProcess(Store(folder / "store"))


@pytest.fixture(scope="module")
def report(folder: Path, executor: InProcess) -> dict[str, Any]:
    return run(ctc_config(folder), executor, folder / "out")


def test_every_row_is_there_in_one_context(report: dict[str, Any]) -> None:
    rows = {row["name"]: row for row in report["systems"] if row["role"] == "target"}
    tuned = {"target_synthetic", "target_synthetic_augmented"}
    assert set(rows) == {*tuned, "pretrained", "source_real", "source_synthetic", "source_mixed", "adapted", "topline"}
    assert {row["conditions"]["audio_context"] for row in rows.values()} == {"full"}
    assert {row["conditions"]["engine"] for row in rows.values()} == {"transformers, greedy CTC, clip by clip"}
    assert report["ledger"]["target_recordings_read_before_scoring"] == []


def test_adapted_is_start_plus_vector_with_the_starts_own_statistics(
    report: dict[str, Any], executor: InProcess, folder: Path
) -> None:
    chosen = report["selection"]["chosen"]
    label = f"finetune target_synthetic{'_augmented' if chosen['augmentation'] else ''}"
    (start,) = [open_tensors(done.record.path / "model") for done in executor.done if done.label == label]
    adapted, vector = open_tensors(folder / "out" / "model"), open_tensors(folder / "out" / "vector.safetensors")
    assert adapted.keys() == start.keys()
    buffers = {"running_mean", "running_var", "num_batches_tracked", "inv_freq"}
    assert {name.rpartition(".")[2] for name in start.keys() - vector.keys()} == buffers
    for name, tensor in start.items():
        if name in vector:
            torch.testing.assert_close(adapted[name], tensor + chosen["scaling_coef"] * vector[name])
        else:
            assert torch.equal(adapted[name], tensor)


def test_the_curve_at_zero_is_the_start_itself(report: dict[str, Any]) -> None:
    """The sum in memory, which the curve scores, is the model on disk, which the rows score."""
    chosen = report["selection"]["chosen"]
    rows = {row["name"]: row["wer"] for row in report["systems"] if row["role"] == "target"}
    curve = {point["scaling_coef"]: point["wer"] for point in report["target_curve"]}
    assert curve[0.0] == rows[f"target_synthetic{'_augmented' if chosen['augmentation'] else ''}"]
    assert curve[chosen["scaling_coef"]] == rows["adapted"]


def test_the_model_loads_in_transformers_and_its_card_tells_no_whisper_story(
    report: dict[str, Any], folder: Path
) -> None:
    from transformers import AutoModelForCTC, AutoProcessor

    model = AutoModelForCTC.from_pretrained(folder / "out" / "model")
    assert type(model).__name__ == "Wav2Vec2ConformerForCTC"
    assert AutoProcessor.from_pretrained(folder / "out" / "model").tokenizer.pad_token_id == 0
    assert json.loads((folder / "out" / "model" / "asr_tv.json").read_text())["audio_context"] == "full"
    card = (folder / "out" / "model" / "README.md").read_text()
    assert "30 s" not in card
    assert "timestamps" not in card
    assert report["name"] in card


def test_a_second_run_executes_nothing(report: dict[str, Any], folder: Path, executor: InProcess) -> None:
    again = InProcess(executor.store)
    assert run(ctc_config(folder), again, folder / "again")["systems"] == report["systems"]
    assert all(done.record.cached for done in again.done)


def test_settings_of_whisper_are_refused_before_anything_runs(folder: Path, tmp_path: Path) -> None:
    execute = InProcess(Store(tmp_path / "store"))
    with pytest.raises(ConfigError) as error:
        run(ctc_config(folder, training__audio_context=8.0), execute, tmp_path / "out")
    assert any("training.audio_context: 8 seconds are for Whisper" in problem for problem in error.value.problems)
    assert not execute.done
