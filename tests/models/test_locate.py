import hashlib
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from asr_tv.errors import DataError
from asr_tv.models import locate
from asr_tv.models.hub import Snapshot
from asr_tv.models.locate import resolve_model
from asr_tv.models.packaged import PackagedModel
from asr_tv.models.tensors import open_tensors, read_json
from asr_tv.models.vocabulary import suppressed_tokens
from asr_tv.models.whisper import load_model, load_tokenizer, prompt_ids
from asr_tv.store.results import Store
from asr_tv.testing.whisper import tiny_whisper

CODES = {"float32": 0, "int16": 2}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def offline(monkeypatch):
    """No hub and no cache, whatever this machine has."""

    def refuse(name):
        raise DataError(f"the hub: closed for {name}")

    monkeypatch.setattr(locate, "cached_snapshot", lambda _: None)
    monkeypatch.setattr(locate, "download_snapshot", refuse)


def fused(state):
    """The tensors of a transformers Whisper under CTranslate2's names, as its converter lays them out."""
    out = {"encoder/num_heads": np.array(2, dtype=np.int16)}
    for name, tensor in state.items():
        side, _, rest = name.removeprefix("model.").partition(".")
        rest = rest.replace("embed_positions.weight", "position_encodings/encodings")
        rest = rest.replace("embed_tokens", "embeddings").replace("layers.", "layer_")
        if "_proj." not in rest:
            for theirs, ours in (("self_attn_layer_norm", "self_attention/layer_norm"), ("fc1", "ffn/linear_0")):
                rest = rest.replace(theirs, ours)
            for theirs, ours in (("encoder_attn_layer_norm", "attention/layer_norm"), ("fc2", "ffn/linear_1")):
                rest = rest.replace(theirs, ours)
            path = rest.replace("final_layer_norm", "ffn/layer_norm").replace(".", "/")
            if "layer_norm" in path:
                path = path.replace("/weight", "/gamma").replace("/bias", "/beta")
            out[f"{side}/{path}"] = tensor.numpy()
    for side, blocks in (("encoder", ("self_attn",)), ("decoder", ("self_attn", "encoder_attn"))):
        for layer, block in ((layer, block) for layer in range(2) for block in blocks):
            groups = {"self_attn": ("qkv", "out"), "encoder_attn": ("q", "kv", "out")}[block]
            for number, group in enumerate(groups):
                names = [group] if group == "out" else list(group)
                target = {"self_attn": "self_attention", "encoder_attn": "attention"}[block]
                for leaf in ("weight", "bias"):
                    parts = [state.get(f"model.{side}.layers.{layer}.{block}.{n}_proj.{leaf}") for n in names]
                    parts = [torch.zeros(64) if part is None else part for part in parts]
                    out[f"{side}/layer_{layer}/{target}/linear_{number}/{leaf}"] = torch.cat(parts).numpy()
    return out


