"""Recordings: read in any format of libsndfile, mono float32 in [-1, 1] in memory, written as 16-bit FLAC or WAV."""

import io
import mmap
import re
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from asr_tv.audio import media
from asr_tv.audio.channels import Power
from asr_tv.audio.layout import STREAMED, Layout, layout_of
from asr_tv.errors import DataError
from asr_tv.store.pointers import refuse_pointer
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
_MPEG = tuple(bytes((0xFF, byte)) for byte in (0xFA, 0xFB, 0xF2, 0xF3, 0xE2, 0xE3, 0xFC, 0xFD, 0xF4, 0xF5))
_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"riff", b"fLaC", b"OggS", b"ID3", *_MPEG, b"FORM", b".snd", b"caff")
_READ = "wav flac ogg oga opus mp3 mp2 aif aiff aifc au snd w64 rf64 caf sph gsm voc"
_OTHERS = "m4a m4b mp4 mov 3gp webm mka mkv aac wma amr ac3 flv wv ape spx"
SUFFIXES = frozenset(f".{suffix}" for suffix in (*_READ.split(), *_OTHERS.split()))
"""Suffixes of recordings, whether they can be read or must be named as unreadable."""
_SHORT_DATA = re.compile(r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)")
_NO_LENGTH = 2**62
"""libsndfile reports 2**63 - 1 frames for a FLAC file that was encoded into a pipe, and cannot read it in blocks."""


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

    A file of several recordings, joined or chained, is all of them, at the sampling rate of the first.

    Raises:
        DataError: as `read_audio`; or channels that cancel each other out.
    """
    where = _named(path, utterance)
    with _named_errors(path, where):
        layout = _checked_layout(path, where)
        parts = [_read_part(source, where, exact=layout.exact) for source in _sources(path, layout)]
    (_, rate) = parts[0]
    wave = np.concatenate([resample(part, own, rate) for part, own in parts])
    if len(wave) > min(MAX_SAMPLES, MAX_SECONDS * rate):
        raise DataError(f"{where}: longer than {MAX_SECONDS / 3600:g} hours or {MAX_SAMPLES} samples")
    if not wave.size:
        raise DataError(f"{where}: empty: no samples")
    if not np.isfinite(wave).all():
        raise DataError(f"{where}: holds NaN or infinite samples")
    return limit_peak(wave), rate


def audio_duration(path: Path, *, utterance: str | None = None) -> float:
    """Duration in seconds, from the header; the last samples are read to detect truncation without decoding everything.

    MP3 files are decoded, because their headers do not give a reliable length, and formats that cannot be sought in.

    Raises:
        DataError: as `read_audio`, except for samples that are not finite.
    """
    where = _named(path, utterance)
    with _named_errors(path, where):
        layout = _checked_layout(path, where)
        durations = [_part_duration(source, where, exact=layout.exact) for source in _sources(path, layout)]
    if not sum(durations):
        raise DataError(f"{where}: empty: no samples")
    return sum(durations)


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
def _named_errors(path: Path, where: str) -> Iterator[None]:
    """Errors of the file system and of libsndfile in the body are raised as DataError."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{where}: {_why_missing(path)}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{where}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except soundfile.SoundFileError as error:
        says = str(getattr(error, "error_string", error)).strip()
        raise DataError(f"{where}: {_why_unreadable(path)} ({says})") from None


def _checked_layout(path: Path, where: str) -> Layout:
    """The layout of a file, once it is clear that it is one, and whole."""
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise DataError(f"{where}: not a file but a device or a pipe")
    if stat.S_ISDIR(status.st_mode):
        raise DataError(f"{where}: a folder, not a recording")
    if status.st_size == 0:
        raise DataError(f"{where}: empty: 0 bytes")
    if path.suffix.lower() == ".raw":
        raise DataError(f"{where}: raw samples without a header")
    refuse_pointer(path, where)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            layout = layout_of(content)  # type: ignore[arg-type]  # a memory map reads as bytes do
    except (struct.error, IndexError):
        raise DataError(f"{where}: truncated or damaged: its structure does not add up") from None
    except DataError as error:
        raise DataError(f"{where}: {problem}" for problem in error.problems) from None
    if layout.missing:
        raise DataError(f"{where}: truncated: {layout.missing}")
    return layout


def _sources(path: Path, layout: Layout) -> list[Path | io.BytesIO]:
    return [path] if layout.parts is None else [io.BytesIO(part) for part in layout.parts]


@contextmanager
def _opened(source: Path | io.BytesIO, where: str) -> Iterator[Any]:
    with soundfile.SoundFile(source) as file:
        _check_header(file, where)
        yield file


def _read_part(source: Path | io.BytesIO, where: str, *, exact: bool) -> tuple[Wave, int]:
    """One recording and its sampling rate, by libsndfile or, where that knows no such format, by PyAV."""
    if isinstance(source, Path) and (kind := media.kind_of(source)):
        return media.read(source, kind, where, MAX_SAMPLES)
    with _opened(source, where) as file:
        wave = _decode(file, where)
        if missing := _missing(file, wave.size, exact=exact):
            raise DataError(f"{where}: truncated: {missing}")
        return wave, int(file.samplerate)


def _part_duration(source: Path | io.BytesIO, where: str, *, exact: bool) -> float:
    if not (isinstance(source, Path) and media.kind_of(source)):
        with _opened(source, where) as file:
            if file.format != "MP3" and file.seekable():
                tail = min(int(file.frames), _TAIL)
                file.seek(file.frames - tail)
                heard = file.frames - tail + len(file.read(tail, always_2d=True))
                if missing := _missing(file, heard, exact=exact):
                    raise DataError(f"{where}: truncated: {missing}")
                return int(file.frames) / float(file.samplerate)
    wave, rate = _read_part(source, where, exact=exact)
    return wave.size / rate


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


def looks_like_recording(path: Path) -> bool:
    """Whether a file is a recording by its suffix or its first bytes, readable or not."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            head = file.read(12)
        return (head.startswith(_MAGIC) and head[8:12] not in (b"WEBP", b"AVI ")) or bool(media.kind_of(path))
    except OSError:
        return False


def _why_missing(path: Path) -> str:
    """What a path that leads nowhere probably is."""
    if found := re.search(r"(?:^|/)(file|https?|s3|gs|ftp|hf):/", name := path.as_posix()):
        return "no such recording; an address is not opened: " + (
            "write the path behind file://" if found[1] == "file" else "download it and write its path"
        )
    if "\\" in name:
        return "no such recording; it is written with backslashes, as on Windows: write /"
    return "no such recording"


def _why_unreadable(path: Path) -> str:
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
    power = Power()
    while (block := file.read(max(1, _BLOCK // file.channels), dtype="float32", always_2d=True)).size:
        blocks.append(power.averaged(block))
        samples += len(block)
        if samples > most:
            raise DataError(f"{where}: longer than {most / file.samplerate / 3600:.2g} hours")
    power.require_heard(where)
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _missing(file: Any, samples: int, *, exact: bool) -> str:
    """What is missing from a truncated file, or ""; libsndfile silently shortens files of some formats."""
    if (short := _SHORT_DATA.search(file.extra_info)) and int(short[2]) + 1 < int(short[1]) < STREAMED:
        return f"{int(short[1]) - int(short[2])} of {short[1]} bytes of samples are missing"
    if exact and samples < file.frames:
        return f"{file.frames - samples} of {file.frames} samples are missing"
    return ""
