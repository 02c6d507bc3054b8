"""What a visitor gives: usable recordings, and one line for each that is not."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import record

from asr_tv.errors import DataError
from asr_tv.models.audio_context import FULL_SECONDS
from asr_tv.runs.trial.clips import MOST_BYTES, read_clip


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_clip(path)
    (problem,) = caught.value.problems
    assert str(path.parent) not in problem
    return problem


def test_a_recording_is_heard_at_16_khz_and_known_by_its_sound(tmp_path: Path) -> None:
    clip = read_clip(record(tmp_path / "a.wav", 2.0, rate=16_000))
    assert clip.seconds == pytest.approx(2.0)
    same = read_clip(record(tmp_path / "b.wav", 2.0, rate=16_000))
    assert clip.digest == same.digest != read_clip(record(tmp_path / "c.wav", 2.1)).digest
    assert read_clip(record(tmp_path / "d.wav", 1.0, rate=44_100)).seconds == pytest.approx(1.0, abs=1e-3)


def test_silence(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(16_000), 16_000)
    assert refusal(tmp_path / "silence.wav").startswith("silence.wav: silence")


def test_a_text_file_named_wav(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not audio " * 100)
    assert "not audio" in refusal(tmp_path / "text.wav")


def test_an_hour_is_refused_by_its_header(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hour.flac", np.zeros(3600 * 8000, np.float32), 8000)
    assert refusal(tmp_path / "hour.flac") == "hour.flac: lasts 60 minutes; at most 30 s can be heard at once"


def test_the_longest_allowed_is_heard_and_a_little_more_is_not(tmp_path: Path) -> None:
    assert read_clip(record(tmp_path / "long.wav", FULL_SECONDS)).seconds == FULL_SECONDS
    assert "lasts 30.1 s" in refusal(record(tmp_path / "longer.wav", FULL_SECONDS + 0.1))


def test_a_large_file_is_not_opened(tmp_path: Path) -> None:
    with (tmp_path / "large.wav").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    assert "over 12 MB" in refusal(tmp_path / "large.wav")


def test_a_file_that_went_away(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone.wav").startswith("gone.wav: ")
