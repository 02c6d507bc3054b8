from dataclasses import dataclass

import pytest

from asr_tv.synthesis.gate.tempo import expected_seconds, letters


@dataclass(frozen=True)
class Said:
    id: str
    voice: str
    reference: str
    speech_seconds: float


def test_digits_and_spelled_letters_count_for_several():
    assert letters("call me") == 6
    assert letters("i s d n") == 12
    assert letters("dial 99") == 4 + 8
    assert letters("...") == 1


def test_each_voice_has_its_own_rate_and_outliers_have_no_say():
    texts = ["go on then", "please leave a message", "the quick brown fox", "abcdefg hij", "one more time please",
             "say it again", "nobody knows", "what a day it was", "seven of nine", "all right"]  # fmt: skip
    rates = {"slow": 0.09, "fast": 0.05}
    clips = [
        Said(f"{v}{n}", v, t, rate * (letters(t) + 4) * (3 if n == 0 else 1))
        for v, rate in rates.items()
        for n, t in enumerate(texts)
    ]
    expected = expected_seconds(clips)
    for clip in clips:
        assert expected[clip.id] == pytest.approx(rates[clip.voice] * (letters(clip.reference) + 4), rel=1e-6)


def test_a_few_clips_are_measured_by_english_speech_and_silence_is_no_clip():
    clips = [Said("a", "v", "please leave a message", 1.3), Said("b", "v", "hello", 0.0)]
    assert expected_seconds(clips) == pytest.approx({"a": 0.06 * 24, "b": 0.06 * 8})
