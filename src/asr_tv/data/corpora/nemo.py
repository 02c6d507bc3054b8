"""NeMo manifests: JSON lines with audio_filepath, text, duration and, for a part of a recording, offset."""

import os
from functools import partial
from pathlib import Path
from typing import Any

from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora.allowed_paths import require_inside
from asr_tv.data.corpora.source import Segment, Source, contents_digest, opened_segments
from asr_tv.data.manifest import parse_json, utterance_of
from asr_tv.data.text_files import read_text
from asr_tv.errors import DataError
from asr_tv.store.results import file_digest

_COLUMNS = {"audio": "audio_filepath", "text": "text", "domain": "domain", "speaker": "speaker", "id": "id"}


def nemo_source(config: CorpusConfig) -> Source:
    """The manifest at `config.path`; relative recordings lie beside it. `columns` renames what is read.

    Raises:
        DataError: the file cannot be read, or every line that is no row of such a manifest.
    """
    path = Path(config.path or "").expanduser()
    segments = _segments(path, _COLUMNS | dict(config.columns))
    if not config.outside:
        require_inside([path.parent], [s.utterance for s in segments], str(path))
    audio = contents_digest([Path(s.utterance.audio or "") for s in segments])
    inputs = {"manifest": file_digest(path), "audio": audio}
    return Source(inputs, partial(opened_segments, path.stem, segments, config))


def _segments(path: Path, columns: dict[str, str]) -> list[Segment]:
    segments: list[Segment] = []
    problems: list[str] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            try:
                segments.append(_segment(parse_json(line), columns, path.parent.absolute(), number))
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                problems.append(f"{path}:{number}: not a row of a NeMo manifest ({error!r})")
    if problems or not segments:
        raise DataError(problems or [f"{path}: no row"])
    return segments


def _segment(row: dict[str, Any], columns: dict[str, str], folder: Path, number: int) -> Segment:
    audio, text = row[columns["audio"]], row[columns["text"]]
    if not (isinstance(audio, str) and isinstance(text, str)):
        raise ValueError("audio or text is not text")
    start = float(row.get("offset") or 0.0)
    part = "offset" in row and row.get("duration") is not None
    given = {key: str(row[columns[key]]) for key in ("domain", "speaker") if row.get(columns[key])}
    name = str(row.get(columns["id"]) or (f"{audio}#{number}" if part else audio))
    place = os.path.normpath(folder / Path(audio).expanduser())
    utterance = utterance_of(id=name, text=text, audio=place, **given)
    return Segment(utterance, start, float(row["duration"]) if part else None)
