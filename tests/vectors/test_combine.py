import json

import pytest
import torch

from asr_tv.errors import ConfigError, DataError
from asr_tv.models.tensors import layout_of, open_tensors, write_tensors
from asr_tv.models.whisper import load_model
from asr_tv.store.results import file_digest
from asr_tv.testing.whisper import tiny_whisper
from asr_tv.vectors.apply import apply_vector
from asr_tv.vectors.combine import combine_vectors, compare_vectors, describe_vector
from asr_tv.vectors.files import create_vector
from asr_tv.vectors.merging import METHODS, Merge, merged
from asr_tv.vectors.streaming import weights_digest

EMBEDDING = "model.decoder.embed_tokens.weight"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three tiny Whispers, and the vectors a and b of the second and third against the first; one of another size."""
    root = tmp_path_factory.mktemp("vectors")
    for seed, name in enumerate(("base", "one", "two")):
        tiny_whisper(root / name, seed=seed)
    tiny_whisper(root / "multilingual", multilingual=True)
    tiny_whisper(root / "multilingual2", multilingual=True, seed=1)
    create_vector(root / "one", root / "base", root / "a", {})
    create_vector(root / "two", root / "base", root / "b", {})
    create_vector(root / "multilingual2", root / "multilingual", root / "other", {})
    return root


def rewritten(source, out, **changed):
    """A copy of a vector with some tensors changed."""
    tensors = dict(open_tensors(source)) | changed
    write_tensors(out, layout_of(tensors), tensors.items(), open_tensors(source).metadata)
    return out


@pytest.mark.parametrize("method", METHODS)
class TestCombine:
    def test_the_file_holds_what_the_arithmetic_gives(self, method, made, tmp_path):
        combine_vectors([made / "a", made / "b"], tmp_path / "out", Merge(method))
        paths = sorted((made / "a", made / "b"), key=file_digest)
        expected = dict(merged([open_tensors(path) for path in paths], Merge(method)))
        result = open_tensors(tmp_path / "out")
        assert list(result) == sorted(expected)
        assert all(torch.equal(result[name], expected[name]) for name in expected)

    def test_the_order_leaves_the_bytes_as_they_are(self, method, made, tmp_path):
        combine_vectors([made / "a", made / "b"], tmp_path / "ab", Merge(method))
        combine_vectors([made / "b", made / "a"], tmp_path / "ba", Merge(method))
        assert (tmp_path / "ab").read_bytes() == (tmp_path / "ba").read_bytes()

    def test_the_result_is_a_vector_and_says_how_it_was_made(self, method, made, tmp_path):
        before = {name: (made / name).read_bytes() for name in "ab"}
        combine_vectors([made / "a", made / "b"], tmp_path / "out", Merge(method))
        recipe = json.loads(open_tensors(tmp_path / "out").metadata["recipe"])
        digests = sorted(file_digest(made / name) for name in "ab")
        assert recipe == {"operation": method, "vectors": digests, **Merge(method).parameters}
        apply_vector(made / "base", tmp_path / "out", 0.1, tmp_path / "model")
        load_model(tmp_path / "model")
        assert before == {name: (made / name).read_bytes() for name in "ab"}

    def test_not_a_number_is_named_and_leaves_no_file(self, method, made, tmp_path):
        broken = rewritten(made / "a", tmp_path / "nan", **{EMBEDDING: open_tensors(made / "a")[EMBEDDING] * torch.nan})
        with pytest.raises(DataError, match=rf"{EMBEDDING}: .* holds NaN or infinity"):
            combine_vectors([made / "b", broken], tmp_path / "out", Merge(method))
        assert [path.name for path in tmp_path.iterdir()] == ["nan"]


def test_the_mean_is_the_arithmetic_mean(made, tmp_path):
    combine_vectors([made / "a", made / "b"], tmp_path / "out", Merge("mean"))
    result, a, b = (open_tensors(path) for path in (tmp_path / "out", made / "a", made / "b"))
    expected = {name: ((a[name].double() + b[name].double()) / 2).float() for name in a}
    assert all(torch.equal(result[name], expected[name]) for name in expected)


def test_coefficients_go_with_their_vectors(made, tmp_path):
    combine_vectors([made / "a", made / "b"], tmp_path / "ab", Merge("sum", (0.25, -1.0)))
    combine_vectors([made / "b", made / "a"], tmp_path / "ba", Merge("sum", (-1.0, 0.25)))
    assert (tmp_path / "ab").read_bytes() == (tmp_path / "ba").read_bytes()
    expected = 0.25 * open_tensors(made / "a")[EMBEDDING] - open_tensors(made / "b")[EMBEDDING]
    torch.testing.assert_close(open_tensors(tmp_path / "ab")[EMBEDDING], expected)


def test_the_analogy_gives_the_model_back(made, tmp_path):
    """C + B − A with C = A is B."""
    combine_vectors([made / "a", made / "b"], tmp_path / "b_less_a", Merge("sum", (-1.0, 1.0)))
    apply_vector(made / "one", tmp_path / "b_less_a", 1.0, tmp_path / "out")
    result, two = open_tensors(tmp_path / "out"), open_tensors(made / "two")
    assert max(float((result[name] - two[name]).abs().max()) for name in two) < 1e-6


def test_what_cannot_be_combined(made, tmp_path):
    for attempt, kind, says in (
        (lambda: combine_vectors([], tmp_path / "out", Merge("mean")), ConfigError, "no vectors"),
        (lambda: combine_vectors([made / "a"], tmp_path / "out", Merge("sum", (1.0, 2.0))), ConfigError, "1 vectors"),
        (lambda: combine_vectors([made / "a", made / "b"], made / "b", Merge("mean")), ConfigError, "one of the vec"),
        (lambda: compare_vectors([made / "a", made / "other"]), DataError, "different vocabularies"),
        (lambda: describe_vector(made / "base" / "model.safetensors"), DataError, "is not a task vector"),
    ):
        with pytest.raises(kind, match=says):
            attempt()
    with pytest.raises(DataError) as error:
        combine_vectors([made / "gone", made / "a", made / "base"], tmp_path / "out", Merge("mean"))
    assert len(error.value.problems) == 2
    assert not list(tmp_path.iterdir())


def test_compare(made):
    parts = compare_vectors([made / "a", made / "a", made / "b"])
    assert {part.name for part in parts if part.kind == "group"} == {"conv_stem", "encoder", "decoder", "embedding"}
    layers = {part.name for part in parts if part.kind == "layer"}
    assert layers == {f"{side}.layers.{i}" for side in ("encoder", "decoder") for i in (0, 1)}
    whole = parts[0]
    assert whole.cosines[0][1] == pytest.approx(1.0, abs=1e-12)
    assert 0.3 < whole.cosines[0][2] < 0.7  # one base subtracted from two independent models


def test_describe(made):
    info = describe_vector(made / "a")
    assert info.digest == file_digest(made / "a")
    assert info.recipe == {
        "operation": "difference",
        "tuned": weights_digest(open_tensors(made / "one")),
        "base": weights_digest(open_tensors(made / "base")),
    }
    assert info.bases == (info.recipe["base"],)
    assert info.architecture["d_model"] == 64
    assert set(info.versions) == {"asr-tv_version", "torch_version"}
    tensors = open_tensors(made / "a")
    assert info.tensors == len(tensors)
    assert info.parameters == sum(tensor.numel() for tensor in tensors.values())
    assert info.norm == pytest.approx(sum(float((t.double() ** 2).sum()) for t in tensors.values()) ** 0.5)
    assert [part.name for part in info.groups] == ["conv_stem", "decoder", "embedding", "encoder"]


class TestApplyByModule:
    def test_each_module_moves_by_its_own_coefficient(self, made, tmp_path):
        patterns = {"encoder": 0.5, "encoder.layers.0": -1.0, "embedding": 0.0}
        apply_vector(made / "base", made / "a", 2.0, tmp_path / "out", patterns)
        base, vector, result = (open_tensors(path) for path in (made / "base", made / "a", tmp_path / "out"))
        for name, by in {
            "model.encoder.conv1.weight": 0.5,
            "model.encoder.layers.0.fc1.weight": -1.0,
            "model.encoder.layers.1.fc1.weight": 0.5,
            "model.decoder.layers.1.fc1.weight": 2.0,
        }.items():
            torch.testing.assert_close(result[name], base[name] + by * vector[name], atol=1e-6, rtol=0)
        assert torch.equal(result[EMBEDDING].view(torch.uint8), base[EMBEDDING].view(torch.uint8))
        (recipe,) = json.loads(result.metadata["recipe"])["vectors"]
        assert (recipe["scaling_coef"], recipe["by_module"]) == (2.0, patterns)

    def test_equal_coefficients_are_one_coefficient(self, made, tmp_path):
        apply_vector(made / "base", made / "a", None, tmp_path / "parts", {"encoder": 0.4, "decoder": 0.4})
        apply_vector(made / "base", made / "a", 0.4, tmp_path / "whole")
        parts, whole = open_tensors(tmp_path / "parts"), open_tensors(tmp_path / "whole")
        assert all(torch.equal(parts[name], whole[name]) for name in whole)

    def test_what_is_refused(self, made, tmp_path):
        for coef, patterns, says in (
            (None, {"encoder": 0.4}, "tensors have no coefficient"),
            (0.4, {"encodre": 0.4}, "encodre: no tensor"),
            (0.4, {"encoder": float("nan")}, "must be a finite number, not nan"),
        ):
            with pytest.raises(ConfigError, match=says):
                apply_vector(made / "base", made / "a", coef, tmp_path / "out", patterns)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("coef", [0.0, 1.0])
    def test_a_vector_that_is_not_a_number_is_refused_by_name(self, coef, made, tmp_path):
        broken = rewritten(made / "a", tmp_path / "nan", **{EMBEDDING: open_tensors(made / "a")[EMBEDDING] / 0})
        with pytest.raises(DataError, match=rf"{EMBEDDING}: {broken} holds NaN"):
            apply_vector(made / "base", broken, coef, tmp_path / "out")
        assert not (tmp_path / "out" / "model.safetensors").exists()
        assert not (tmp_path / "out" / "config.json").exists()
