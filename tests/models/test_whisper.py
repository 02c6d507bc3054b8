import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from asr_tv.errors import ConfigError, DataError
from asr_tv.models.directory import expected_layout, parameter_count
from asr_tv.models.tensors import open_tensors, read_json
from asr_tv.models.whisper import checkpoint_digest, load_model, load_tokenizer, prompt_ids, save_checkpoint
from asr_tv.testing.whisper import tiny_whisper


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    return tiny_whisper(tmp_path_factory.mktemp("english") / "model")


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory):
    return tiny_whisper(tmp_path_factory.mktemp("multilingual") / "model", multilingual=True)


def copied(directory, tmp_path):
    return shutil.copytree(directory, tmp_path / "copy")


SIZES = {  # name: layers, width, mel bins, vocabulary; then millions of parameters: total, encoder, decoder
    "tiny": ((4, 384, 80, 51865), (37.18, 7.63, 29.55)),
    "base": ((6, 512, 80, 51865), (71.83, 19.82, 52.00)),
    "small": ((12, 768, 80, 51865), (240.58, 87.00, 153.58)),
    "medium": ((24, 1024, 80, 51865), (762.3, 305.7, 456.6)),
    "large-v3": ((32, 1280, 128, 51866), (1541.6, 635.1, 906.5)),
}


