"""lhotse cuts: JSON lines, plain or gzipped, read without lhotse; each supervision is an utterance."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora.source import Segment, Source, files_source, parse_lines
from asr_tv.data.manifest import utterance_of
from asr_tv.data.text_files import decoded, gunzipped, read_bytes
from asr_tv.store.results import file_digest


def lhotse_source(config: CorpusConfig) -> Source:
    """The cuts at `config.path`; `columns: {domain: NAME}` names a key of the supervision's or cut's custom fields.

    Raises:
        DataError: the file cannot be read; every cut that is mixed, padded, multi-channel or not of a file.
    """
    path = Path(config.path or "").expanduser()
    domain = dict(config.columns).get("domain", "domain")
    parse = partial(_segments, domain, path.parent.absolute())
    text = decoded(gunzipped(read_bytes(path), path), path)
    segments = parse_lines(text, path, parse, "not a cut that can be used", "no supervision")
    return files_source(path.name.partition(".")[0], segments, config, {"cuts": file_digest(path)}, path)


def _segments(domain: str, folder: Path, cut: Any, _: int) -> Iterator[Segment]:
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
        name, text = str(supervision.get("id", cut["id"])), str(supervision["text"])
        given = {"domain": str(custom.get(domain, "default")), "speaker": supervision.get("speaker")}
        utterance = utterance_of(id=name, text=text, audio=audio, **given)
        yield Segment(utterance) if whole else Segment(utterance, start, seconds)
