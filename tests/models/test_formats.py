import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asr_tv.errors import ConfigError, DataError
from asr_tv.models import formats as exporting
from asr_tv.models.ctranslate2 import read_variables, to_transformers
from asr_tv.models.directory import BareWhisper, write_directory
from asr_tv.models.formats import check_exportable, openai_name, write_format
from asr_tv.models.locate import resolve_model
from asr_tv.models.openai import transformers_name
from asr_tv.models.tensors import TIED, open_tensors
from asr_tv.models.vocabulary import whisper_tokenizer
from asr_tv.models.whisper import load_model, load_tokenizer
from asr_tv.store.results import Store
from asr_tv.testing.ctc import tiny_ctc
from asr_tv.testing.whisper import tiny_whisper


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights over the published English vocabulary, the only kind that openai-whisper has a tokenizer for."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    sizes: dict[str, Any] = {"d_model": 64, "vocab_size": 51864}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": 2, f"{side}_attention_heads": 2, f"{side}_ffn_dim": 256}
    torch.manual_seed(3)
    model = WhisperForConditionalGeneration(WhisperConfig(**sizes))
    tensors = {name: tensor for name, tensor in model.state_dict().items() if name not in TIED}
    out = tmp_path_factory.mktemp("published") / "model"
    write_directory(BareWhisper(tensors, whisper_tokenizer(51864), heads=2), out)
    return out


def tensors_of(directory: Path) -> dict[str, torch.Tensor]:
    tensors = open_tensors(directory)
    return {name: tensors[name] for name in tensors}


class TestRefusals:
    def test_unknown_formats_and_precisions(self) -> None:
        with pytest.raises(ConfigError, match="--format ggml: unknown; one of hf, ctranslate2, openai"):
            check_exportable("ggml", "fp32")
        with pytest.raises(ConfigError, match="--precision int8: openai is written in fp32, fp16"):
            check_exportable("openai", "int8")

    def test_a_missing_extra_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(exporting, "find_spec", lambda name: None)
        for form in ("hf", "openai"):
            check_exportable(form, "fp32")
        with pytest.raises(ConfigError) as caught:
            write_format(tmp_path, tmp_path / "out", "ctranslate2", "fp32")
        (problem,) = caught.value.problems
        assert problem.startswith("--format ctranslate2: ctranslate2 and faster-whisper not installed: ")
        assert problem.endswith('pip install "asr-tv[export]"')
        assert not (tmp_path / "out").exists()

    def test_openai_whisper_has_its_own_vocabularies_only(self, tiny: Path, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"openai-whisper has no vocabulary of \d+ tokens"):
            write_format(tiny, tmp_path / "out", "openai", "fp32")

    def test_a_ctc_model_is_what_transformers_loads_already(self, tmp_path: Path) -> None:
        tiny_ctc(tmp_path / "ctc")
        for form in ("hf", "ctranslate2", "openai"):
            with pytest.raises(DataError, match="ctc: a CTC model, and exports are of Whispers"):
                write_format(tmp_path / "ctc", tmp_path / "out", form, "fp32")  # type: ignore[arg-type]

    def test_a_parameter_that_openai_whisper_has_not(self) -> None:
        for name in ("model.decoder.layers.0.self_attn.lora.weight", "model.encoder.extra.weight"):
            with pytest.raises(DataError, match="openai-whisper has no such parameter"):
                openai_name(name)


def test_names_are_each_others_inverse(tiny: Path) -> None:
    names = set(tensors_of(tiny))
    assert {transformers_name(openai_name(name)) for name in names} == names


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_hf_keeps_every_weight_and_file(precision: str, tiny: Path, tmp_path: Path) -> None:
    write_format(tiny, tmp_path / "out", "hf", precision)  # type: ignore[arg-type]
    before, after = tensors_of(tiny), tensors_of(tmp_path / "out")
    dtype = torch.float32 if precision == "fp32" else torch.float16
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name].to(dtype), after[name]) for name in before)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")
    generation = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert generation["return_timestamps"] is False
    assert generation["forced_decoder_ids"] is None
    load_model(tmp_path / "out")
    assert load_tokenizer(tmp_path / "out").get_vocab() == load_tokenizer(tiny).get_vocab()


class TestCtranslate2:
    def test_our_own_reader_gets_every_weight_back(self, tiny: Path, tmp_path: Path) -> None:
        write_format(tiny, tmp_path / "out", "ctranslate2", "fp32")
        before, after = tensors_of(tiny), to_transformers(read_variables(tmp_path / "out" / "model.bin"))
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)

    def test_int8_is_within_a_step_of_each_rows_scale(self, tiny: Path, tmp_path: Path) -> None:
        write_format(tiny, tmp_path / "out", "ctranslate2", "int8")
        name = "model.decoder.layers.0.fc1.weight"
        before, after = (
            tensors_of(tiny)[name],
            to_transformers(read_variables(tmp_path / "out" / "model.bin"))[name],
        )
        step = before.abs().amax(dim=1, keepdim=True) / 127
        assert bool(((before - after).abs() <= step).all())
        assert not torch.equal(before, after)

    def test_what_faster_whisper_reads_is_beside_the_weights(self, tiny: Path, tmp_path: Path) -> None:
        write_format(tiny, tmp_path / "out", "ctranslate2", "fp32")
        assert {"tokenizer.json", "preprocessor_config.json", "vocabulary.json", "config.json"} <= {
            file.name for file in (tmp_path / "out").iterdir()
        }
        listed = json.loads((tmp_path / "out" / "vocabulary.json").read_text())
        tokenizer = load_tokenizer(tiny)
        assert listed == tokenizer.convert_ids_to_tokens(range(len(listed)))


class TestOpenai:
    def test_its_own_program_gives_the_same_logits(self, published: Path, tmp_path: Path) -> None:
        import whisper

        write_format(published, tmp_path / "out", "openai", "fp32")
        theirs = whisper.load_model(str(tmp_path / "out" / "model.pt"), device="cpu")
        assert not theirs.is_multilingual
        mel = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 80, 3000)).astype(np.float32))
        tokens = torch.tensor([[50257, 50362, 11, 12, 13]])
        with torch.inference_mode():
            expected = load_model(published)(input_features=mel, decoder_input_ids=tokens).logits
            torch.testing.assert_close(theirs(mel, tokens), expected, atol=1e-4, rtol=1e-4)

    def test_it_comes_back_as_it_was(self, published: Path, tmp_path: Path) -> None:
        write_format(published, tmp_path / "out", "openai", "fp32")
        record = resolve_model(str(tmp_path / "out" / "model.pt"), Store(tmp_path / "store"))
        before, after = tensors_of(published), tensors_of(record.path / "model")
        assert all(torch.equal(before[name], after[name]) for name in before)

    def test_a_full_disk_leaves_no_file(self, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(_: object, file: Any) -> None:
            file.write(b"half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(torch, "save", fails)
        with pytest.raises(OSError, match="No space"):
            write_format(published, tmp_path / "out", "openai", "fp32")
        assert list((tmp_path / "out").iterdir()) == []
