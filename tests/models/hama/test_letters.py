"""Conformer of hama with a layer of letters: spelled, tuned on texts, written and read again like any CTC model."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from asr_tv.audio.recordings import write_audio
from asr_tv.config.run import TrainingConfig
from asr_tv.config.trainable import parse_trainable
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.decoding.test_time.ctc import AdaptableCtc
from asr_tv.errors import ConfigError, DataError
from asr_tv.models.ctc import load_ctc, load_spelling, normalise_ctc
from asr_tv.models.directory import VOCABULARY, write_json, write_weights
from asr_tv.models.hama import folder as hama
from asr_tv.models.hama.conformer import HamaConformer
from asr_tv.models.locate import resolve_model
from asr_tv.models.tensors import CONFIG, read_json
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime
from asr_tv.training.data import TrainingData
from asr_tv.training.finetune import finetune
from asr_tv.training.freezing import make_trainable


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `write_with_letters` makes, of random weights."""
    path = tmp_path_factory.mktemp("hama") / "letters"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = HamaConformer(len(hama.LETTERS), blank=0)
    torch.nn.init.normal_(model.feature_extractor.get_buffer("stft_real"), std=0.05)
    torch.nn.init.uniform_(model.feature_extractor.get_buffer("mel"))
    hama.write_hama(model, {"pad_token_id": 0, "vocab_size": len(hama.LETTERS)}, hama.LETTERS, path)
    return path


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Two words, each a sound of its own."""
    path, time = tmp_path_factory.mktemp("tones"), np.arange(16_000, dtype=np.float32) / 16_000
    rows = []
    for name, hertz in (("low", 200.0), ("high", 3000.0)):
        write_audio(path / f"{name}.wav", 0.3 * np.sin(2 * np.pi * hertz * time), 16_000)
        rows.append(Utterance(name, name, audio=str(path / f"{name}.wav"), duration=1.0))
    return Manifest("tones", tuple(rows))


def test_its_letters_are_spelled_and_its_words_divided(letters: Path) -> None:
    spelling = load_spelling(letters)
    assert spelling.delimiter == "|"
    assert {*"abcxyz'|"} <= {*spelling.characters}
    frames = [hama.LETTERS.index(token) for token in ("h", "<pad>", "i", "i", "|", "a", "<pad>", "a", "|")]
    assert spelling.tokenizer.decode(frames) == "hi aa"


@pytest.mark.parametrize(("heard", "text"), [("a", "a"), ("<pad>", "")])
def test_the_first_token_is_the_blank(heard: str, text: str, letters: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(letters, tmp_path / "model")
    state = load_ctc(letters).state_dict()
    state["head.weight"].zero_()
    state["head.bias"].zero_()[hama.LETTERS.index(heard)] = 1
    write_weights(state, folder)
    model = AdaptableCtc(folder, torch.device("cpu"))
    assert model.blank == 0
    assert model.text(model.logits(np.zeros(8_000, np.float32))) == text


def test_ids_beyond_the_layer_are_refused(letters: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(letters, tmp_path / "model")
    write_json(folder / VOCABULARY, read_json(folder / VOCABULARY) | {"é": len(hama.LETTERS)})
    with pytest.raises(DataError, match=r"ids go up to 32, the model writes 32"):
        normalise_ctc(folder, tmp_path / "out")


@pytest.mark.parametrize(
    ("trainable", "tuned"),
    [
        ("freeze_encoder", {"head"}),
        ("freeze_first:4", {"head"}),
        ("freeze_first:3", {"blocks", "head"}),
        ("only_encoder", {"feature_extractor", "blocks"}),
        ("lora", {"blocks"}),
    ],
)
def test_its_parts_are_frozen_like_those_of_other_models(trainable: str, tuned: set[str], letters: Path) -> None:
    model = load_ctc(letters)
    make_trainable(model, parse_trainable(trainable))
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad} == tuned


def test_what_it_lacks_is_refused(letters: Path) -> None:
    with pytest.raises(ConfigError, match=r"name targets of fc1, fc2, out, projections"):
        make_trainable(load_ctc(letters), parse_trainable("ia3"))
    with pytest.raises(ConfigError, match="gradient_checkpointing"):
        load_ctc(letters).activation_checkpointing_enable()


def test_it_is_tuned_on_texts(letters: Path, tones: Manifest, tmp_path: Path) -> None:
    runtime = Runtime(Store(tmp_path))
    base = resolve_model(str(letters), runtime.store)
    training = TrainingConfig(epochs=20, learning_rate=3e-3, batch_size=2, full_context_share=0)
    tuned = finetune(runtime, base, TrainingData(tones, None), training, 17)
    losses = tuned.details["epoch_losses"]
    assert losses[-1] < losses[0] / 2
    before, after = load_ctc(base.path / MODEL).state_dict(), load_ctc(tuned.path / MODEL).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "head.weight" in changed
    assert not any(name.startswith("feature_extractor.") for name in changed)


@pytest.mark.parametrize("classes", [0, -1, 10**9, "many"])
def test_a_number_of_classes_that_is_none_is_refused(classes: object, letters: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(letters, tmp_path / "model")
    write_json(folder / CONFIG, read_json(folder / CONFIG) | {"vocab_size": classes})
    with pytest.raises(DataError, match="vocab_size"):
        load_ctc(folder)


@pytest.mark.real
def test_the_package_with_a_layer_of_letters(tmp_path: Path) -> None:
    pytest.importorskip("hama")
    store = Store(tmp_path)
    ours, theirs = (load_ctc(resolve_model(name, store).path / MODEL) for name in ("hama-letters", "hama"))
    own, whole = ours.state_dict(), theirs.state_dict()
    assert own["head.weight"].shape == (len(hama.LETTERS), 144, 1)
    assert all(torch.equal(own[name], whole[name]) for name in own if not name.startswith("head."))
