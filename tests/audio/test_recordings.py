import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_tv.audio.recordings import (
    MAX_SECONDS,
    audio_duration,
    limit_peak,
    read_audio,
    read_recording,
    resample,
    write_audio,
)
from asr_tv.errors import DataError

RATE = 16_000


def tone(seconds: float = 3.0, rate: int = RATE, level: float = 0.3) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(time.size) * 0.01
    return (level * np.sin(2 * np.pi * 300 * time) + noise).astype(np.float32)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
def test_any_format_and_rate_becomes_the_same_mono_wave(tmp_path: Path, suffix: str, rate: int) -> None:
    path = tmp_path / f"a.{suffix}"
    left = tone(rate=rate)
    soundfile.write(path, np.stack([left, 0.5 * left], axis=1), rate)
    wave = read_audio(path, sampling_rate=RATE, utterance="a")
    assert wave.dtype == np.float32
    assert wave.ndim == 1
    assert wave.size == pytest.approx(3 * RATE, abs=2)
    expected = 0.75 * tone()
    middle = slice(RATE // 2, 2 * RATE)
    assert np.corrcoef(wave[middle], expected[middle])[0, 1] > 0.99
    assert audio_duration(path) == pytest.approx(3.0, abs=0.001)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff", "au"])
@pytest.mark.parametrize("share", [0.97, 0.5])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, tone(), RATE)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    for read in (read_audio, audio_duration):
        with pytest.raises(DataError, match=rf"utterance 'u1': .*a\.{suffix}: truncated"):
            read(path, utterance="u1")


def test_a_wav_that_was_streamed_into_a_pipe_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), RATE)
    content = bytearray(path.read_bytes())
    content[4:8] = content[content.find(b"data") + 4 : content.find(b"data") + 8] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)
    assert read_audio(path).size == 3 * RATE
    assert audio_duration(path) == 3.0


def test_a_flac_that_was_streamed_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(), RATE)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # total samples: 36 bits of the STREAMINFO block, 0 when unknown
    content[22:26] = bytes(4)
    path.write_bytes(content)
    for read in (read_audio, audio_duration):
        with pytest.raises(DataError, match="encode it once more"):
            read(path)


def test_an_mp3_without_a_frame_count_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    quiet_then_loud = np.concatenate([np.zeros(5 * RATE, np.float32), tone()])
    soundfile.write(path, quiet_then_loud, RATE, bitrate_mode="VARIABLE")
    content = path.read_bytes()
    path.write_bytes(content[content.find(content[:2], 4) :])
    with soundfile.SoundFile(path) as file:
        assert file.frames > 9 * RATE, "libsndfile's estimate is no longer wrong: this test proves nothing"
    assert audio_duration(path) == pytest.approx(8.0, abs=0.2)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("zero.wav", b"", "empty: 0 bytes"),
        ("text.wav", b"this is not audio\n" * 100, "not audio that libsndfile reads"),
        ("nul.flac", bytes(5000), "not audio that libsndfile reads"),
        ("head.flac", b"fLaC" + bytes(100), "truncated or damaged"),
        ("samples.raw", bytes(5000), "raw samples without a header"),
    ],
)
def test_what_is_not_audio_is_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for read in (read_audio, audio_duration):
        with pytest.raises(DataError, match=f"utterance 'u1': .*{name}: {reason}"):
            read(path, utterance="u1")


def test_missing_folder_and_no_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "none.wav", np.zeros(0), RATE)
    for name, reason in (("gone.wav", "no such recording"), ("", "a folder"), ("none.wav", "empty: no samples")):
        for read in (read_audio, audio_duration):
            with pytest.raises(DataError, match=reason):
                read(tmp_path / name)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(tmp_path: Path, bad: float) -> None:
    wave = tone()
    wave[1000] = bad
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    with pytest.raises(DataError, match=r"a\.wav: holds NaN or infinite"):
        read_audio(tmp_path / "a.wav")
    with pytest.raises(DataError, match="not finite"):
        write_audio(tmp_path / "b.wav", wave, RATE)
    assert not (tmp_path / "b.wav").exists()


def test_a_header_that_claims_many_hours_is_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(), RATE)
    content = bytearray(path.read_bytes())
    content[22:26] = struct.pack(">I", int(MAX_SECONDS * RATE) + 1)
    path.write_bytes(content)
    for read in (read_audio, audio_duration):
        with pytest.raises(DataError, match="claims more than 6 hours"):
            read(path)


def test_loud_audio_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    square = np.sign(tone()).astype(np.float32)
    assert np.abs(resample(square, RATE, 22_050)).max() <= 1
    soundfile.write(tmp_path / "a.wav", 3 * tone(level=1.0), RATE, subtype="FLOAT")
    wave = read_audio(tmp_path / "a.wav")
    assert np.abs(wave).max() == 1
    assert np.corrcoef(wave, tone(level=1.0))[0, 1] > 0.9999


def test_limit_peak_leaves_what_is_in_range_untouched() -> None:
    wave = tone()
    assert limit_peak(wave) is wave
    assert limit_peak(np.zeros(0, np.float32)).size == 0


@pytest.mark.parametrize("suffix", ["flac", "wav"])
def test_sixteen_bit_samples_survive_reading_and_writing(tmp_path: Path, suffix: str) -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, RATE).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    wave, rate = read_recording(tmp_path / "a.wav")
    write_audio(tmp_path / f"b.{suffix}", wave, rate)
    assert np.array_equal(soundfile.read(tmp_path / f"b.{suffix}", dtype="int16")[0], samples)


@pytest.mark.parametrize("suffix", ["flac", "wav"])
def test_equal_waves_give_equal_bytes_in_another_process(tmp_path: Path, suffix: str) -> None:
    loud = 2 * tone(level=0.9)
    np.save(tmp_path / "wave.npy", loud)
    write_audio(tmp_path / f"a.{suffix}", loud, RATE)
    program = (
        "import sys, numpy; from pathlib import Path; from asr_tv.audio.recordings import write_audio\n"
        "write_audio(Path(sys.argv[2]), numpy.load(sys.argv[1]), 16000)"
    )
    other = tmp_path / f"b.{suffix}"
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "wave.npy"), str(other)], check=True)
    assert other.read_bytes() == (tmp_path / f"a.{suffix}").read_bytes()
    assert np.abs(soundfile.read(other)[0]).max() <= 1
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([f"a.{suffix}", f"b.{suffix}", "wave.npy"])


def test_unknown_suffix_and_no_samples_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.flac or \.wav"):
        write_audio(tmp_path / "a.mp3", tone(), RATE)
    with pytest.raises(DataError, match="no samples"):
        write_audio(tmp_path / "a.wav", np.zeros(0, np.float32), RATE)
