"""lhotse cuts: JSON lines, plain or gzipped, read without lhotse; each supervision is an utterance."""

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora.source import NO_TEXT, Segment, Source, files_source, parse_lines
from asr_tv.data.manifest import Dropped, utterance_of
from asr_tv.data.text_files import decoded, gunzipped, read_bytes
from asr_tv.store.results import file_digest

_ROUNDING, _OVERSHOOT = 0.01, 0.5
"""Seconds."""
_CUT = "id start duration channel supervisions recording features custom type"
_RECORDING = "id sources sampling_rate num_samples duration channel_ids transforms"
_SUPERVISION = "id recording_id start duration channel text language speaker gender custom alignment"
_KNOWN: Mapping[str, frozenset[str]] = {
    "cut": frozenset(_CUT.split()),
    "recording": frozenset(_RECORDING.split()),
    "supervision": frozenset(_SUPERVISION.split()),
}
"""What lhotse writes; the features and alignments are not needed, and transforms are refused."""


def lhotse_source(config: CorpusConfig) -> Source:
    """The cuts at `config.path`; `columns: {domain: NAME}` names a key of the supervision's or cut's custom fields.

    Raises:
        DataError: the file cannot be read; every cut that is mixed, padded, multi-channel, transformed, not of a file.
    """
    path = Path(config.path or "").expanduser()
    domain = dict(config.columns).get("domain", "domain")
    parse = partial(_segments, domain, path.parent.absolute())
    text = decoded(gunzipped(read_bytes(path), path), path)
    segments = parse_lines(text, path, parse, "not a cut that can be used", "no supervision")
    return files_source(path.name.partition(".")[0], segments, config, {"cuts": file_digest(path)}, path)


def _segments(domain: str, folder: Path, cut: Any, _: int) -> Iterator[Segment | Dropped]:
    _require_known(cut)
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
        if (
            start < float(cut["start"]) - _ROUNDING
            or start + seconds > float(cut["start"]) + float(cut["duration"]) + 0.5
        ):
            raise ValueError("a supervision that reaches out of its cut, so that its text is longer than its sound")
        custom = {**(cut.get("custom") or {}), **(supervision.get("custom") or {})}
        name, text = str(supervision.get("id", cut["id"])), supervision.get("text")
        if text is None:
            yield Dropped(name, NO_TEXT)
            continue
        given = {"domain": str(custom.get(domain, "default")), "speaker": supervision.get("speaker")}
        utterance = utterance_of(id=name, text=text, audio=audio, **given)
        yield Segment(utterance) if whole else Segment(utterance, start, seconds)


def _require_known(cut: Any) -> None:
    """Refuses what lhotse would apply to the sound, and keys that are not known to leave it as it is."""
    recording = cut["recording"]
    parts = [("cut", cut), ("recording", recording), *(("supervision", s) for s in cut["supervisions"])]
    unknown = sorted(f"{kind}.{key}" for kind, part in parts for key in part.keys() - _KNOWN[kind])
    if unknown:
        raise ValueError(f"keys that are not known: {', '.join(unknown)}")
    if transforms := [t.get("name", t) for t in recording.get("transforms") or ()]:
        raise ValueError(f"transforms, which are not applied: {', '.join(map(str, transforms))}; save the audio first")
    channels = recording["sources"][0]["channels"] if recording["sources"] else []
    if cut.get("channel", 0) not in (channels, *channels):
        raise ValueError(f"channel {cut['channel']} of a recording with {channels}")
