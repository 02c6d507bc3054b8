"""Your own labelled speech: a JSON-lines manifest, or a folder in Hugging Face's audiofolder form."""

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from asr_tv.audio.recordings import audio_duration
from asr_tv.data.corpora.source import require_inside
from asr_tv.data.manifest import Manifest, Utterance, checked, format_manifest, parse_json, parse_manifest, utterance_of
from asr_tv.data.text_files import read_text
from asr_tv.errors import DataError, map_all
from asr_tv.store.results import file_digest, write_atomically

_TEXT_COLUMNS = ("text", "transcription", "transcript", "sentence")
_OTHER_COLUMNS = ("domain", "speaker", "split")


def read_manifest(path: Path, *, need_audio: bool = True, outside: bool = False, store: Path | None = None) -> Manifest:
    """A JSONL manifest, named by its file; `audio` becomes absolute, from the manifest's folder where it is relative.

    Args:
        need_audio: every utterance must have a recording, which is opened; duration and digest are filled in.
        outside: recordings that are opened may lie anywhere, and not only in the manifest's folder or in `store`,
            where manifests that asr-tv writes keep their recordings.

    Raises:
        DataError: no utterance at all, every line that is not one, or every recording that is missing, empty,
            truncated, not audio, or not the one that duration and digest in the manifest describe.
    """
    manifest = parse_manifest(read_text(path), str(path))
    if not len(manifest):
        raise DataError(f"{path}: no utterance")
    located = tuple(_located(u, path.parent) for u in manifest)
    if need_audio and not outside:
        require_inside([path.parent, *([store] if store else [])], located, str(path))
    named = Manifest(path.stem, located)
    return opened(named) if need_audio else named


def read_audiofolder(path: Path, *, outside: bool = False) -> Manifest:
    """A folder with metadata.csv or metadata.jsonl: file_name, and text, transcription, transcript or sentence.

    Columns domain, speaker and split are used where they exist; without one, the domain is the first folder of
    file_name, or "default". With `outside`, links in the folder may lead out of it.

    Raises:
        DataError: every row that is incomplete or points out of the folder, or every recording that cannot be used.
    """
    metadata = next((path / name for name in ("metadata.jsonl", "metadata.csv") if (path / name).is_file()), None)
    if metadata is None:
        raise DataError(f"{path}: no metadata.jsonl or metadata.csv")
    manifest = checked(Manifest(str(metadata), _audiofolder_rows(metadata)))
    located = tuple(_located(u, path) for u in manifest)
    if not outside:
        require_inside([path], located, str(metadata))
    return opened(Manifest(path.absolute().name, located))


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Writes JSON lines atomically, recordings relative to the manifest's folder, so that both can move together."""
    folder = path.parent.absolute()
    relative = (
        u if u.audio is None else replace(u, audio=os.path.relpath(Path(u.audio).absolute(), folder)) for u in manifest
    )
    write_atomically(path, format_manifest(Manifest(manifest.name, tuple(relative))))


def opened(manifest: Manifest) -> Manifest:
    """The manifest with duration and digest of every recording.

    Raises:
        DataError: every recording that cannot be used, with file and id; no utterance at all.
    """
    if not len(manifest):
        raise DataError(f"{manifest.name}: no utterance")
    return Manifest(manifest.name, tuple(map_all(_opened, manifest)))


def _opened(utterance: Utterance) -> Utterance:
    if utterance.audio is None:
        raise DataError(f"utterance {utterance.id!r}: no recording")
    path, declared = Path(utterance.audio), utterance.duration
    duration = audio_duration(path, utterance=utterance.id)
    digest = file_digest(path)
    where = f"utterance {utterance.id!r}: {utterance.audio}"
    # A wrong duration usually means a part of a longer recording, all of which would be read.
    if declared and abs(declared - duration) > max(0.5, 0.05 * duration):
        raise DataError(f"{where}: lasts {duration:.2f} s, the manifest says {declared:.2f} s")
    if utterance.audio_digest not in (None, digest):
        raise DataError(f"{where}: changed since the manifest was written (audio_digest differs)")
    return replace(utterance, duration=round(duration, 4), audio_digest=digest)


def _located(utterance: Utterance, folder: Path) -> Utterance:
    if utterance.audio is None:
        return utterance
    return replace(utterance, audio=os.path.normpath(folder.absolute() / Path(utterance.audio).expanduser()))


def _audiofolder_rows(metadata: Path) -> tuple[Utterance, ...]:
    utterances: list[Utterance] = []
    problems: list[str] = []
    try:
        for number, row in _rows(metadata):
            try:
                utterances.append(utterance_of(**_fields_of(parse_json(row) if isinstance(row, str) else row)))
            except ValueError as error:
                problems.append(f"{metadata}:{number}: {error}")
    except csv.Error as error:
        problems.append(f"{metadata}: not CSV: {error}")
    if problems:
        raise DataError(problems)
    return tuple(utterances)


def _rows(metadata: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """(line number, row) of a metadata file; of metadata.jsonl the line itself."""
    text = read_text(metadata)
    if metadata.suffix == ".csv":
        reader = csv.DictReader(io.StringIO(text, newline=""))
        yield from ((reader.line_num, row) for row in reader)
    else:
        yield from ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())


def _fields_of(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, found {type(row).__name__}")
    name = row.get("file_name")
    text = next((row[column] for column in _TEXT_COLUMNS if isinstance(row.get(column), str)), None)
    if not isinstance(name, str) or not name:
        raise ValueError("no file_name")
    if text is None:
        raise ValueError(f"no text; columns for it: {', '.join(_TEXT_COLUMNS)}")
    inside = Path(os.path.normpath(name))
    if inside.is_absolute() or inside.parts[:1] == ("..",):
        raise ValueError(f"file_name points out of the folder: {name}")
    values = {column: row[column] for column in _OTHER_COLUMNS if row.get(column)}
    domain = inside.parts[0] if len(inside.parts) > 1 else "default"
    return {"id": name, "audio": name, "text": text, "domain": domain, **values}
