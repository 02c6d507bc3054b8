"""A folder in Hugging Face's audiofolder form: recordings, and a metadata file beside them or in each part's folder."""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asr_tv.audio.recordings import SUFFIXES
from asr_tv.data.corpora.local import located, opened
from asr_tv.data.corpora.source import require_inside
from asr_tv.data.corpora.tables import read_table
from asr_tv.data.manifest import Manifest, Split, Utterance, checked, parse_json, refuse_other_sound, utterance_of
from asr_tv.data.text_files import read_text
from asr_tv.errors import DataError, map_all, tell_left_out

_NAMES = ("metadata.jsonl", "metadata.csv")
_TEXT_COLUMNS = ("text", "transcription", "transcript", "sentence")
_OTHER_COLUMNS = ("domain", "speaker", "split")
_SPLITS: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "dev"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""The names that Hugging Face gives to the parts of a dataset, and ours."""


def read_audiofolder(path: Path, *, outside: bool = False) -> Manifest:
    """A folder with metadata.csv or metadata.jsonl: file_name, and text, transcription, transcript or sentence.

    Each folder below it may have metadata of its own, as those of Hugging Face's splits do; a folder called train,
    validation or test, or the like, is that part. Columns domain, speaker and split are used where they exist; without
    one, the domain is the first folder of file_name, or "default". Recordings that no metadata name are left out, and
    named. With `outside`, links in the folder may lead out of it.

    Raises:
        DataError: every row that is incomplete or points out of the folder, or every recording that cannot be used.
    """
    files = sorted(file for name in _NAMES for file in path.rglob(name) if file.is_file())
    if not files:
        raise DataError(f"{path}: no metadata.jsonl or metadata.csv")
    if twice := sorted({str(file.parent) for file in files if sum(f.parent == file.parent for f in files) > 1}):
        raise DataError(f"{folder}: metadata.csv and metadata.jsonl: one of them" for folder in twice)
    rows = map_all(lambda file: _utterances(file, path), files)
    listing = str(files[0]) if len(files) == 1 else str(path)
    manifest = checked(Manifest(listing, tuple(u for part in rows for u in part)))
    _tell_unnamed(path, manifest)
    if not outside:
        require_inside([path], manifest.utterances, listing)
    return opened(Manifest(path.absolute().name, manifest.utterances))


def _tell_unnamed(path: Path, manifest: Manifest) -> None:
    named = {u.audio for u in manifest}
    there = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
    unnamed = [file for file in there if os.path.normpath(file.absolute()) not in named]
    tell_left_out(str(path), "named by no metadata", [str(file.relative_to(path)) for file in unnamed])


def _utterances(metadata: Path, root: Path) -> list[Utterance]:
    """The rows of one metadata file, under ids and paths from the root."""
    below = metadata.parent.relative_to(root)
    split = next((_SPLITS[part.lower()] for part in below.parts if part.lower() in _SPLITS), None)
    utterances: list[Utterance] = []
    rows, problems = _rows(metadata)
    for number, row in rows:
        try:
            values = _fields_of(parse_json(row) if isinstance(row, str) else row)
            if split and values.setdefault("split", split) != split:
                raise ValueError(f"split is {values['split']!r} in a folder of {split}")
            name = (below / values["id"]).as_posix() if below.parts else values["id"]
            utterances.append(located(replace(utterance_of(**values), id=name), metadata.parent))
        except ValueError as error:
            problems.append((number, str(error)))
    if problems:
        raise DataError(f"{metadata}:{number}: {problem}" for number, problem in sorted(problems))
    return utterances


def _rows(metadata: Path) -> tuple[Sequence[tuple[int, dict[str, str] | str]], list[tuple[int, str]]]:
    """(line number, row) of a metadata file, of metadata.jsonl the line itself; and what is wrong with other rows."""
    text = read_text(metadata)
    if metadata.suffix != ".csv":
        return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()], []
    try:
        return read_table(text, metadata, "file_name")
    except csv.Error as error:
        raise DataError(f"{metadata}: not CSV: {error}") from None


def _fields_of(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, found {type(row).__name__}")
    refuse_other_sound(row)
    name = row.get("file_name")
    texts = {column: row[column] for column in _TEXT_COLUMNS if isinstance(row.get(column), str)}
    if not isinstance(name, str) or not name:
        raise ValueError("no file_name")
    if not texts:
        raise ValueError(f"no text; columns for it: {', '.join(_TEXT_COLUMNS)}")
    if len(set(texts.values())) > 1:
        raise ValueError(f"{' and '.join(texts)} differ; which is the label?")
    inside = Path(os.path.normpath(name))
    if inside.is_absolute() or inside.parts[:1] == ("..",):
        raise ValueError(f"file_name points out of the folder: {name}")
    values = {column: row[column] for column in _OTHER_COLUMNS if row.get(column)}
    if isinstance(values.get("split"), str):
        values["split"] = _SPLITS.get(values["split"].lower(), values["split"])
    domain = inside.parts[0] if len(inside.parts) > 1 else "default"
    place = {"id": name, "audio": name, "domain": domain}
    return {**place, "text": next(iter(texts.values())), **values, **_part_in(row)}


def _part_in(row: Mapping[str, Any]) -> dict[str, float]:
    """Offset and duration of a row; a duration alone describes the whole recording, and only an offset makes a part."""
    given = {key: float(row[key]) for key in ("offset", "duration") if row.get(key) not in (None, "")}
    return {} if given.get("offset") == 0 and "duration" not in given else given
