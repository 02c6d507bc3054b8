"""SLURP (Bastianelli et al., EMNLP 2020): annotations in JSON lines, recordings in a folder or in Zenodo's archives."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora.archives import UNREADABLE, content_of, members, open_tar
from asr_tv.data.corpora.source import (
    Opened,
    Segment,
    Source,
    contents_digest,
    missing_message,
    opened_segments,
    parse_lines,
)
from asr_tv.data.manifest import Manifest, Origin, Split, Utterance, checked, concatenate, utterance_of
from asr_tv.data.text_files import read_text
from asr_tv.errors import DataError
from asr_tv.safe_text import counted
from asr_tv.store.results import file_digest

SPLITS: dict[str, Split] = {"train": "train", "devel": "dev", "test": "test", "train_synthetic": "train"}
"""Annotation file -> split. The synthetic one is read only on request: its clips are not recordings."""
SYNTHETIC = "train_synthetic"
LICENCE = "annotations CC BY 4.0, audio CC BY-NC 4.0"
_ARCHIVES = (".tar", ".tar.gz", ".tgz")


def read_annotations(file: Path, part: str) -> Manifest:
    """Every recording of an annotation file as an utterance; `audio` is the bare file name, the domain the scenario.

    All recordings of a sentence, headset and far, come with the split of the file.

    Raises:
        DataError: every line that is not an annotation, and every repeated file name.
    """
    parse = partial(_utterances, part)
    utterances = parse_lines(read_text(file), file, parse, "not a SLURP annotation", "no recording")
    return checked(Manifest(part, tuple(utterances)))


def _utterances(part: str, row: Any, _: int) -> Iterator[Utterance]:
    text, domain = row["sentence"], row["scenario"]
    if not (isinstance(text, str) and text.strip() and isinstance(domain, str)):
        raise ValueError("sentence or scenario is not text")
    for recording in row["recordings"]:
        name = recording["file"]
        if not isinstance(name, str) or PurePosixPath(name).name != name:
            raise ValueError(f"not a file name: {name!r}")
        origin: Origin = "synthetic" if part == SYNTHETIC else "real"
        yield utterance_of(id=name, text=text, audio=name, domain=domain, split=SPLITS[part], origin=origin)


def slurp_source(config: CorpusConfig) -> Source:
    """`path`: the repository, or the folder of its annotations; `audio`: a folder, or Zenodo's tar archives.

    Raises:
        ConfigError, DataError: no annotations, or no audio, where they should be.
    """
    path = Path(config.path or "").expanduser()
    files = _annotation_files(path, config.splits)
    manifest = concatenate("slurp", (read_annotations(file, part) for part, file in files.items()))
    audio = _audio_places(config, path)
    inputs = {part: file_digest(file) for part, file in files.items()}
    if all(place.is_dir() for place in audio):
        segments = _segments(manifest, audio)
        inputs["audio"] = contents_digest([segment.audio for segment in segments])
        return Source(inputs, lambda folder: opened_segments("slurp", segments, config, folder, LICENCE))
    inputs["audio"] = contents_digest(audio)
    return Source(inputs, partial(_from_archives, config, manifest, audio))


def _annotation_files(path: Path, splits: Sequence[str] | None) -> dict[str, Path]:
    wanted = [part for part in SPLITS if part != SYNTHETIC] if splits is None else list(splits)
    if unknown := [part for part in wanted if part not in SPLITS]:
        raise DataError(f"slurp: there is no split {', '.join(unknown)}; splits: {', '.join(SPLITS)}")
    places = [path, path / "dataset" / "slurp"]
    found = {part: file for part in wanted for place in reversed(places) if (file := place / f"{part}.jsonl").is_file()}
    lost = [part for part in wanted if part not in found]
    if lost and (splits is not None or not found):
        raise DataError(f"{path}: no {', '.join(f'{part}.jsonl' for part in lost)}, nor in dataset/slurp below it")
    return found


def _audio_places(config: CorpusConfig, path: Path) -> list[Path]:
    if config.audio is None:
        places = [path / "audio", path.parent.parent / "audio"]
        place = next((p for p in places if p.is_dir()), None)
        if place is None:
            raise DataError(f"{path}: no audio folder beside it; give audio: a folder, or slurp_real.tar.gz")
        return [place]
    given = [Path(part.strip()).expanduser() for part in config.audio.split(",")]
    if problems := [f"{place}: no such folder or archive" for place in given if not place.exists()]:
        raise DataError(problems)
    if wrong := [p for p in given if p.is_file() and not p.name.endswith(_ARCHIVES)]:
        raise DataError(f"{p}: not a folder, and not one of {', '.join(_ARCHIVES)}" for p in wrong)
    return given


def _segments(manifest: Manifest, places: Sequence[Path]) -> list[Segment]:
    """Whole recordings, looked for in all places; a missing one is named by the first place."""

    def path_of(name: str) -> Path:
        candidates = (place / folder / name for place in places for folder in ("", "slurp_real", "slurp_synth"))
        return next((path for path in candidates if path.is_file()), places[0] / name)

    return [Segment(replace(u, audio=str(path_of(u.audio or "")))) for u in manifest]


def _from_archives(config: CorpusConfig, manifest: Manifest, places: Sequence[Path], folder: Path) -> Opened:
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {u.audio or "" for u in manifest}
    cut = [problem for place in places if place.is_file() for problem in _unpack(place, wanted, folder)]
    segments = _segments(manifest, [folder, *(place for place in places if place.is_dir())])
    lost = [segment.utterance.id for segment in segments if not segment.audio.is_file()]
    if cut and (lost and config.missing_audio == "refuse"):
        raise DataError([*cut, *missing_message("slurp", lost, len(segments))])
    return opened_segments("slurp", segments, config, folder, LICENCE)


def _unpack(archive: Path, wanted: set[str], folder: Path) -> list[str]:
    """Writes the wanted recordings; returns what is wrong with the archive, of which intact members are kept."""
    done = 0
    try:
        with open_tar(archive) as tar:
            for member in members(tar, archive):
                name = PurePosixPath(member.name).name
                target = folder / name
                if name not in wanted or target.exists():
                    continue
                target.write_bytes(content_of(tar, member))
                done += 1
    except UNREADABLE as error:
        return [f"{archive}: cut short or damaged after {counted(done, 'recording')} ({error}): fetch it again"]
    return []