def binary(variables):
    def text(value):
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    content = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, array in variables.items():
        content += text(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        content += struct.pack("<BI", CODES[array.dtype.name], array.nbytes) + array.tobytes()
    return content + struct.pack("<I", 1) + text("decoder/projection/weight") + text("decoder/embeddings/weight")


def ctranslate2(whisper, directory):
    directory.mkdir()
    (directory / "model.bin").write_bytes(binary(fused(dict(open_tensors(whisper)))))
    shutil.copy(whisper / "tokenizer.json", directory)
    (directory / "config.json").write_text(json.dumps({"suppress_ids": [1, 2], "alignment_heads": [[1, 1]]}))
    vocabulary = load_tokenizer(whisper).convert_ids_to_tokens(range(1857))
    (directory / "vocabulary.json").write_text(json.dumps(vocabulary))
    return directory


def same_weights(a, b):
    a, b = open_tensors(a), open_tensors(b)
    assert list(a) == list(b)
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_local_directory_is_kept_in_the_store(tmp_path, store):
    source = tiny_whisper(tmp_path / "mine")
    record = resolve_model(str(source), store)
    assert not record.cached
    assert same_weights(record.path / "model", source)
    assert record.details["source"] == "mine"
    assert record.details["parameters"] == 94_720 + 247_872  # encoder without positions, decoder; worked out by hand
    assert resolve_model(str(source), store).cached
    # The content decides, not the place.
    assert resolve_model(str(source.rename(tmp_path / "moved")), store).key == record.key
    other = tiny_whisper(tmp_path / "other", seed=1)
    assert resolve_model(str(other), store).key != record.key


def test_a_ctranslate2_directory(tmp_path, store):
    whisper = tiny_whisper(tmp_path / "hf")
    record = resolve_model(str(ctranslate2(whisper, tmp_path / "ct2")), store)
    assert same_weights(record.path / "model", whisper)
    generation = read_json(record.path / "model" / "generation_config.json")
    assert generation["suppress_tokens"] == [1, 2]
    assert generation["alignment_heads"] == [[1, 1]]
    features, ids = torch.randn(1, 80, 3000), torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        logits = [load_model(d)(features, decoder_input_ids=ids).logits for d in (whisper, record.path / "model")]
    torch.testing.assert_close(*logits, atol=0, rtol=0)


def test_a_ctranslate2_vocabulary_of_another_order_is_refused(tmp_path, store):
    directory = ctranslate2(tiny_whisper(tmp_path / "hf"), tmp_path / "ct2")
    tokens = json.loads((directory / "vocabulary.json").read_text())
    (directory / "vocabulary.json").write_text(json.dumps([*tokens[:300], "Ġother", *tokens[300:]]))
    with pytest.raises(DataError, match="differs from the tokenizer's from token 300 on"):
        resolve_model(str(directory), store)
    (directory / "vocabulary.json").write_text("{")
    with pytest.raises(DataError, match=r"vocabulary\.json: is not a list of tokens"):
        resolve_model(str(directory), store)
    (directory / "vocabulary.json").unlink()
    (directory / "vocabulary.txt").write_text("\n".join(tokens[:200]) + "\n")
    with pytest.raises(DataError, match="from token 200 on"):
        resolve_model(str(directory), store)


def test_an_openai_checkpoint_gives_the_same_logits(tmp_path, store):
    from whisper.model import ModelDimensions, Whisper

    torch.manual_seed(0)
    dims = ModelDimensions(80, 1500, 64, 2, 2, 51864, 448, 64, 2, 2)
    theirs = Whisper(dims).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    torch.save({"dims": vars(dims), "model_state_dict": theirs.state_dict()}, tmp_path / "mine.pt")
    record = resolve_model(str(tmp_path / "mine.pt"), store)
    ours = load_model(record.path / "model")
    assert ours.config.decoder_attention_heads == 2
    features, ids = torch.randn(1, 80, 3000), torch.tensor([[50257, 50362, 2, 3]])
    with torch.no_grad():
        torch.testing.assert_close(
            ours(features, decoder_input_ids=ids).logits, theirs(features, ids), atol=1e-4, rtol=0
        )
    assert prompt_ids(load_tokenizer(record.path / "model"), "en") == (50257, 50362)
    settings = read_json(record.path / "model" / "generation_config.json")
    assert settings["suppress_tokens"] == suppressed_tokens(51864)
    assert settings["alignment_heads"] == [[1, 0], [1, 1]]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """`x/packaged`: a tiny Whisper as CTranslate2 weights in a package in two parts."""
    whole = ctranslate2(tiny_whisper(tmp_path / "hf"), tmp_path / "ct2")
    content, config = ((whole / name).read_bytes() for name in ("model.bin", "config.json"))
    folder = tmp_path / "site" / "packaged_whisper"
    folder.mkdir(parents=True)
    for name, part in (("__init__.py", b""), ("1", content[:999]), ("2", content[999:]), ("config.json", config)):
        (folder / name).write_bytes(part)
    monkeypatch.syspath_prepend(tmp_path / "site")
    digests = [hashlib.sha256(part).hexdigest() for part in (content, config)]
    parts = (("packaged_whisper", "1"), ("packaged_whisper", "2"))
    model = PackagedModel("x/packaged", "demo", parts, ("packaged_whisper", "config.json"), *digests)
    monkeypatch.setattr(locate, "packages_of", lambda name: [model] if name == model.name else [])
    # The packaged vocabularies are OpenAI's; this one's is the fake's own.
    monkeypatch.setattr(locate, "whisper_tokenizer", lambda _: load_tokenizer(tmp_path / "hf"))
    return folder


@pytest.mark.usefixtures("offline")
def test_without_a_hub_the_package_serves(package, store, tmp_path):
    record = resolve_model("x/packaged", store)
    assert same_weights(record.path / "model", tmp_path / "hf")
    assert record.details["source"] == "x/packaged from packaged_whisper + packaged_whisper (CTranslate2, fp16)"
    (package / "2").unlink()
    assert resolve_model("x/packaged", store).cached


@pytest.mark.usefixtures("offline")
def test_a_damaged_package_is_refused(package, store):
    (package / "2").write_bytes((package / "2").read_bytes()[:-1] + b"!")
    with pytest.raises(DataError, match=r"sha256 is .* reinstall packaged_whisper"):
        resolve_model("x/packaged", store)


@pytest.mark.usefixtures("package")
def test_the_hub_goes_before_the_package_but_changes_no_earlier_answer(store, tmp_path, monkeypatch):
    snapshot = Snapshot("x/packaged", "abc", tiny_whisper(tmp_path / "snapshot", seed=5))
    monkeypatch.setattr(locate, "cached_snapshot", lambda _: None)
    monkeypatch.setattr(locate, "download_snapshot", lambda _: snapshot)
    record = resolve_model("x/packaged", store)
    assert record.details["source"] == "x/packaged at abc (hub)"
    assert same_weights(record.path / "model", snapshot.path)

    def refuse(_):
        raise DataError("closed")

    monkeypatch.setattr(locate, "download_snapshot", refuse)
    monkeypatch.setattr(locate, "cached_snapshot", lambda _: snapshot)
    assert resolve_model("x/packaged", store).key == record.key
    monkeypatch.setattr(locate, "cached_snapshot", lambda _: None)
    packaged = resolve_model("x/packaged", store)
    assert packaged.key != record.key
    monkeypatch.setattr(locate, "cached_snapshot", lambda _: snapshot)
    assert resolve_model("x/packaged", store).key == packaged.key


@pytest.mark.usefixtures("offline")
def test_a_model_that_cannot_be_had_says_what_was_tried(store):
    with pytest.raises(DataError) as error:
        resolve_model("openai/whisper-enormous", store)
    assert error.value.problems[0] == "openai/whisper-enormous: not a path on this machine"
    assert error.value.problems[1] == "the hub: closed for openai/whisper-enormous"
    assert 'pip install "asr-tv[demo]"' in error.value.problems[2]


@pytest.mark.parametrize("name", ["./models/x", "/nowhere/x", "a/b/c", "x.pt", "~/x"])
def test_a_path_that_is_not_there_is_not_asked_of_the_hub(store, name):
    with pytest.raises(DataError, match="no such file or directory"):
        resolve_model(name, store)


def test_local_things_that_are_no_model(tmp_path, store):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(DataError, match="holds neither"):
        resolve_model(str(tmp_path / "empty"), store)
    with pytest.raises(DataError, match=r"neither a directory nor an openai-whisper \.pt"):
        resolve_model(str(tmp_path / "x.txt"), store)


@pytest.mark.real
def test_the_packaged_tiny_en_is_openais(real_models, monkeypatch):
    """Same logits as openai-whisper's own class with the same weights, on the same features."""
    from whisper.model import ModelDimensions, Whisper

    from asr_tv.models.openai import transformers_name

    monkeypatch.setattr(locate, "cached_snapshot", lambda _: None)
    monkeypatch.setattr(locate, "download_snapshot", lambda _: (_ for _ in ()).throw(DataError("closed")))
    record = resolve_model("openai/whisper-tiny.en", real_models)
    assert record.details["parameters"] == 37_184_256
    directory = record.path / "model"
    tensors = open_tensors(directory)
    theirs = Whisper(ModelDimensions(80, 1500, 384, 6, 4, 51864, 448, 384, 6, 4)).eval()
    theirs.load_state_dict({name: tensors[transformers_name(name)] for name in theirs.state_dict()})
    features = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[*prompt_ids(load_tokenizer(directory), "en"), 7454, 2402]])
    with torch.no_grad():
        ours = load_model(directory)(features, decoder_input_ids=ids).logits
        torch.testing.assert_close(ours, theirs(features, ids), atol=2e-3, rtol=0)
    settings = read_json(directory / "generation_config.json")
    assert settings["suppress_tokens"] == suppressed_tokens(51864)
    assert settings["alignment_heads"][0] == [1, 0]


@pytest.mark.real
@pytest.mark.parametrize("name", ["openai/whisper-tiny.en", "openai/whisper-base"])
def test_real_weights_transcribe_a_real_prompt(name, real_models, tmp_path):
    from transformers import pipeline

    from asr_tv.audio.recordings import read_audio
    from asr_tv.data.corpora.asterisk import fetch_prompts

    if name == "openai/whisper-base" and not any(package.files() for package in locate.packages_of(name)):
        pytest.skip("the extra `multilingual` is not installed")
    recordings = {u.id: u for u in fetch_prompts("en", tmp_path).manifest}
    wave = read_audio(Path(recordings["confbridge-rest-list-vol-in"].audio))
    directory = resolve_model(name, real_models).path / "model"
    recognise = pipeline("automatic-speech-recognition", str(directory))
    options = {"language": "en"} if name == "openai/whisper-base" else {}
    heard = recognise({"raw": wave, "sampling_rate": 16_000}, generate_kwargs=options)["text"]
    assert heard.strip().lower().rstrip(".") == "to reset the audio volume of the conference to the default level"
