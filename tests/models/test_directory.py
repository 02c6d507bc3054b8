import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from asr_tv.errors import DataError
from asr_tv.models.directory import BareWhisper, normalise_directory, write_directory
from asr_tv.models.tensors import TIED, open_tensors, read_json
from asr_tv.models.vocabulary import suppressed_tokens, whisper_tokenizer
from asr_tv.models.whisper import checkpoint_digest, load_model, load_tokenizer
from asr_tv.testing.whisper import tiny_tokenizer, tiny_whisper


def bare_state(vocab_size, mel_bins=80):
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = {"d_model": 64, "vocab_size": vocab_size, "num_mel_bins": mel_bins}
    for side in ("encoder", "decoder"):
        config |= {f"{side}_layers": 2, f"{side}_attention_heads": 1, f"{side}_ffn_dim": 8}
    special = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 1)
    state = WhisperForConditionalGeneration(WhisperConfig(**config, **special)).state_dict()
    return {name: tensor for name, tensor in state.items() if name not in TIED}


@pytest.mark.parametrize(
    ("vocab_size", "mel_bins", "end", "no_timestamps"),
    [(51864, 80, 50256, 50362), (51865, 80, 50257, 50363), (51866, 128, 50257, 50364)],
)
def test_the_three_vocabularies_get_their_published_settings(tmp_path, vocab_size, mel_bins, end, no_timestamps):
    from transformers import AutoProcessor, GenerationConfig

    state, suppress = bare_state(vocab_size, mel_bins), suppressed_tokens(vocab_size)
    model = BareWhisper(state, whisper_tokenizer(vocab_size), suppress_tokens=suppress, alignment_heads=[[1, 0]])
    write_directory(model, tmp_path / "m")
    config = load_model(tmp_path / "m").config
    assert (config.vocab_size, config.num_mel_bins) == (vocab_size, mel_bins)
    assert config.eos_token_id == config.pad_token_id == end
    assert config.decoder_start_token_id == end + 1
    generation = GenerationConfig.from_pretrained(tmp_path / "m")
    assert generation.eos_token_id == generation.pad_token_id == end
    assert generation.decoder_start_token_id == end + 1
    assert generation.begin_suppress_tokens == [220, end]
    assert generation.suppress_tokens == suppress
    assert generation.alignment_heads == [[1, 0]]
    assert generation.no_timestamps_token_id == no_timestamps
    assert generation.max_length == 448
    assert generation.forced_decoder_ids is None
    assert generation.is_multilingual == (vocab_size > 51864)
    assert hasattr(generation, "lang_to_id") == hasattr(generation, "task_to_id") == generation.is_multilingual
    if generation.is_multilingual:
        assert (generation.lang_to_id["<|en|>"], generation.lang_to_id["<|it|>"]) == (50259, 50274)
        assert generation.task_to_id == {"transcribe": no_timestamps - 4, "translate": no_timestamps - 5}
    processor = AutoProcessor.from_pretrained(tmp_path / "m")
    assert processor.feature_extractor.feature_size == mel_bins
    assert len(processor.tokenizer) == vocab_size


def test_alignment_heads_default_to_the_upper_half_of_the_decoder(tmp_path):
    tokenizer = tiny_tokenizer()
    write_directory(BareWhisper(bare_state(len(tokenizer)), tokenizer), tmp_path / "m")
    assert read_json(tmp_path / "m" / "generation_config.json")["alignment_heads"] == [[1, 0]]


def test_bare_weights_must_make_a_whisper(tmp_path):
    tokenizer = tiny_tokenizer()
    state = bare_state(len(tokenizer))
    lacking = {name: tensor for name, tensor in state.items() if "layers.1.fc1" not in name}
    with pytest.raises(DataError, match=r"lack 4 tensors .* model\.decoder\.layers\.1\.fc1\.bias"):
        write_directory(BareWhisper(lacking, tokenizer), tmp_path / "m")
    odd = state | {"model.encoder.conv2.weight": torch.zeros(64, 64, 5), "extra": torch.zeros(1)}
    with pytest.raises(DataError) as error:
        write_directory(BareWhisper(odd, tokenizer), tmp_path / "m")
    assert error.value.problems == (
        "the weights hold 1 tensors that this Whisper does not have: extra",
        "model.encoder.conv2.weight: has shape [64, 64, 5], config.json asks for [64, 64, 3]",
    )
    with pytest.raises(DataError, match="not a Whisper's"):
        write_directory(BareWhisper({"w": torch.zeros(1)}, tokenizer), tmp_path / "m")
    bad = state | {"model.encoder.conv1.bias": torch.full((64,), float("nan"))}
    with pytest.raises(DataError, match=r"model\.encoder\.conv1\.bias: holds NaN"):
        write_directory(BareWhisper(bad, tokenizer), tmp_path / "m")
    with pytest.raises(DataError, match="does not fit a Whisper of 100 tokens"):
        write_directory(BareWhisper(bare_state(100), tokenizer), tmp_path / "m")
    assert not (tmp_path / "m" / "model.safetensors").exists()


