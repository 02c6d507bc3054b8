"""CTC directories: loaded as transformers loads them, normalised to names and files that it loads again."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from damaged_files import MARKER, Payload, saved

from asr_tv.errors import DataError
from asr_tv.models.ctc import load_ctc, load_extractor, load_spelling
from asr_tv.models.family import empty_model, family_of
from asr_tv.models.locate import resolve_model
from asr_tv.models.tensors import WEIGHTS, layout_of, open_tensors, write_tensors
from asr_tv.store.results import Store
from asr_tv.testing.ctc import CHARACTERS, tiny_ctc
from asr_tv.testing.whisper import tiny_whisper
from asr_tv.vectors.apply import apply_vector
from asr_tv.vectors.files import average_checkpoints, create_vector, open_vector

KINDS = ("wav2vec2", "conformer")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ctc")
    for kind in KINDS:
        tiny_ctc(path / kind, kind)
        tiny_ctc(path / f"{kind}-tuned", kind, seed=1)
    return path


def rewritten(folder: Path, out: Path, **tensors: torch.Tensor | None) -> Path:
    """A copy with tensors replaced, or left out where None."""
    shutil.copytree(folder, out)
    state = {name: tensor.clone() for name, tensor in open_tensors(folder).items()} | tensors
    state = {name: tensor for name, tensor in state.items() if tensor is not None}
    write_tensors(out / WEIGHTS, layout_of(state), sorted(state.items()), {"format": "pt"})
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_the_store_holds_what_transformers_loads(folder: Path, kind: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCTC, AutoProcessor

    record = resolve_model(str(folder / kind), Store(tmp_path))
    model, info = AutoModelForCTC.from_pretrained(record.path / "model", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    original = open_tensors(folder / kind)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, original[name])
        assert tensor.dtype == original[name].dtype
    processor = AutoProcessor.from_pretrained(record.path / "model")
    assert processor.feature_extractor.return_attention_mask is (kind == "conformer")
    assert processor.tokenizer.get_vocab()["|"] == 4
    assert record.details["parameters"] >= sum(p.numel() for p in model.parameters())


def test_families_are_told_by_the_configuration(folder: Path, tmp_path: Path) -> None:
    assert [family_of(folder / kind) for kind in KINDS] == ["ctc", "ctc"]
    assert family_of(tiny_whisper(tmp_path / "w")) == "whisper"
    assert family_of(tmp_path) == "whisper"  # whose loader says that it is nothing
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"config\.json: is not readable"):
        family_of(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_the_empty_model_has_the_names_and_shapes(folder: Path, kind: str) -> None:
    empty = empty_model(folder / kind).state_dict()
    assert layout_of(empty) == layout_of(open_tensors(folder / kind))
    assert {tensor.device.type for tensor in empty.values()} <= {"meta", "cpu"}


def test_weight_norm_under_its_old_names_and_a_missing_mask_are_read(folder: Path, tmp_path: Path) -> None:
    """As the published checkpoints of 2020 and 2021 have them."""
    norm = "wav2vec2.encoder.pos_conv_embed.conv"
    state = open_tensors(folder / "wav2vec2")
    old = {
        f"{norm}.weight_{letter}": state[f"{norm}.parametrizations.weight.original{n}"] for n, letter in enumerate("gv")
    }
    gone = dict.fromkeys(f"{norm}.parametrizations.weight.original{n}" for n in (0, 1))
    copy = rewritten(folder / "wav2vec2", tmp_path / "old", **old, **gone, **{"wav2vec2.masked_spec_embed": None})
    digests = [resolve_model(str(copy), Store(tmp_path / store)).digest for store in ("a", "b")]
    assert digests[0] == digests[1]
    record = resolve_model(str(copy), Store(tmp_path / "a"))
    names = open_tensors(record.path / "model")
    assert set(names) == set(state)
    assert all(torch.equal(names[n], state[n]) for n in names if not n.endswith("masked_spec_embed"))


def pickled(folder: Path, out: Path, shards: int = 1) -> Path:
    """A copy whose weights torch.save wrote, as in the paper's time, in one file or in shards."""
    shutil.copytree(folder, out)
    state = {name: tensor.clone() for name, tensor in open_tensors(folder).items()}
    (out / WEIGHTS).unlink()
    if shards == 1:
        torch.save(state, out / "pytorch_model.bin")
        return out
    home = {name: f"pytorch_model-{number % shards:05}.bin" for number, name in enumerate(state)}
    for file in set(home.values()):
        torch.save({name: tensor for name, tensor in state.items() if home[name] == file}, out / file)
    (out / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": home}))
    return out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shards", [1, 2])
def test_weights_that_torch_wrote_are_the_same_model(folder: Path, kind: str, shards: int, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    copy = pickled(folder / kind, tmp_path / "pickled", shards)
    kept, original = resolve_model(str(copy), store), resolve_model(str(folder / kind), store)
    files = [(record.path / "model" / WEIGHTS).read_bytes() for record in (kept, original)]
    assert files[0] == files[1]
    assert not list((kept.path / "model").glob("*.bin*"))
    # Vectors and sums read them where they lie, and write safetensors.
    create_vector(folder / f"{kind}-tuned", copy, tmp_path / "v.safetensors", {})
    apply_vector(copy, tmp_path / "v.safetensors", 1.0, tmp_path / "sum")
    ours, tuned = open_tensors(tmp_path / "sum"), open_tensors(folder / f"{kind}-tuned")
    assert (tmp_path / "sum" / WEIGHTS).is_file()
    assert all(torch.allclose(ours[name].float(), tuned[name].float(), atol=1e-6) for name in tuned)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"a": torch.ones(1)}}, "model is not a tensor of numbers"),
        ([torch.ones(1)], "list is not a tensor"),
        ({"a": torch.ones(1).expand(10**12)}, "a is not a tensor of numbers that the file holds"),
        ({"a": torch.ones(1, dtype=torch.complex64)}, "a: numbers of type torch.complex64"),
    ],
)
def test_other_things_that_torch_wrote_are_refused(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match=rf"pytorch_model\.bin: {message}"):
        open_tensors(tmp_path)


