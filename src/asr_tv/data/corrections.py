"""Corrections that people make to transcripts, as JSON lines: read, checked, and added one at a time."""

import json
import os
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from asr_tv.data.manifest import parse_rows, refuse_control_tokens
from asr_tv.data.text_files import read_text
from asr_tv.errors import DataError
from asr_tv.store.durable import append_durably, file_lock

CORRECTIONS = "corrections.jsonl"
"""The file's name in a folder that is followed, and where the page of `asr-tv try` adds to it."""
_MOST_CHARACTERS = 20_000
"""Of one text: half an hour of speech; more is not what somebody typed."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person said of one hypothesis; a line of the file has these names.

    Attributes:
        audio: path or file name of the recording.
        id: of the utterance, or a digest of the clip.
        heard: the hypothesis that was shown.
        right: whether it was confirmed as it stands.
        text: what was said; equals `heard` where that was right.
        model: digest of the model that heard it.
        at: ISO 8601 time at which it was said.
    """

    audio: str
    id: str
    heard: str
    right: bool
    text: str
    model: str
    at: str


def correction_of(**values: Any) -> Correction:
    """A correction from values that a file or a page holds; `text` may be absent where the hypothesis was right.

    Raises:
        ValueError: a field missing, of a wrong type, or contradicting another.
    """
    given: dict[str, Any] = {name: values.get(name) for name in _NAMES}
    if given["right"] is True and given["text"] is None:
        given["text"] = given["heard"]
    if not isinstance(given["right"], bool):
        raise ValueError(f"right is {'missing' if given['right'] is None else 'neither true nor false'}")
    for name in _TEXTS:
        _check_text(name, given[name])
    for name in ("audio", "id"):
        if not given[name].strip():
            raise ValueError(f"{name} is empty")
    if given["right"] and given["text"] != given["heard"]:
        raise ValueError("right is true, and text differs from heard")
    datetime.fromisoformat(given["at"])
    return Correction(**given)


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name} is {'missing' if value is None else 'not text'}")
    if "\0" in value or len(value) > _MOST_CHARACTERS:
        raise ValueError(f"{name} holds a NUL or over {_MOST_CHARACTERS} characters")
    value.encode()  # raises ValueError for a lone surrogate, which JSON can smuggle in
    refuse_control_tokens(value)


def parse_corrections(text: str, name: str) -> tuple[Correction, ...]:
    """Reads JSON lines; unknown keys are ignored, empty lines too.

    Raises:
        DataError: every line that is not a correction.
    """
    found, problems = usable_corrections(text, name)
    if problems:
        raise DataError(problems)
    return tuple(found)


def usable_corrections(text: str, name: str) -> tuple[list[Correction], list[str]]:
    """The lines that are corrections, and a problem for each of the others."""
    return parse_rows(text, name, lambda row, _: _parse_row(row))


def _parse_row(row: Any) -> Correction:
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, found {type(row).__name__}")
    return correction_of(**row)


def read_corrections(path: Path) -> tuple[Correction, ...]:
    """The corrections of a file, in its order.

    Raises:
        DataError: the file cannot be read; or every line that is not a correction.
    """
    return parse_corrections(read_text(path), str(path))


def format_correction(correction: Correction) -> str:
    """The correction as a line of JSON with its end; `parse_corrections` is its inverse."""
    return json.dumps(asdict(correction), ensure_ascii=False, sort_keys=True) + "\n"


def add_correction(path: Path, correction: Correction) -> None:
    """Appends a line and waits until it is on the disk; several processes may do so at once.

    A line that a killed writer left unfinished is ended first, so that it spoils no other.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(path.with_name(f".{path.name}.lock"), f"adding to {path}"):
        append_durably(path, (b"\n" if _is_torn(path) else b"") + format_correction(correction).encode())


def _is_torn(path: Path) -> bool:
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


_NAMES = tuple(field.name for field in fields(Correction))
_TEXTS = tuple(name for name in _NAMES if name != "right")
