"""What a model is, is told by what it holds: never by a size, and what is no model says so."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from commands import Command
from safetensors.torch import load_file, save_file

from asr_tv.errors import DataError
from asr_tv.models.locate import resolve_model
from asr_tv.models.openai import read_openai
from asr_tv.models.tensors import open_tensors
from asr_tv.models.vocabulary import is_published
from asr_tv.models.whisper import load_model
from asr_tv.store.results import Store

PUBLISHED = {(51864, 80), (51865, 80), (51866, 128)}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize("size", [51863, 51864, 51865, 51866, 51867])
@pytest.mark.parametrize("bins", [40, 80, 128])
def test_only_published_pairs_of_sizes_are_openai_s(size: int, bins: int) -> None:
    assert is_published(size, bins) == ((size, bins) in PUBLISHED)


def one_token_more(folder: Path) -> Path:
    """A multilingual Whisper of 51865 tokens and one more, which is as many as large-v3 has."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    sizes = {"d_model": 16, "vocab_size": 51866, "num_mel_bins": 80}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": 1, f"{side}_attention_heads": 1, f"{side}_ffn_dim": 64}
    WhisperForConditionalGeneration(WhisperConfig(**sizes)).save_pretrained(folder)
    return folder


def test_a_vocabulary_is_not_guessed_from_its_size(asr_tv: Command, tmp_path: Path) -> None:
    from whisper.tokenizer import LANGUAGES

    from asr_tv.models.vocabulary import whisper_tokenizer

    folder = one_token_more(tmp_path / "more")
    with pytest.raises(
        DataError, match="51866 tokens is not one of Whisper's with 80 mel bins: the files of its own tokenizer"
    ):
        resolve_model(str(folder), Store(tmp_path / "store"))
    tokenizer = whisper_tokenizer(51865)
    tokenizer.add_tokens(["antidisestablishment"])
    tokenizer.save_pretrained(folder)
    record = resolve_model(str(folder), Store(tmp_path / "store"))
    generation = json.loads((record.path / "model" / "generation_config.json").read_text())
    assert len(generation["lang_to_id"]) == len(LANGUAGES) - 1
    done = asr_tv("export", folder, "--format", "openai", "--out", "pt", "--clips", "1", "--quiet")
    assert done.code == 2
    problem = done.lines[-1]
    assert "openai-whisper has no vocabulary of 51866 tokens for 80 mel bins" in problem
    assert not (tmp_path / "pt" / "model.pt").exists()


def with_adapter(models: Path, folder: Path) -> Path:
    shutil.copytree(models / "base", folder)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "openai/whisper-base"}))
    return folder


def test_an_adapter_alone_says_what_it_is(models: Path, tmp_path: Path) -> None:
    folder = with_adapter(models, tmp_path / "adapter")
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    with pytest.raises(DataError, match=r"a PEFT adapter of openai/whisper-base, not a model: .*merge_and_unload"):
        resolve_model(str(folder), Store(tmp_path / "store"))


def test_a_merged_model_s_left_over_adapter_is_not_carried_on(asr_tv: Command, models: Path, tmp_path: Path) -> None:
    folder = with_adapter(models, tmp_path / "merged")
    asr_tv("vector", "create", models / "base", models / "tuned", "--out", "v.safetensors")
    done = asr_tv("vector", "apply", folder, "v.safetensors", "--coef", "1", "--out", "sum")
    assert done.code == 0, done.lines
    assert not (tmp_path / "sum" / "adapter_config.json").exists()
    load_model(tmp_path / "sum")
    assert resolve_model(str(folder), Store(tmp_path / "store")).path.exists()


def test_tensors_of_a_wrapped_model_say_what_to_do(models: Path, tmp_path: Path) -> None:
    tensors = load_file(models / "base" / "model.safetensors")
    save_file({f"base_model.model.{name}": tensor for name, tensor in tensors.items()}, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=r"begin with base_model\.model\.: .* merge_and_unload"):
        open_tensors(tmp_path / "w.safetensors")


def test_a_pointer_of_git_lfs_is_named(models: Path, tmp_path: Path) -> None:
    from asr_tv.audio.recordings import read_audio

    folder = tmp_path / "model"
    shutil.copytree(models / "base", folder)
    for name in ("model.safetensors", "a.pt", "a.wav"):
        (folder / name).write_bytes(POINTER)
    for read in (
        lambda: resolve_model(str(folder), Store(tmp_path / "store")),
        lambda: read_openai(folder / "a.pt"),
        lambda: read_audio(folder / "a.wav"),
    ):
        with pytest.raises(DataError, match="a pointer of Git LFS, not the file itself: `git lfs pull`"):
            read()


def test_an_openai_file_of_an_unknown_vocabulary_is_refused(tmp_path: Path) -> None:
    state = {"decoder.token_embedding.weight": torch.zeros(51866, 4), "encoder.conv1.weight": torch.zeros(4, 80, 3)}
    torch.save({"dims": {"n_text_head": 1}, "model_state_dict": state}, tmp_path / "m.pt")
    with pytest.raises(DataError, match="51866 tokens is not one of Whisper's with 80 mel bins"):
        resolve_model(str(tmp_path / "m.pt"), Store(tmp_path / "store"))