def test_a_normal_directory_stays_as_it_is(tmp_path):
    source = tiny_whisper(tmp_path / "source", multilingual=True)
    normalise_directory(source, tmp_path / "out")
    assert checkpoint_digest(tmp_path / "out") == checkpoint_digest(source)


def test_what_transformers_saves_in_half_precision_and_shards_is_made_normal(tmp_path):
    source = tiny_whisper(tmp_path / "source")
    model = load_model(source)
    model.half().save_pretrained(tmp_path / "half", max_shard_size="200KB")
    assert (tmp_path / "half" / "model.safetensors.index.json").exists()
    load_tokenizer(source).save_pretrained(tmp_path / "half")
    normalise_directory(tmp_path / "half", tmp_path / "out")
    assert not (tmp_path / "out" / "model.safetensors.index.json").exists()
    original, made = open_tensors(source), open_tensors(tmp_path / "out" / "model.safetensors")
    assert list(original) == list(made)
    for name, tensor in made.items():
        assert torch.equal(tensor, original[name].half().float())
    assert load_model(tmp_path / "out").generate(torch.zeros(1, 80, 3000), max_new_tokens=3).shape[0] == 1
    assert read_json(tmp_path / "out" / "preprocessor_config.json")["feature_size"] == 80


def test_an_old_directory_is_brought_up_to_date(tmp_path):
    source = tiny_whisper(tmp_path / "source", multilingual=True)
    expected = read_json(source / "generation_config.json")
    state = load_file(source / "model.safetensors")
    state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"].clone()
    save_file(state, source / "model.safetensors", {"format": "pt"})
    config = read_json(source / "config.json")
    old = {
        "forced_decoder_ids": [[1, None], [2, 5]],
        "max_length": 448,
        "suppress_tokens": [1, 2],
        "torch_dtype": "float16",
    }
    (source / "config.json").write_text(json.dumps(config | old))
    (source / "generation_config.json").unlink()
    (source / "preprocessor_config.json").unlink()
    normalise_directory(source, tmp_path / "out")
    assert read_json(tmp_path / "out" / "generation_config.json") == expected | {"suppress_tokens": [1, 2]}
    assert read_json(tmp_path / "out" / "config.json") == config
    assert "proj_out.weight" not in load_file(tmp_path / "out" / "model.safetensors")
    load_model(tmp_path / "out").generate(torch.zeros(1, 80, 3000), language="it", max_new_tokens=2)


def test_own_generation_settings_are_kept(tmp_path):
    source = tiny_whisper(tmp_path / "source")
    settings = {"suppress_tokens": [], "alignment_heads": [[0, 1]], "forced_decoder_ids": [[1, 3]], "num_beams": 3}
    (source / "generation_config.json").write_text(json.dumps(settings))
    normalise_directory(source, tmp_path / "out")
    made = read_json(tmp_path / "out" / "generation_config.json")
    assert {key: made[key] for key in settings} == settings | {"forced_decoder_ids": None}
    assert made["is_multilingual"] is False


def test_directories_that_are_no_whisper(tmp_path):
    source = tiny_whisper(tmp_path / "source")

    def refused(name, content, message):
        broken = shutil.copytree(source, tmp_path / "broken")
        (broken / name).unlink()
        if content is not None:
            (broken / name).write_text(json.dumps(content))
        with pytest.raises(DataError, match=message):
            normalise_directory(broken, tmp_path / "out")
        shutil.rmtree(broken)

    config = read_json(source / "config.json")
    refused("config.json", {"model_type": "wav2vec2"}, "describes a 'wav2vec2' model, not a whisper")
    refused("config.json", config | {"d_model": "64"}, "d_model should be a whole number, not '64'")
    refused("config.json", config | {"d_model": 128}, "a width of 128, and the weights have 64")
    refused("config.json", config | {"encoder_layers": 3}, "3 encoder layers, and the weights have 2")
    refused("config.json", config | {"pad_token_id": 50256}, "does not describe a Whisper")
    refused("config.json", None, r"config\.json: is missing")
    refused("preprocessor_config.json", {"feature_size": 128}, "128 mel bins, but the model takes 80")
    refused("tokenizer.json", None, "1857 tokens is not one of Whisper's|no tokenizer that loads")
    refused("model.safetensors", None, r"holds neither model\.safetensors nor")
