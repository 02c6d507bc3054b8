"""NeMo manifests: JSON lines with audio_filepath, text, duration and, for a part of a recording, offset."""

import os
from functools import partial
from pathlib import Path
from typing import Any

from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora.source import NO_TEXT, Segment, Source, files_source, parse_lines
from asr_tv.data.manifest import Dropped, refuse_other_sound, utterance_of
from asr_tv.data.text_files import read_text
from asr_tv.store.results import file_digest

_COLUMNS = {"audio": "audio_filepath", "text": "text", "domain": "domain", "speaker": "speaker", "id": "id"}


def nemo_source(config: CorpusConfig) -> Source:
    """The manifest at `config.path`; relative recordings lie beside it. `columns` renames what is read.

    Raises:
        DataError: the file cannot be read, or every line that is not a row of such a manifest.
    """
    path = Path(config.path or "").expanduser()
    columns = _COLUMNS | dict(config.columns)
    parse = partial(_segment, columns, path.parent.absolute())
    segments = parse_lines(read_text(path), path, parse, "not a row of a NeMo manifest", "no row")
    return files_source(path.stem, segments, config, {"manifest": file_digest(path)}, path)


def _segment(columns: dict[str, str], folder: Path, row: Any, number: int) -> list[Segment | Dropped]:
    refuse_other_sound({key: value for key, value in row.items() if key not in columns.values()})
    audio, text = row[columns["audio"]], row[columns["text"]]
    if text is None:
        return [Dropped(str(row.get(columns["id"]) or f"{audio}#{number}"), NO_TEXT)]
    if not (isinstance(audio, str) and isinstance(text, str)):
        raise ValueError("audio or text is not text")
    start = float(row.get("offset") or 0.0)
    part = "offset" in row and row.get("duration") is not None
    given = {key: str(row[columns[key]]) for key in ("domain", "speaker") if row.get(columns[key])}
    name = str(row.get(columns["id"]) or (f"{audio}#{number}" if part else audio))
    place = os.path.normpath(folder / Path(audio).expanduser())
    declared = None if part else row.get("duration")
    utterance = utterance_of(id=name, text=text, audio=place, duration=declared, **given)
    return [Segment(utterance, start, float(row["duration"]) if part else None)]
