"""hibari's real voice, whose weights lie in its package."""

import numpy as np
import pytest

from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import ConfigError
from asr_tv.synthesis.engines import SpeechRequest, hibari, open_synthesizer

pytest.importorskip("hibari")


def test_a_clip_depends_on_its_request_alone():
    engine = open_synthesizer(SynthesisConfig(engine="hibari", voices=("heart",)))
    (voice,) = engine.voices
    assert (voice.language, voice.sex, voice.licence, voice.sampling_rate) == ("en-us", "female", "Apache-2.0", 24_000)
    first, second = (SpeechRequest("Press one.", "heart", 0, seed, {"speed": 1.0}) for seed in (1, 2))
    alone, after, other = engine.speak([first, first, second])
    assert np.array_equal(alone, after)
    assert not np.array_equal(alone, other)
    assert 0.3 < len(alone) / 24_000 < 3
    assert np.abs(alone).max() == pytest.approx(0.9)


def test_faster_is_shorter_and_the_speed_is_drawn_from_the_range():
    engine = open_synthesizer(SynthesisConfig(engine="hibari", voices=("heart",), hibari={"speed": [0.6, 1.6]}))
    drawn = {engine.settings(seed)["speed"] for seed in range(20)}
    assert len(drawn) > 15
    assert all(0.6 <= speed <= 1.6 for speed in drawn)
    slow, fast = (SpeechRequest("Please hold the line.", "heart", 0, 1, {"speed": s}) for s in (0.7, 1.5))
    assert len(engine.speak([slow])[0]) > 1.5 * len(engine.speak([fast])[0])


def test_a_text_without_sound_is_empty():
    engine = open_synthesizer(SynthesisConfig(engine="hibari", voices=("heart",)))
    assert engine.speak([SpeechRequest("...", "heart", 0, 1, {"speed": 1.0})])[0].size == 0


def test_unknown_voices_and_those_that_cannot_be_had(monkeypatch, tmp_path):
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    monkeypatch.setattr(hibari, "repository", _no_hub)
    with pytest.raises(ConfigError) as caught:
        open_synthesizer(SynthesisConfig(engine="hibari", voices=("hart", "emma")))
    unknown, far = caught.value.problems
    assert "'hart'" in unknown
    assert "heart" in unknown
    assert far == "synthesis.voices: hibari:emma: the hub does not answer"


def _no_hub(*_: object):
    raise hibari.DataError("the hub does not answer")


def test_a_changed_voice_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    (tmp_path / "bf_emma.int8.onnx").write_bytes(b"something else")
    with pytest.raises(ConfigError, match="is not hibari's voice emma: its sha256 is not"):
        open_synthesizer(SynthesisConfig(engine="hibari", voices=("emma",)))
