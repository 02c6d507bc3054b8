import json
import re
import shutil

import pytest
import torch

from asr_tv.errors import ConfigError, DataError
from asr_tv.models.tensors import open_tensors, read_json
from asr_tv.models.whisper import load_model, save_checkpoint
from asr_tv.testing.whisper import tiny_whisper
from asr_tv.vectors.apply import apply_vector
from asr_tv.vectors.combine import combine_vectors
from asr_tv.vectors.files import average_checkpoints, create_vector
from asr_tv.vectors.merging import Merge
from asr_tv.vectors.streaming import weights_digest

EMBEDDING = "model.decoder.embed_tokens.weight"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Three tiny Whispers of one shape and tokenizer, and one of another vocabulary."""
    root = tmp_path_factory.mktemp("checkpoints")
    made = [tiny_whisper(root / name, seed=seed) for seed, name in enumerate(("real", "synthetic", "target"))]
    return (*made, tiny_whisper(root / "multilingual", multilingual=True))


def digest_of(directory):
    return weights_digest(open_tensors(directory))


def largest_difference(a, b):
    a, b = open_tensors(a), open_tensors(b)
    assert list(a) == list(b)
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def largest(directory):
    return max(float(tensor.abs().max()) for tensor in open_tensors(directory).values())


def vector_of(checkpoints, tmp_path, name="vector.safetensors"):
    create_vector(checkpoints[0], checkpoints[1], tmp_path / name, {"stage": "test"})
    return tmp_path / name


def test_a_coefficient_of_zero_keeps_every_byte_and_the_logits(checkpoints, tmp_path):
    target = checkpoints[2]
    apply_vector(target, vector_of(checkpoints, tmp_path), 0.0, tmp_path / "out")
    before, after = open_tensors(target), open_tensors(tmp_path / "out")
    for name in before:
        assert torch.equal(before[name].view(torch.uint8), after[name].view(torch.uint8))
    features, ids = torch.randn(1, 80, 3000), torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        logits = [load_model(d)(features, decoder_input_ids=ids).logits for d in (target, tmp_path / "out")]
    assert torch.equal(*logits)


def test_target_equal_to_source_synthetic_gives_source_real(checkpoints, tmp_path):
    real, synthetic, *_ = checkpoints
    apply_vector(synthetic, vector_of(checkpoints, tmp_path), 1.0, tmp_path / "out")
    assert largest_difference(tmp_path / "out", real) <= 2e-7 * largest(real)


def test_equal_checkpoints_give_a_vector_that_moves_nothing(checkpoints, tmp_path):
    create_vector(checkpoints[0], checkpoints[0], tmp_path / "v", {})
    assert largest(tmp_path / "v") == 0
    apply_vector(checkpoints[2], tmp_path / "v", 3.7, tmp_path / "out")
    assert largest_difference(tmp_path / "out", checkpoints[2]) == 0


def test_the_tied_output_moves_once(checkpoints, tmp_path):
    vector, target = vector_of(checkpoints, tmp_path), checkpoints[2]
    assert "proj_out.weight" not in open_tensors(vector)
    apply_vector(target, vector, 0.5, tmp_path / "out")
    model = load_model(tmp_path / "out")
    assert model.proj_out.weight.data_ptr() == model.model.decoder.embed_tokens.weight.data_ptr()
    expected = open_tensors(target)[EMBEDDING] + 0.5 * open_tensors(vector)[EMBEDDING]
    torch.testing.assert_close(model.proj_out.weight.detach(), expected, atol=1e-7, rtol=0)


def test_the_vector_says_where_it_comes_from_and_has_no_clock(checkpoints, tmp_path):
    a, b = vector_of(checkpoints, tmp_path, "a"), vector_of(checkpoints, tmp_path, "b")
    assert a.read_bytes() == b.read_bytes()
    metadata = open_tensors(a).metadata
    assert metadata["kind"] == "task vector"
    recipe = json.loads(metadata["recipe"])
    assert recipe == {
        "operation": "difference",
        "tuned": digest_of(checkpoints[0]),
        "base": digest_of(checkpoints[1]),
        "stage": "test",
    }
    assert {"asr-tv_version", "torch_version", "architecture", "vocabulary"} <= set(metadata)
    assert json.loads(metadata["bases"]) == [digest_of(checkpoints[1])]


def test_the_adapted_model_says_what_it_is_made_of(checkpoints, tmp_path):
    vector = vector_of(checkpoints, tmp_path)
    apply_vector(checkpoints[2], vector, 0.3, tmp_path / "out")
    assert json.loads(open_tensors(tmp_path / "out").metadata["recipe"]) == {
        "operation": "apply",
        "model": digest_of(checkpoints[2]),
        "vectors": [{"scaling_coef": 0.3, "recipe": json.loads(open_tensors(vector).metadata["recipe"])}],
    }


def test_means_of_vectors(checkpoints, tmp_path):
    one = vector_of(checkpoints, tmp_path)
    create_vector(checkpoints[2], checkpoints[1], tmp_path / "two", {})
    combine_vectors([one, one, one], tmp_path / "same", Merge("mean"))
    assert largest_difference(tmp_path / "same", one) == 0
    combine_vectors([one, tmp_path / "two"], tmp_path / "mean", Merge("mean"))
    combine_vectors([tmp_path / "two", one], tmp_path / "reversed", Merge("mean"))
    assert (tmp_path / "mean").read_bytes() == (tmp_path / "reversed").read_bytes()
    expected = (open_tensors(one)[EMBEDDING] + open_tensors(tmp_path / "two")[EMBEDDING]) / 2
    torch.testing.assert_close(open_tensors(tmp_path / "mean")[EMBEDDING], expected)
    apply_vector(checkpoints[2], tmp_path / "mean", 0.5, tmp_path / "out")
    with pytest.raises(ConfigError, match="no vectors"):
        combine_vectors([], tmp_path / "none", Merge("mean"))


def test_weight_averages(checkpoints, tmp_path):
    a, b = checkpoints[:2]
    for weight in (0.0, 0.25, 1.0):
        average_checkpoints(a, b, weight, tmp_path / "out")
        expected = {n: (1 - weight) * t + weight * open_tensors(b)[n] for n, t in open_tensors(a).items()}
        for name, tensor in open_tensors(tmp_path / "out").items():
            torch.testing.assert_close(tensor, expected[name], atol=1e-6, rtol=0)
    load_model(tmp_path / "out")
    with pytest.raises(ConfigError, match="between 0 and 1"):
        average_checkpoints(a, b, -0.1, tmp_path / "out")


def test_other_architectures_and_vocabularies_are_refused(checkpoints, tmp_path):
    vector, multilingual = vector_of(checkpoints, tmp_path), checkpoints[3]
    for attempt in (
        lambda: apply_vector(multilingual, vector, 0.5, tmp_path / "out"),
        lambda: create_vector(checkpoints[0], multilingual, tmp_path / "out", {}),
        lambda: average_checkpoints(checkpoints[0], multilingual, 0.5, tmp_path / "out"),
    ):
        with pytest.raises(DataError) as error:
            attempt()
        assert re.search("different architectures: vocab_size is 18(57 and 1863|63 and 1857)", error.value.problems[0])
        assert "different vocabularies" in error.value.problems[1]
    assert not (tmp_path / "out").exists()


def test_another_tokenizer_of_the_same_size_is_refused(checkpoints, tmp_path):
    other = shutil.copytree(checkpoints[2], tmp_path / "other")
    tokenizer = read_json(other / "tokenizer.json")
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["Ġthe"], vocabulary["Ġin"] = vocabulary["Ġin"], vocabulary["Ġthe"]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(DataError, match="different vocabularies"):
        apply_vector(other, vector_of(checkpoints, tmp_path), 0.5, tmp_path / "out")


def test_what_is_no_vector_is_refused(checkpoints, tmp_path):
    with pytest.raises(DataError, match="is not a task vector"):
        apply_vector(checkpoints[0], checkpoints[1] / "model.safetensors", 0.5, tmp_path / "out")
    with pytest.raises(DataError, match="is a directory"):
        apply_vector(checkpoints[0], checkpoints[1], 0.5, tmp_path / "out")
    with pytest.raises(DataError, match="no such file"):
        apply_vector(checkpoints[0], tmp_path / "missing", 0.5, tmp_path / "out")


def test_a_checkpoint_that_diverged_is_named(checkpoints, tmp_path):
    model = load_model(checkpoints[0])
    with torch.no_grad():
        model.model.encoder.conv1.bias[0] = float("nan")
    save_checkpoint(model, checkpoints[0], tmp_path / "diverged")
    with pytest.raises(DataError, match=r"diverged .* model\.encoder\.conv1\.bias: \S*diverged holds NaN"):
        create_vector(tmp_path / "diverged", checkpoints[1], tmp_path / "v", {})
    assert not (tmp_path / "v").exists()
