"""LoRA as a small vector: expanded, it is what the merged model differs by, and every vector operation takes it."""

from pathlib import Path

import pytest
import torch

from asr_tv.config.run import TrainingConfig
from asr_tv.data.corpora.local import read_manifest
from asr_tv.errors import DataError
from asr_tv.models.locate import resolve_model
from asr_tv.models.tensors import open_tensors
from asr_tv.store.results import Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.testing.runs import fake_recordings
from asr_tv.testing.whisper import tiny_whisper
from asr_tv.training.finetune import finetune
from asr_tv.training.trainer import LORA_VECTOR
from asr_tv.vectors.apply import apply_vector
from asr_tv.vectors.combine import combine_vectors, compare_vectors, describe_vector
from asr_tv.vectors.files import KIND, create_vector, open_vector
from asr_tv.vectors.low_rank import FORM, write_low_rank
from asr_tv.vectors.merging import Merge
from asr_tv.vectors.streaming import weights_digest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("low_rank")


@pytest.fixture(scope="module")
def base(folder: Path) -> Record:
    return resolve_model(str(tiny_whisper(folder / "base")), Store(folder / "store"))


@pytest.fixture(scope="module")
def tuned(folder: Path, base: Record) -> Record:
    manifest = read_manifest(fake_recordings(folder / "recordings", sentences=6, domains=("banking",)))
    training = TrainingConfig(
        epochs=3, learning_rate=1e-2, batch_size=4, precision="fp32", trainable={"lora": {"r": 2}}
    )
    return finetune(Runtime(Store(folder / "store")), base, manifest, training, seed=1)


def test_the_expanded_vector_is_merged_minus_base(base: Record, tuned: Record, folder: Path) -> None:
    create_vector(tuned.path / "model", base.path / "model", folder / "whole.safetensors", {})
    whole, small = open_vector(folder / "whole.safetensors"), open_vector(tuned.path / LORA_VECTOR)
    assert list(small) == list(whole)
    assert len(small) == len(whole)
    changed = 0
    for name in whole:
        torch.testing.assert_close(small[name], whole[name], rtol=0, atol=2e-7)
        is_target = ".q_proj.weight" in name or ".v_proj.weight" in name
        assert bool(small[name].count_nonzero()) == is_target
        changed += is_target
    assert changed == 2 * (2 + 4)  # query and value in two encoder layers, and twice in two decoder layers
    assert (tuned.path / LORA_VECTOR).stat().st_size < 0.2 * (folder / "whole.safetensors").stat().st_size


def test_it_says_where_it_comes_from(base: Record, tuned: Record) -> None:
    info = describe_vector(tuned.path / LORA_VECTOR)
    assert info.recipe["operation"] == "lora"
    assert info.recipe["base"] == weights_digest(open_tensors(base.path / "model"))
    assert info.recipe["tuned"] == weights_digest(open_tensors(tuned.path / "model"))


def test_applied_to_the_base_it_gives_the_merged_model(base: Record, tuned: Record, tmp_path: Path) -> None:
    apply_vector(base.path / "model", tuned.path / LORA_VECTOR, 1.0, tmp_path / "sum")
    summed, merged = open_tensors(tmp_path / "sum"), open_tensors(tuned.path / "model")
    for name in merged:
        torch.testing.assert_close(summed[name], merged[name], rtol=0, atol=2e-7)
    apply_vector(base.path / "model", tuned.path / LORA_VECTOR, 0.0, tmp_path / "zero")
    start, zero = open_tensors(base.path / "model"), open_tensors(tmp_path / "zero")
    assert all(torch.equal(zero[name], start[name]) for name in start)


def test_it_is_compared_and_combined_with_whole_vectors(base: Record, tuned: Record, tmp_path: Path) -> None:
    create_vector(tuned.path / "model", base.path / "model", tmp_path / "whole.safetensors", {})
    whole, *_ = compare_vectors([tuned.path / LORA_VECTOR, tmp_path / "whole.safetensors"])
    assert whole.cosines[0][1] == pytest.approx(1.0, abs=1e-6)
    combine_vectors(
        [tuned.path / LORA_VECTOR, tmp_path / "whole.safetensors"], tmp_path / "mean.safetensors", Merge("mean")
    )
    mean, small = open_vector(tmp_path / "mean.safetensors"), open_vector(tuned.path / LORA_VECTOR)
    for name in small:
        torch.testing.assert_close(mean[name], small[name], rtol=0, atol=2e-7)


def test_a_planted_product_of_factors(tmp_path: Path) -> None:
    a, b = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0], [10.0]])
    shapes = {"x.weight": (2, 3), "x.bias": (2,)}
    write_low_rank(tmp_path / "v.safetensors", {"x.weight": (a, b)}, 0.5, shapes, {"kind": KIND})
    vector = open_vector(tmp_path / "v.safetensors")
    assert {name: tensor.tolist() for name, tensor in vector.items()} == {
        "x.bias": [0.0, 0.0],
        "x.weight": [[0.5, 1.0, 1.5], [5.0, 10.0, 15.0]],
    }
    with pytest.raises(KeyError):
        vector["y"]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"y.weight": (2, 3)}, "not those of the tensors it names"),
        ({"x.weight": (3, 2)}, r"x.weight do not make a tensor of shape \[3, 2\]"),
    ],
)
def test_a_file_that_does_not_hold_what_it_says(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], message: str
) -> None:
    factors = {"x.weight": (torch.ones(1, 3), torch.ones(2, 1))}
    write_low_rank(tmp_path / "v.safetensors", factors, 1.0, shapes, {"kind": KIND})
    with pytest.raises(DataError, match=message):
        dict(open_vector(tmp_path / "v.safetensors"))


def test_a_damaged_description(tmp_path: Path) -> None:
    from asr_tv.models.tensors import write_tensors

    write_tensors(tmp_path / "v.safetensors", {}, [], {"kind": KIND, FORM: "{"})
    with pytest.raises(DataError, match="does not describe a low-rank vector"):
        open_vector(tmp_path / "v.safetensors")
