import numpy as np
import pytest

from asr_tv.audio.vad import SAMPLING_RATE, SpeechDetector, _find_speech
from asr_tv.errors import ConfigError


def test_silence_noise_and_nothing_are_no_speech():
    detector = SpeechDetector()
    noise = np.random.default_rng(0).standard_normal(SAMPLING_RATE).astype(np.float32)
    assert detector.spans(np.zeros(SAMPLING_RATE, np.float32)) == ()
    assert detector.spans(np.float32(0.05) * noise) == ()
    assert detector.spans(np.zeros(0, np.float32)) == ()
    assert detector.spans(np.zeros(5, np.float32)) == ()


def test_speech_begins_above_one_threshold_and_ends_below_another():
    probabilities = np.array([0.4, 0.6, 0.4, 0.6, 0.3, 0.4, 0.1, 0.2, 0.9, 0.9], np.float32)
    assert _find_speech(probabilities) == [(1, 4), (8, 10)]
    assert _find_speech(np.zeros(3, np.float32)) == []


def test_a_stop_consonant_is_no_pause():
    probabilities = np.zeros(16, np.float32)
    for first, end in ((1, 4), (7, 9), (13, 15)):
        probabilities[first:end] = 0.9
    assert _find_speech(probabilities) == [(1, 9), (13, 15)]


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("asr_tv.audio.vad.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"silero-vad==6\.2\.3 \(extra gate"):
        SpeechDetector()
