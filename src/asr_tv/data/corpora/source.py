"""A corpus before it is stored: known by digests, then opened; recordings whole or cut, missing ones listed."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from asr_tv.audio.recordings import audio_duration, write_audio
from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora.selection import count_reasons
from asr_tv.data.manifest import Dropped, Manifest, Utterance, checked, parse_json
from asr_tv.data.recorded import read_original
from asr_tv.errors import DataError, listed, map_all, shortened
from asr_tv.store.durable import cached_digest
from asr_tv.workers import cores

NO_RECORDING, NO_TEXT = "its recording is missing", "it has no text"
_SAID_SECONDS = 0.01
_log = logging.getLogger(__name__)
ALLOWED_BY = "`outside: true` in the corpus's configuration, or --outside, allows it"
Item = TypeVar("Item")


@dataclass(frozen=True)
class Opened:
    """Utterances with absolute paths, what was left out, and details for the record."""

    manifest: Manifest
    dropped: tuple[Dropped, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A corpus known by digests (`inputs`, by role), so that a stored result is found without opening it.

    `open` takes a folder of its own, for downloads and for parts of recordings.
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
    def audio(self) -> Path:
        return Path(self.utterance.audio or "")


def parse_lines(
    text: str, path: Path, parse: Callable[[Any, int], Iterable[Item]], not_a: str, empty: str
) -> list[Item]:
    """What `parse` makes of each line of JSON, given its value and number; blank lines are skipped.

    Raises:
        DataError: every line that `parse` rejects ("not a ..."), or that nothing was found ("no ...").
    """
    found: list[Item] = []
    problems: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            found += parse(parse_json(line), number) if line.strip() else ()
        except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
            told = f"no {error}" if isinstance(error, KeyError) else repr(error)
            problems.append(f"{path}:{number}: {not_a} ({told})")
    if problems or not found:
        raise DataError(problems or [f"{path}: {empty}"])
    return found


def require_inside(folders: Sequence[Path], utterances: Sequence[Utterance], source: str) -> None:
    """Refuses recordings that an absolute path, `..` or a link places outside all the folders; opens none.

    Raises:
        DataError: how many there are, the first of them by id, and what allows them.
    """
    real = cache(os.path.realpath)
    roots = [Path(real(folder)) for folder in folders]

    def is_inside(path: Path) -> bool:
        place = Path(real(path.parent)) / path.name
        if os.path.islink(place):  # noqa: PTH114 - False and no error for a name that is too long
            place = Path(os.path.realpath(place))
        return any(place.is_relative_to(root) for root in roots)

    lost = [u for u in utterances if u.audio is not None and not is_inside(Path(u.audio))]
    if lost:
        count = f"{source}: {len(lost)} of {len(utterances)} recordings lie outside its folder; {ALLOWED_BY}"
        raise DataError([count, *shortened([f"outside: utterance {u.id!r}: {u.audio}" for u in lost])])


def files_source(
    name: str,
    found: Sequence[Segment | Dropped],
    config: CorpusConfig,
    inputs: Mapping[str, str],
    listing: Path,
    licence: str = "not stated",
) -> Source:
    """A corpus of recordings on this machine, known by `inputs` and the contents of all recordings.

    Some of what was `found` in the listing may be left out.

    Raises:
        DataError: recordings lie outside the folder of `listing`, which names them, and `config.outside` is not set.
    """
    segments = [item for item in found if isinstance(item, Segment)]
    dropped = tuple(item for item in found if isinstance(item, Dropped))
    if not segments:
        raise DataError(f"{listing}: no utterance is left: {count_reasons(dropped)}")
    if not config.outside:
        require_inside([listing.parent], [s.utterance for s in segments], str(listing))
    audio = contents_digest([segment.audio for segment in segments])
    return Source(
        {**inputs, "audio": audio}, partial(opened_segments, name, segments, config, licence=licence, dropped=dropped)
    )


def opened_segments(
    name: str,
    segments: Sequence[Segment],
    config: CorpusConfig,
    folder: Path,
    licence: str = "not stated",
    dropped: Sequence[Dropped] = (),
) -> Opened:
    """The segments as utterances: whole recordings where they lie, parts written into `folder`.

    Raises:
        DataError: recordings are missing, unless `config.missing_audio` is drop; every one that cannot be read; two
            utterances of one id.
    """
    checked(Manifest(name, tuple(segment.utterance for segment in segments)))
    kept, lost = _present(name, segments, config)
    utterances = map_all(lambda segment: _timed(segment, folder), kept)
    details = {"licence": licence}
    pairs = zip(kept, utterances, strict=True)
    if short := [u.id for segment, u in pairs if (segment.seconds or 0.0) - (u.duration or 0.0) > _SAID_SECONDS]:
        _log.warning("%s: end after their recording, and are cut there: %d: %s", name, len(short), listed(short))
        details["cut_at_the_end"] = str(len(short))
    return Opened(Manifest(name, tuple(utterances)), (*dropped, *lost), details)


def _present(name: str, segments: Sequence[Segment], config: CorpusConfig) -> tuple[list[Segment], tuple[Dropped, ...]]:
    """The segments whose recording exists, and the others, if the configuration allows to go on without them."""
    exists = cache(Path.is_file)  # many segments may share a recording
    lost = [segment for segment in segments if not exists(segment.audio)]
    if lost and (config.missing_audio == "refuse" or len(lost) == len(segments)):
        raise DataError(missing_message(name, [s.utterance.audio or s.utterance.id for s in lost], len(segments)))
    kept = [segment for segment in segments if exists(segment.audio)]
    return kept, tuple(Dropped(segment.utterance.id, NO_RECORDING) for segment in lost)


def missing_message(name: str, missing: Sequence[str], total: int) -> list[str]:
    """How many recordings are missing, the first of them, and what can be done."""
    count = f"{name}: {len(missing)} of {total} recordings are missing; missing_audio: drop goes on without them"
    return [count, *shortened([f"missing: {path}" for path in missing])]


def _timed(segment: Segment, folder: Path) -> Utterance:
    """The utterance with its duration; a part of a recording is written into the folder."""
    utterance, source = segment.utterance, segment.audio
    if segment.start == 0 and segment.seconds is None:
        seconds = round(audio_duration(source, utterance=utterance.id), 4)
        require_declared(utterance, seconds)
        return replace(utterance, duration=seconds)
    place = f"{source}\x1f{segment.start}\x1f{segment.seconds}"
    target = folder / f"{hashlib.sha256(place.encode()).hexdigest()[:24]}.flac"
    wave, rate = read_original(replace(utterance, offset=segment.start, duration=segment.seconds))
    write_audio(target, wave, rate)
    return replace(utterance, audio=str(target), duration=round(len(wave) / rate, 4))


def require_declared(utterance: Utterance, seconds: float) -> None:
    """Refuses a recording whose length is not the declared one, which usually means a part of a longer recording.

    Raises:
        DataError: the two differ by more than half a second and five percent.
    """
    declared = utterance.duration
    if declared and abs(declared - seconds) > max(0.5, 0.05 * seconds):
        where = f"utterance {utterance.id!r}: {utterance.audio}"
        raise DataError(f"{where}: lasts {seconds:.2f} s, the manifest says {declared:.2f} s; a part needs an offset")


def contents_digest(paths: Sequence[Path]) -> str:
    """sha256 over the contents of files in this order, read on all cores; a missing file counts as "missing"."""
    files = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(cores()) as pool:
        digests = dict(zip(files, pool.map(_digest_of, files), strict=True))
    return hashlib.sha256("\n".join(digests[path] for path in paths).encode()).hexdigest()


def _digest_of(file: Path) -> str:
    if not file.is_file():
        return "missing"
    return cached_digest(file)
