"""What a corpus is before it is stored: known by digests, then opened; recordings whole or cut, missing ones listed."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from asr_tv.audio.recordings import audio_duration, read_recording, write_audio
from asr_tv.config.run import CorpusConfig
from asr_tv.data.manifest import Dropped, Manifest, Utterance, checked
from asr_tv.errors import DataError
from asr_tv.store.results import file_digest
from asr_tv.workers import cores

NO_RECORDING = "its recording is missing"
_SHOWN = 20


@dataclass(frozen=True)
class Opened:
    """Utterances with absolute recordings, what was left out, and what the record should say."""

    manifest: Manifest
    dropped: tuple[Dropped, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A corpus before it is opened: known by digests, so that a stored result is found without opening it.

    Attributes:
        open: is given a folder of its own, for downloads and for parts of recordings.
    """

    inputs: Mapping[str, str]
    open: Callable[[Path], Opened]


@dataclass(frozen=True)
class Segment:
    """An utterance and where it lies in its recording, in seconds; to the end where `seconds` is None."""

    utterance: Utterance
    start: float = 0.0
    seconds: float | None = None

    @property
    def is_whole(self) -> bool:
        return self.start == 0 and self.seconds is None


def opened_segments(
    name: str, segments: Sequence[Segment], config: CorpusConfig, folder: Path, licence: str = "not stated"
) -> Opened:
    """The segments as utterances: whole recordings where they lie, parts written into `folder`.

    Raises:
        DataError: recordings are missing, unless `config.missing_audio` is drop; every one that cannot be read; two
            utterances of one id.
    """
    checked(Manifest(name, tuple(segment.utterance for segment in segments)))
    kept, dropped = present(name, segments, config)
    utterances: list[Utterance] = []
    problems: list[str] = []
    for segment in kept:
        try:
            utterances.append(_timed(segment, folder))
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    return Opened(Manifest(name, tuple(utterances)), dropped, {"licence": licence})


def present(name: str, segments: Sequence[Segment], config: CorpusConfig) -> tuple[list[Segment], tuple[Dropped, ...]]:
    """The segments whose recording is there, and the others, if the configuration allows to go on without them.

    Raises:
        DataError: some are not there, or none is, counted and listed.
    """
    there: dict[str, bool] = {}
    for segment in segments:
        audio = segment.utterance.audio or ""
        there.setdefault(audio, bool(audio) and Path(audio).is_file())
    lost = [segment for segment in segments if not there[segment.utterance.audio or ""]]
    if lost and (config.missing_audio == "refuse" or len(lost) == len(segments)):
        raise DataError(missing_message(name, [s.utterance.audio or s.utterance.id for s in lost], len(segments)))
    kept = [segment for segment in segments if there[segment.utterance.audio or ""]]
    return kept, tuple(Dropped(segment.utterance.id, NO_RECORDING) for segment in lost)


def missing_message(name: str, missing: Sequence[str], total: int) -> list[str]:
    """How many recordings are missing, the first of them, and what can be done."""
    rest = len(missing) - _SHOWN
    return [
        f"{name}: {len(missing)} of {total} recordings are missing; missing_audio: drop goes on without them",
        *(f"missing: {path}" for path in missing[:_SHOWN]),
        *([f"and {rest} more"] if rest > 0 else []),
    ]


def _timed(segment: Segment, folder: Path) -> Utterance:
    utterance = segment.utterance
    source = Path(utterance.audio or "")
    if segment.is_whole:
        return replace(utterance, duration=round(audio_duration(source, utterance=utterance.id), 4))
    place = f"{source}\x1f{segment.start}\x1f{segment.seconds}"
    target = folder / f"{hashlib.sha256(place.encode()).hexdigest()[:24]}.flac"
    wave, rate = read_recording(source, utterance=utterance.id)
    first = round(segment.start * rate)
    last = len(wave) if segment.seconds is None else first + round(segment.seconds * rate)
    if not 0 <= first < last or last > len(wave) + rate // 100:
        end = "its end" if segment.seconds is None else f"{segment.start + segment.seconds:g} s"
        raise DataError(
            f"utterance {utterance.id!r}: {source}: {segment.start:g} s to {end} is not in it, {len(wave) / rate:.2f} s"
        )
    write_audio(target, wave[first:last], rate)
    return replace(utterance, audio=str(target), duration=round(min(last, len(wave)) / rate - first / rate, 4))


def contents_digest(paths: Sequence[Path]) -> str:
    """sha256 over the contents of files in this order, read on all cores; one that is missing counts as such."""
    files = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(cores()) as pool:
        digests = dict(zip(files, pool.map(_digest_of, files), strict=True))
    return hashlib.sha256("\n".join(digests[path] for path in paths).encode()).hexdigest()


def _digest_of(file: Path) -> str:
    if not file.is_file():
        return "missing"
    status = file.stat()
    return _digest_once(file, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@cache
def _digest_once(file: Path, *_: int) -> str:
    """Once for a process, as long as the file system says that it is the same file."""
    return file_digest(file)