@pytest.mark.parametrize("name", SIZES)
def test_parameter_counts_of_the_published_models(name):
    (layers, width, mel_bins, vocab_size), expected = SIZES[name]
    config = {"d_model": width, "num_mel_bins": mel_bins, "vocab_size": vocab_size}
    for side in ("encoder", "decoder"):
        config |= {f"{side}_layers": layers, f"{side}_attention_heads": width // 64, f"{side}_ffn_dim": 4 * width}
    layout = expected_layout(config)
    sides = [{n: form for n, form in layout.items() if n.startswith(f"model.{s}.")} for s in ("encoder", "decoder")]
    precision = 0.06 if name in ("medium", "large-v3") else 0.006
    counts = [parameter_count(part) / 1e6 for part in (layout, *sides)]
    assert counts == pytest.approx(expected, abs=precision)
    assert parameter_count(layout) == sum(parameter_count(side) for side in sides)
    assert layout["model.encoder.embed_positions.weight"][1] == (1500, width)


def test_a_loaded_model_is_tied_fp32_and_at_rest(english):
    model = load_model(english)
    assert not model.training
    assert model.proj_out.weight.data_ptr() == model.model.decoder.embed_tokens.weight.data_ptr()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.generation_config.forced_decoder_ids is None


def test_four_threads_at_once_load_whole_models(english):
    with ThreadPoolExecutor(4) as threads:
        models = list(threads.map(load_model, [english] * 40))
    assert all(model.proj_out.weight is model.model.decoder.embed_tokens.weight for model in models)


def test_prompts_are_those_of_inference(english, multilingual):
    tokenizer = load_tokenizer(english)
    for language in ("en", None):
        tokens = tokenizer.convert_ids_to_tokens(prompt_ids(tokenizer, language))
        assert tokens == ["<|startoftranscript|>", "<|notimestamps|>"]
    tokenizer = load_tokenizer(multilingual)
    tokens = tokenizer.convert_ids_to_tokens(prompt_ids(tokenizer, "it"))
    assert tokens == ["<|startoftranscript|>", "<|it|>", "<|transcribe|>", "<|notimestamps|>"]


def test_prompts_agree_with_what_transformers_decodes_from(english, multilingual):
    for directory, language in ((english, None), (multilingual, "fr")):
        model, tokenizer = load_model(directory), load_tokenizer(directory)
        options = {"language": language, "task": "transcribe"} if language else {}
        features = torch.zeros(1, 80, 3000)
        ids = model.generate(
            features, max_new_tokens=2, return_dict_in_generate=True, force_unique_generate_call=True, **options
        )
        prompt = prompt_ids(tokenizer, language)
        assert tuple(ids.sequences[0, : len(prompt)].tolist()) == prompt


def test_unknown_languages_are_refused(english, multilingual):
    with pytest.raises(ConfigError, match="language it: this model knows English only"):
        prompt_ids(load_tokenizer(english), "it")
    with pytest.raises(ConfigError, match=r"language xx: not known; it has 6, by two-letter code: en, de, es, fr"):
        prompt_ids(load_tokenizer(multilingual), "xx")
    with pytest.raises(ConfigError, match="a multilingual model needs a language"):
        prompt_ids(load_tokenizer(multilingual), None)


def test_saving_and_loading_gives_the_same_checkpoint(english, tmp_path):
    save_checkpoint(load_model(english), english, tmp_path / "saved")
    assert checkpoint_digest(tmp_path / "saved") == checkpoint_digest(english)
    assert "proj_out.weight" not in open_tensors(tmp_path / "saved" / "model.safetensors")


def test_a_saved_checkpoint_generates(multilingual, tmp_path):
    model = load_model(multilingual).to(torch.bfloat16).train()
    save_checkpoint(model, multilingual, tmp_path / "saved")
    again = load_model(tmp_path / "saved")
    assert again.proj_out.weight.data_ptr() == again.model.decoder.embed_tokens.weight.data_ptr()
    assert again.generate(torch.zeros(1, 80, 3000), language="de", max_new_tokens=3).shape[0] == 1
    again.save_pretrained(tmp_path / "by transformers")
    load_model(tmp_path / "by transformers").generate(torch.zeros(1, 80, 3000), language="de", max_new_tokens=3)


def test_settings_that_stop_generation_are_not_carried_on(english, tmp_path):
    old = copied(english, tmp_path)
    for name in ("config.json", "generation_config.json"):
        settings = read_json(old / name) | {"forced_decoder_ids": [[1, 50362]], "max_length": 448}
        (old / name).write_text(json.dumps(settings))
    save_checkpoint(load_model(english), old, tmp_path / "saved")
    assert read_json(tmp_path / "saved" / "generation_config.json")["forced_decoder_ids"] is None
    assert not {"forced_decoder_ids", "max_length"} & set(read_json(tmp_path / "saved" / "config.json"))


def test_the_digest_tells_weights_and_configuration_apart(english, tmp_path):
    original = checkpoint_digest(english)
    copy = copied(english, tmp_path)
    (copy / "README.md").write_text("a card")
    assert checkpoint_digest(copy) == original
    for name in ("config.json", "tokenizer.json", "generation_config.json"):
        content = (copy / name).read_text()
        (copy / name).write_text(content + "\n")
        assert checkpoint_digest(copy) != original
        (copy / name).write_text(content)
    model = load_model(english)
    with torch.no_grad():
        model.model.decoder.embed_tokens.weight[0, 0] += 1e-3
    save_checkpoint(model, english, copy)
    assert checkpoint_digest(copy) != original


def test_incomplete_weights_do_not_load(english, tmp_path):
    from safetensors.torch import load_file, save_file

    copy = copied(english, tmp_path)
    state = load_file(copy / "model.safetensors")
    del state["model.encoder.conv1.weight"]
    save_file(state | {"model.encoder.conv9.bias": torch.ones(1)}, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError) as error:
        load_model(copy)
    assert "missing keys: model.encoder.conv1.weight" in error.value.problems[0]
    assert "unexpected keys: model.encoder.conv9.bias" in error.value.problems[1]


def test_damaged_directories_do_not_load(english, tmp_path):
    copy = copied(english, tmp_path)
    (copy / "model.safetensors").write_bytes((copy / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(DataError, match="is not a complete safetensors file"):
        load_model(copy)
    shutil.copy(english / "model.safetensors", copy)
    (copy / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"config\.json"):
        load_model(copy)
    with pytest.raises(DataError, match="holds neither"):
        checkpoint_digest(tmp_path)
