"""SpeechT5's real code path on a small model with random weights: what it says is noise, and nothing says otherwise."""

from pathlib import Path

import numpy as np
import pytest
import torch

from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import ConfigError
from asr_tv.synthesis.engines import SpeechRequest, Synthesizer, open_synthesizer
from asr_tv.synthesis.engines.speecht5 import read_vectors
from asr_tv.testing.voices import tiny_speecht5

pytest.importorskip("sentencepiece")

TEXTS = ("hello there.", "press one.", "a rather longer sentence, is it not?", "one two three. " * 30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speecht5")
    tiny_speecht5(folder)
    rng = np.random.default_rng(0)
    np.savez(
        folder / "people.npz", **{name: rng.standard_normal(16).astype(np.float32) for name in ("ann", "bob", "eve")}
    )
    return folder


def opened(folder: Path, *speakers: str, embeddings: str = "", **settings: object) -> Synthesizer:
    section = {"vocoder": str(folder / "vocoder"), "embeddings": embeddings or str(folder / "people.npz"), **settings}
    voices = tuple(f"{folder / 'tts'}#{s}" if s else str(folder / "tts") for s in speakers)
    return open_synthesizer(SynthesisConfig(engine="speecht5", voices=voices, speecht5=section))


def requests(voice: str, *texts: str) -> list[SpeechRequest]:
    return [SpeechRequest(text, voice, 0, seed, {}) for seed, text in enumerate(texts, 1)]


def test_a_clip_does_not_depend_on_its_batch(folder: Path):
    engine = opened(folder, "ann", "any")
    assert [(v.label, v.sampling_rate, v.language) for v in engine.voices] == [
        ("tts#ann", 16000, "en"),
        ("tts#any", 16000, "en"),
    ]
    for voice in ("tts#ann", "tts#any"):
        asked = requests(voice, *TEXTS)
        together, turned = engine.speak(asked), engine.speak(asked[::-1])[::-1]
        alone = [engine.speak([request])[0] for request in asked]
        assert all(len(wave) and np.abs(wave).max() == pytest.approx(0.9) for wave in together)
        for wave, single, other in zip(together, alone, turned, strict=True):
            np.testing.assert_allclose(single, wave, atol=1e-4)
            np.testing.assert_allclose(other, wave, atol=1e-4)


def test_dropout_follows_the_seed_and_the_speaker_is_heard(folder: Path):
    engine = opened(folder, "ann", "bob")
    ann, again, other = (SpeechRequest("hello.", "tts#ann", 0, seed, {}) for seed in (1, 1, 2))
    torch.manual_seed(5)
    first = engine.speak([ann])[0]
    assert np.array_equal(first, engine.speak([again])[0])
    assert not np.array_equal(first, engine.speak([other])[0])
    bob = engine.speak([SpeechRequest("hello.", "tts#bob", 0, 1, {})])[0]
    assert not np.array_equal(first[:100], bob[:100])


def test_any_draws_a_speaker_for_each_clip(folder: Path):
    engine = opened(folder, "any")
    drawn = [engine._vector(request).tobytes() for request in requests("tts#any", *["hello."] * 30)]
    assert set(drawn) == {vector.tobytes() for vector in engine._vectors.values()}
    assert drawn == [engine._vector(request).tobytes() for request in requests("tts#any", *["hello."] * 30)]


def test_dropout_keeps_the_layers_expectation(folder: Path):
    engine = opened(folder, "ann")
    loaded = engine._speecht5(folder / "tts")
    loaded._streams = [torch.Generator().manual_seed(seed) for seed in range(400)]
    dropped = loaded._dropout(torch.ones(400, 3, 16), 0.5)
    assert set(dropped[:, -1].unique().tolist()) == {0.0, 2.0}
    assert float(dropped[:, -1].mean()) == pytest.approx(1.0, abs=0.05)


class TestRefusals:
    def test_no_embedding_and_an_unknown_one(self, folder: Path):
        with pytest.raises(ConfigError) as caught:
            opened(folder, "", "zoe", "ann", "ann")
        nobody, unknown, twice = caught.value.problems
        assert "names no speaker; add # and a number or a name" in nobody
        assert "unknown speaker; of the 3: ann, bob, eve, any" in unknown
        assert twice == "synthesis.voices: tts#ann is named twice"

    def test_embeddings_that_cannot_be_read(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        np.savez(tmp_path / "object.npz", a=np.array([{}], object))
        np.savez(tmp_path / "uneven.npz", a=np.zeros(3), b=np.zeros(4))
        (tmp_path / "text.parquet").write_text("no")
        for name, message in (
            ("gone.npz", "no such file"),
            ("object.npz", "not an .npz of numbers"),
            ("uneven.npz", "holds no x-vectors of one length"),
            ("text.parquet", "no column xvector"),
        ):
            with pytest.raises(ConfigError, match=message):
                opened(folder, "ann", embeddings=str(tmp_path / name))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(ConfigError, match=r"speecht5\.embeddings: nobody/xvectors: the hub: HF_HUB_OFFLINE"):
            opened(folder, "ann", embeddings="nobody/xvectors")

    def test_without_sentencepiece(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("asr_tv.synthesis.engines.speecht5.util.find_spec", lambda name: None)
        with pytest.raises(ConfigError, match=r"needs the package sentencepiece \(extra speecht5"):
            opened(folder, "ann")

    def test_without_a_vocoder(self, folder: Path, tmp_path: Path):
        with pytest.raises(ConfigError, match=r"synthesis\.speecht5\.vocoder: .* has no config\.json"):
            opened(folder, "ann", vocoder=str(tmp_path))


def test_vectors_of_a_parquet_table_go_by_number_and_name(tmp_path: Path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    rows = {"filename": ["slt-a", "bdl-b"], "xvector": [[0.0, 1.0], [2.0, 3.0]]}
    pyarrow.parquet.write_table(pa.table(rows), tmp_path / "x.parquet")
    vectors, digest = read_vectors(str(tmp_path / "x.parquet"))
    assert {name: vector.tolist() for name, vector in vectors.items()} == {
        "0": [0.0, 1.0],
        "1": [2.0, 3.0],
        "slt-a": [0.0, 1.0],
        "bdl-b": [2.0, 3.0],
    }
    assert digest.startswith("sha256:")


def test_vectors_of_one_array_go_by_number(tmp_path: Path):
    np.savez(tmp_path / "x.npz", xvectors=np.arange(6.0).reshape(3, 2))
    vectors, _ = read_vectors(str(tmp_path / "x.npz"))
    assert vectors["2"].tolist() == [4.0, 5.0]
