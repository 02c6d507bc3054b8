"""lhotse cuts: JSON lines, plain or gzipped, read without lhotse; a supervision is an utterance."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora.allowed_paths import require_inside
from asr_tv.data.corpora.source import Segment, Source, contents_digest, opened_segments
from asr_tv.data.manifest import parse_json, utterance_of
from asr_tv.data.text_files import decoded, gunzipped, read_bytes
from asr_tv.errors import DataError
from asr_tv.store.results import file_digest


def lhotse_source(config: CorpusConfig) -> Source:
    """The cuts at `config.path`; `columns: {domain: NAME}` names a key of the supervision's or cut's custom fields.

    Raises:
        DataError: the file cannot be read; every cut that is mixed, padded, multi-channel or not of a file.
    """
    path = Path(config.path or "").expanduser()
    domain = dict(config.columns).get("domain", "domain")
    segments: list[Segment] = []
    problems: list[str] = []
    for number, line in enumerate(decoded(gunzipped(read_bytes(path), path), path).split("\n"), 1):
        if line.strip():
            try:
                segments += _segments(parse_json(line), domain, path.parent.absolute())
            except (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
                problems.append(f"{path}:{number}: not a cut that can be used ({error!r})")
    if problems or not segments:
        raise DataError(problems or [f"{path}: no supervision"])
    if not config.outside:
        require_inside([path.parent], [s.utterance for s in segments], str(path))
    audio = contents_digest([Path(s.utterance.audio or "") for s in segments])
    inputs = {"cuts": file_digest(path), "audio": audio}
    return Source(inputs, partial(opened_segments, path.name.partition(".")[0], segments, config))


def _segments(cut: dict[str, Any], domain: str, folder: Path) -> Iterator[Segment]:
    if cut.get("type", "MonoCut") != "MonoCut":
        raise ValueError(f"a {cut['type']}")
    recording = cut["recording"]
    (source,) = recording["sources"]
    if source["type"] != "file" or len(source["channels"]) != 1:
        raise ValueError(f"a source of type {source['type']} with {len(source['channels'])} channels")
    audio = os.path.normpath(folder / Path(source["source"]).expanduser())
    for supervision in cut["supervisions"]:
        start = float(cut["start"]) + float(supervision.get("start", 0.0))
        seconds = float(supervision["duration"])
        whole = start == 0 and abs(seconds - float(recording["duration"])) < 0.01
        custom = {**(cut.get("custom") or {}), **(supervision.get("custom") or {})}
        utterance = utterance_of(
            id=str(supervision.get("id", cut["id"])),
            text=str(supervision["text"]),
            audio=audio,
            domain=str(custom.get(domain, "default")),
            speaker=supervision.get("speaker"),
        )
        yield Segment(utterance) if whole else Segment(utterance, start, seconds)
