"""Recordings that are none, are damaged, or are strange and right; and headers that promise more than there is."""

import os
import resource
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from refusals import refused

from asr_tv.audio.recordings import MAX_SAMPLES, audio_duration, read_audio, read_recording

RATE = 16_000


def tone(seconds: float = 1.0, rate: int = RATE, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encoded(folder: Path, suffix: str = ".wav", wave: np.ndarray | None = None, **how: str) -> bytes:
    soundfile.write(folder / f"made{suffix}", tone() if wave is None else wave, RATE, **how)
    return (folder / f"made{suffix}").read_bytes()


def wav(data: bytes, *, code: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16, size: int | None = None):
    """A WAV file with whatever its header says."""
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", code, channels, rate, rate * block % 2**32, block % 2**16, bits)
    chunk = struct.pack("<4sI", b"data", len(data) if size is None else size) + data
    body = b"WAVE" + struct.pack("<4sI", b"fmt ", len(form)) + form + chunk
    return b"RIFF" + struct.pack("<I", len(body)) + body


def flac(folder: Path, **fields: int) -> bytes:
    """A FLAC file whose STREAMINFO is changed: rate (20 bits), channels - 1 (3), bits - 1 (5), samples (36)."""
    content = bytearray(encoded(folder, ".flac"))
    packed = int.from_bytes(content[18:26], "big")
    places = {"rate": (44, 20), "channels": (41, 3), "bits": (36, 5), "samples": (0, 36)}
    for name, value in fields.items():
        shift, width = places[name]
        packed = packed & ~(((1 << width) - 1) << shift) | value << shift
    content[18:26] = packed.to_bytes(8, "big")
    return bytes(content)


REFUSED = {
    "0 bytes": (lambda f: b"", "empty: 0 bytes"),
    "1 byte": (lambda f: b"R", "not audio"),
    "four letters of a wav": (lambda f: b"RIFF", "truncated or damaged"),
    "a header and nothing": (lambda f: wav(b""), "empty: no samples"),
    "a header of no channels": (lambda f: wav(b"\0" * 64, channels=0), ""),
    "a header of 0 Hz": (lambda f: wav(b"\0" * 64, rate=0), ""),
    "a header of 1 Hz": (lambda f: wav(b"\0" * 40_000, rate=1), "a sampling rate of 1 Hz"),
    "a header of 999 Hz": (lambda f: wav(b"\0" * 64, rate=999), "a sampling rate of 999 Hz"),
    "a header of 2 GHz": (lambda f: wav(b"\0" * 64, rate=2_000_000_000), "a sampling rate of 2000000000 Hz"),
    "samples of 0 bits": (lambda f: wav(b"\0" * 64, bits=0), ""),
    "an unknown codec": (lambda f: wav(b"\0" * 64, code=0xBEEF), ""),
    "a header that promises a gigabyte": (lambda f: wav(b"\0" * 64, size=10**9), "truncated"),
    "a header that promises twice as much": (lambda f: wav(b"\0" * 3200, size=6400), "truncated"),
    "half a wav": (lambda f: encoded(f)[:16_000], "truncated"),
    "half a flac": (lambda f: encoded(f, ".flac", np.random.default_rng(0).random(RATE) - 0.5)[:9000], ""),
    "half an ogg": (lambda f: encoded(f, ".ogg")[:3000], "truncated"),
    "a flac of 68 billion samples": (lambda f: flac(f, samples=2**36 - 1), "claims more than 6 hours"),
    "a flac of hours at 1 MHz": (lambda f: flac(f, rate=1_000_000, samples=MAX_SAMPLES + 1), "are the most"),
    "a flac of 0 Hz": (lambda f: flac(f, rate=0), ""),
    "NaN": (lambda f: encoded(f, wave=np.append(tone(), np.nan), subtype="FLOAT"), "NaN or infinite"),
    "minus infinity": (lambda f: encoded(f, wave=np.append(tone(), -np.inf), subtype="DOUBLE"), "NaN or infinite"),
    "all NaN": (lambda f: encoded(f, wave=np.full(64, np.nan), subtype="FLOAT"), "NaN or infinite"),
    "text": (lambda f: b"This is a transcript.\n" * 99, "not audio"),
    "a web page": (lambda f: b"<!doctype html><title>404</title>" * 9, "not audio"),
    "a pointer of Git LFS": (
        lambda f: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "a pointer of Git LFS",
    ),
    "a zip": (lambda f: b"PK\x03\x04" + b"\0" * 99, "not audio"),
    "a gzipped wav": (lambda f: b"\x1f\x8b\x08\0" + b"\0" * 99, "not audio"),
    "zeros": (lambda f: b"\0" * 9999, "not audio"),
    "a film": (lambda f: b"\0\0\0\x18ftypmp42" + b"\0" * 99, "MP4 or M4A, truncated or damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name: str, tmp_path: Path) -> None:
    make, word = REFUSED[name]
    content = make(tmp_path)
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    refused(lambda: read_audio(path, utterance="u1"), "utterance 'u1': ", str(path), word, unchanged=tmp_path)
    if "NaN" not in name and "infinity" not in name:  # samples are not looked at for a duration
        refused(lambda: audio_duration(path, utterance="u1"), "utterance 'u1': ", str(path), word)


def test_pipes_devices_and_links(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    (tmp_path / "dangling.wav").symlink_to(tmp_path / "gone.wav")
    for name, word in {
        "pipe": "not a file but a device or a pipe",
        "zero": "not a file but a device or a pipe",
        "loop": "cannot be read: Too many levels of symbolic links",
        "dangling": "no such recording",
    }.items():
        for read in (read_audio, audio_duration):
            refused(lambda n=name, r=read: r(tmp_path / f"{n}.wav", utterance="u1"), f"{name}.wav", word)


def test_one_sample_is_a_recording_where_it_is_left_of_it(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.25]), RATE)
    assert read_audio(tmp_path / "a.wav").tolist() == [0.25]
    soundfile.write(tmp_path / "b.wav", np.array([0.25]), 192_000)
    refused(lambda: read_audio(tmp_path / "b.wav"), "b.wav: too short: 1 samples at 192000 Hz")


def test_seven_channels_are_averaged(tmp_path: Path) -> None:
    channels = np.stack([tone(level=level / 10) for level in range(7)], axis=1)
    soundfile.write(tmp_path / "a.wav", channels, RATE)
    assert np.abs(read_audio(tmp_path / "a.wav") - tone(level=0.3)).max() < 1e-4


def test_192_kilohertz_are_resampled(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(rate=192_000), 192_000, subtype="PCM_24")
    wave = read_audio(tmp_path / "a.wav")
    assert len(wave) == RATE
    assert np.abs(wave - tone())[500:-500].max() < 1e-3


def test_a_constant_stays_one(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(RATE, 0.5), RATE)
    assert np.all(read_audio(tmp_path / "a.wav") == 0.5)
    soundfile.write(tmp_path / "b.wav", np.full(RATE, 3e38), RATE, subtype="FLOAT")
    assert np.all(read_audio(tmp_path / "b.wav") == 1)


@pytest.mark.parametrize(("suffix", "name"), [(".mp3", "wav"), (".ogg", "wav"), (".flac", "mp3"), (".wav", "flac")])
def test_the_content_counts_and_not_the_name(suffix: str, name: str, tmp_path: Path) -> None:
    encoded(tmp_path, suffix)
    (tmp_path / f"made{suffix}").rename(tmp_path / f"a.{name}")
    wave = read_audio(tmp_path / f"a.{name}")
    assert len(wave) == pytest.approx(RATE, abs=3000)
    assert np.abs(wave).max() == pytest.approx(0.5, abs=0.1)
    assert audio_duration(tmp_path / f"a.{name}") == pytest.approx(len(wave) / RATE)


def test_three_hours_have_a_duration_without_being_decoded(tmp_path: Path) -> None:
    seconds = 3 * 3600
    path = tmp_path / "a.wav"
    path.write_bytes(wav(b"", size=2 * RATE * seconds))
    with path.open("r+b") as file:  # a hole: it takes no room on the disk
        file.truncate(44 + 2 * RATE * seconds)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert audio_duration(path) == seconds
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes; as samples 691 MB
    with path.open("r+b") as file:
        file.truncate(44 + 2 * RATE * seconds - 10_000)
    refused(lambda: audio_duration(path), "a.wav: truncated: 10000 of 345600000 bytes of samples are missing")


def test_a_thousand_channels_are_read_in_blocks_of_one_size(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(b"\0\x10" * 1024 * 300, channels=1024))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wave, _ = read_recording(path)
    assert np.all(wave == 4096 / 32768)
    assert len(wave) == 300
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
