"""Recordings: read in any format of libsndfile, mono float32 in [-1, 1] in memory, written as 16-bit FLAC or WAV."""

import io
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from asr_tv.errors import DataError
from asr_tv.store.results import write_atomically

Wave = NDArray[np.float32]
"""One channel of samples, shape (samples,)."""

MAX_SECONDS = 6 * 3600.0
MAX_SAMPLES = round(MAX_SECONDS * 48_000)
"""Limit per channel: a compressed recording, of silence say, may unpack to a thousand times its size."""
RATES = (1_000, 1_000_000)
"""Range of plausible sampling rates, in Hz; at 1 Hz a few kilobytes would be hours, resampled to gigabytes."""
_BLOCK = 1 << 18
_TAIL = 1024
_MAGIC = (b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2", b"FORM", b".snd")
_SHORT_DATA = re.compile(r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)")
_NO_LENGTH = 2**62
"""libsndfile reports 2**63 - 1 frames for a FLAC file that was encoded into a pipe, and cannot read it in blocks."""
_STREAMED = 0x7FFF0000
"""Programs that write a WAV file into a pipe put a length of at least this into its header."""


def read_audio(path: Path, *, sampling_rate: int = 16_000, utterance: str | None = None) -> Wave:
    """The recording, channels averaged, at `sampling_rate`; `utterance` is an id for messages.

    Raises:
        DataError: the file is missing, empty, truncated, not audio, longer than `MAX_SECONDS` or `MAX_SAMPLES`, or has
            an implausible sampling rate or samples that are not finite.
    """
    wave, original = read_recording(path, utterance=utterance)
    resampled = resample(wave, original, sampling_rate)
    if not resampled.size:
        raise DataError(f"{_named(path, utterance)}: too short: {wave.size} samples at {original} Hz")
    return resampled


def read_recording(path: Path, *, utterance: str | None = None) -> tuple[Wave, int]:
    """The recording, channels averaged, and its own sampling rate in Hz; scaled down if its peak exceeds 1.

    Raises:
        DataError: as `read_audio`.
    """
    with _open(path, utterance) as file:
        wave = _decode(file, _named(path, utterance))
        missing = _missing(file, path, wave.size)
        sampling_rate = int(file.samplerate)
    if missing:
        raise DataError(f"{_named(path, utterance)}: truncated: {missing}")
    if not wave.size:
        raise DataError(f"{_named(path, utterance)}: empty: no samples")
    if not np.isfinite(wave).all():
        raise DataError(f"{_named(path, utterance)}: holds NaN or infinite samples")
    return limit_peak(wave), sampling_rate


def audio_duration(path: Path, *, utterance: str | None = None) -> float:
    """Duration in seconds, from the header; the last samples are read to detect truncation without decoding everything.

    MP3 files are decoded, because their headers do not give a reliable length.

    Raises:
        DataError: as `read_audio`, except for samples that are not finite.
    """
    with _open(path, utterance) as file:
        if file.format != "MP3":
            frames = int(file.frames)
            if not frames:
                raise DataError(f"{_named(path, utterance)}: empty: no samples")
            tail = min(frames, _TAIL)
            file.seek(frames - tail)
            if missing := _missing(file, path, frames - tail + len(file.read(tail, always_2d=True))):
                raise DataError(f"{_named(path, utterance)}: truncated: {missing}")
            return frames / float(file.samplerate)
    wave, sampling_rate = read_recording(path, utterance=utterance)
    return wave.size / sampling_rate


def write_audio(path: Path, wave: Wave, sampling_rate: int) -> None:
    """Writes 16-bit mono FLAC or WAV, by the suffix, atomically; equal waves give equal bytes.

    Raises:
        DataError: another suffix, no samples, or samples that are not finite.
    """
    formats = {".flac": "FLAC", ".wav": "WAV"}
    if path.suffix not in formats:
        raise DataError(f"{path}: audio is written as {' or '.join(formats)}")
    if not wave.size or not np.isfinite(wave).all():
        raise DataError(f"{path}: not written: {'samples that are not finite' if wave.size else 'no samples'}")
    buffer = io.BytesIO()
    soundfile.write(buffer, to_pcm16(wave), sampling_rate, format=formats[path.suffix], subtype="PCM_16")
    write_atomically(path, buffer.getvalue())


def resample(wave: Wave, original: float, target: float) -> Wave:
    """The wave at another sampling rate (soxr, high quality); scaled down if its peak would exceed 1."""
    if original == target:
        return wave
    return limit_peak(soxr.resample(wave, original, target, quality="HQ"))


def limit_peak(wave: Wave) -> Wave:
    """The wave, scaled to a peak of 1 if its peak exceeds 1: no clipping, no distortion."""
    peak = np.abs(wave).max(initial=0.0)
    return wave if peak <= 1 else (wave / peak).astype(np.float32)


def to_pcm16(wave: Wave) -> NDArray[np.int16]:
    """16-bit samples, rounded to nearest and clipped to range; the inverse of libsndfile's conversion on reading."""
    scaled: Wave = np.rint(wave * np.float32(32768))
    return scaled.clip(-32768, 32767).astype(np.int16)


@contextmanager
def _open(path: Path, utterance: str | None) -> Iterator[Any]:
    """Opens a `soundfile.SoundFile`; errors of libsndfile in the body are raised as DataError."""
    where = _named(path, utterance)
    try:
        status = path.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise DataError(f"{where}: not a file but a device or a pipe")
        if status.st_size == 0:
            raise DataError(f"{where}: empty: 0 bytes")
        if path.suffix.lower() == ".raw":
            raise DataError(f"{where}: raw samples without a header")
        with soundfile.SoundFile(path) as file:
            _check_header(file, where)
            yield file
    except FileNotFoundError:
        raise DataError(f"{where}: no such recording") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{where}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except soundfile.SoundFileError as error:
        says = str(getattr(error, "error_string", error)).strip()
        raise DataError(f"{where}: {_why_unreadable(path)} ({says})") from None


def _check_header(file: Any, where: str) -> None:
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise DataError(f"{where}: a sampling rate of {file.samplerate} Hz; supported: {RATES[0]} to {RATES[1]}")
    if file.frames >= _NO_LENGTH:
        raise DataError(f"{where}: streamed, without a length in its header; encode it once more into a file")
    if file.format != "MP3" and file.frames / file.samplerate > MAX_SECONDS:
        raise DataError(f"{where}: its header claims more than {MAX_SECONDS / 3600:g} hours")
    if file.format != "MP3" and file.frames > MAX_SAMPLES:
        raise DataError(f"{where}: its header claims {file.frames} samples; {MAX_SAMPLES} are the most")


def _named(path: Path, utterance: str | None) -> str:
    return str(path) if utterance is None else f"utterance {utterance!r}: {path}"


def _why_unreadable(path: Path) -> str:
    if path.is_dir():
        return "a folder, not a recording"
    try:
        with path.open("rb") as file:
            known = file.read(4).startswith(_MAGIC)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "truncated or damaged" if known else "not audio that libsndfile reads"


def _decode(file: Any, where: str) -> Wave:
    """All samples, channels averaged; in blocks, so that memory depends on the content and not on the header."""
    blocks: list[Wave] = []
    samples, most = 0, min(MAX_SECONDS * file.samplerate, MAX_SAMPLES)
    while (block := file.read(max(1, _BLOCK // file.channels), dtype="float32", always_2d=True)).size:
        blocks.append(block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32))
        samples += len(block)
        if samples > most:
            raise DataError(f"{where}: longer than {most / file.samplerate / 3600:.2g} hours")
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _missing(file: Any, path: Path, samples: int) -> str:
    """What is missing from a truncated file, or ""; libsndfile silently shortens files of some formats."""
    if (short := _SHORT_DATA.search(file.extra_info)) and int(short[2]) + 1 < int(short[1]) < _STREAMED:
        return f"{int(short[1]) - int(short[2])} of {short[1]} bytes of samples are missing"
    if file.format == "OGG" and not _ogg_ends(path):
        return "the last page of the Ogg stream is missing"
    if (file.format != "MP3" or _mp3_counts_frames(path)) and samples < file.frames:
        return f"{file.frames - samples} of {file.frames} samples are missing"
    return ""


def _ogg_ends(path: Path) -> bool:
    """Whether the last Ogg page is complete and has the end-of-stream flag (RFC 3533, section 6)."""
    largest_page = 65_307
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2 * largest_page))
        data = file.read()
    page = data[max(0, data.rfind(b"OggS")) :]
    if len(page) < 27 or not page[5] & 4:
        return False
    segments = page[27 : 27 + page[26]]
    return len(page) >= 27 + page[26] + sum(segments)


def _mp3_counts_frames(path: Path) -> bool:
    """Whether the first frame is a Xing or Info tag; without one, libsndfile only estimates the length."""
    with path.open("rb") as file:
        head = file.read(10)
        size = 0
        if head.startswith(b"ID3") and len(head) == 10:
            size = 10 + sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        file.seek(size)
        frame = file.read(256)
    return b"Xing" in frame or b"Info" in frame