def test_a_pickle_is_not_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    copy = pickled(folder / "wav2vec2", tmp_path / "hostile")
    (copy / "pytorch_model.bin").write_bytes(saved({"a": Payload()}))
    with pytest.raises(DataError, match=r"pytorch_model\.bin: is not a checkpoint of plain weights"):
        resolve_model(str(copy), Store(tmp_path / "store"))
    assert not (tmp_path / MARKER).exists()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"lm_head.weight": None}, "missing keys: lm_head.weight"),
        ({"lm_head.extra": torch.zeros(1)}, "unexpected keys: lm_head.extra"),
        ({"lm_head.weight": torch.zeros(7, 32)}, "lm_head.weight"),
    ],
)
def test_incomplete_weights_are_named(
    folder: Path, tmp_path: Path, tensors: dict[str, torch.Tensor], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_ctc(rewritten(folder / "wav2vec2", tmp_path / "bad", **tensors))


def test_missing_files_are_named(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder / "wav2vec2", tmp_path / "copy")
    (copy / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 8000}))
    with pytest.raises(DataError, match="sampling rate of 8000"):
        load_extractor(copy)
    (copy / "preprocessor_config.json").unlink()
    with pytest.raises(DataError, match=r"preprocessor_config.json: is missing"):
        resolve_model(str(copy), Store(tmp_path / "store"))
    for name in ("vocab.json", "tokenizer_config.json"):
        (copy / name).unlink()
    with pytest.raises(DataError, match="no CTC tokenizer that loads"):
        load_spelling(copy)


def test_the_spelling_is_of_single_characters(folder: Path) -> None:
    spelling = load_spelling(folder / "conformer")
    assert set(spelling.characters) == {*CHARACTERS, "|"}
    assert spelling.delimiter == "|"


class TestVectors:
    """Of a Conformer, whose batch norm keeps statistics that are no part of any vector."""

    STATISTICS = ("running_mean", "running_var", "num_batches_tracked", "inv_freq")

    @pytest.fixture
    def models(self, folder: Path, tmp_path: Path) -> tuple[Path, Path]:
        """Base and tuned, the tuned one with statistics of its own."""
        state = open_tensors(folder / "conformer-tuned")
        moved = {n: t + 3 for n, t in state.items() if n.endswith(self.STATISTICS[:3])}
        return folder / "conformer", rewritten(folder / "conformer-tuned", tmp_path / "tuned", **moved)

    def test_buffers_are_no_part_of_a_vector(self, models: tuple[Path, Path], tmp_path: Path) -> None:
        base, tuned = models
        create_vector(tuned, base, tmp_path / "v.safetensors", {})
        vector = open_vector(tmp_path / "v.safetensors")
        assert not [name for name in vector if name.endswith(self.STATISTICS)]
        assert len(vector) == len([n for n in open_tensors(base) if not n.endswith(self.STATISTICS)])

    def test_buffers_stay_those_of_the_model_it_is_applied_to(self, models: tuple[Path, Path], tmp_path: Path) -> None:
        base, tuned = models
        create_vector(tuned, base, tmp_path / "v.safetensors", {})
        apply_vector(base, tmp_path / "v.safetensors", 1.0, tmp_path / "sum")
        summed, start, end = (open_tensors(d) for d in (tmp_path / "sum", base, tuned))
        for name in start:
            if name.endswith(self.STATISTICS):
                assert torch.equal(summed[name], start[name])
                assert summed[name].dtype == start[name].dtype
            else:
                torch.testing.assert_close(summed[name], end[name], rtol=0, atol=1e-6)
        load_ctc(tmp_path / "sum")

    def test_an_average_keeps_the_first_models_buffers(self, models: tuple[Path, Path], tmp_path: Path) -> None:
        base, tuned = models
        average_checkpoints(tuned, base, 0.5, tmp_path / "average")
        average, first = open_tensors(tmp_path / "average"), open_tensors(tuned)
        assert all(torch.equal(average[n], first[n]) for n in first if n.endswith(self.STATISTICS))
        name = "lm_head.weight"
        torch.testing.assert_close(average[name], (first[name] + open_tensors(base)[name]) / 2)

    def test_models_of_other_form_are_refused(self, models: tuple[Path, Path], folder: Path, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="different architectures: model_type is wav2vec2"):
            create_vector(folder / "wav2vec2", models[0], tmp_path / "v.safetensors", {})
        other = shutil.copytree(folder / "conformer", tmp_path / "other")
        vocabulary = json.loads((other / "vocab.json").read_text())
        vocabulary["A"], vocabulary["B"] = vocabulary["B"], vocabulary["A"]
        (other / "vocab.json").write_text(json.dumps(vocabulary))
        with pytest.raises(DataError, match="different vocabularies"):
            create_vector(other, models[0], tmp_path / "v.safetensors", {})
        with pytest.raises(DataError, match="different architectures"):
            create_vector(tiny_whisper(tmp_path / "w"), models[0], tmp_path / "v.safetensors", {})
