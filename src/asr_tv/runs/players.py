"""What can be played beside the examples of a report: the real recording, and a synthetic clip of the same domain."""

import base64
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Utterance
from asr_tv.pipeline.graph import Outcome
from asr_tv.report.page import Player

BUDGET = 2_500_000
"""Bytes of recordings within the page; what comes after is linked."""
_TYPES = {".flac": "audio/flac", ".wav": "audio/wav", ".mp3": "audio/mpeg", ".ogg": "audio/ogg"}


def players(report: Mapping[str, Any], outcome: Outcome, folder: Path) -> dict[str, tuple[Player, ...]]:
    """Players by the id of the example; links are relative to `folder`, where the page will lie."""
    shown = report["examples"]
    if shown is None:
        return {}
    material = outcome.chosen.material
    recordings = material.target_test if shown["role"] == "target" else material.source_test
    clips = _clips(outcome, shown["role"])
    by_id = recordings.by_id if recordings is not None else {}
    inline = _Inline(BUDGET, folder)
    rows = [*shown["most_improved"], *shown["most_worsened"]]
    return {row["id"]: tuple(_beside(by_id.get(row["id"]), clips, inline)) for row in rows}


def _clips(outcome: Outcome, role: str) -> tuple[Utterance, ...]:
    """Synthetic speech of the target, or of the sources."""
    spoken = outcome.chosen.speech.spoken
    return tuple(u for record in (spoken[:1] if role == "target" else spoken[1:2]) for u in stored_manifest(record))


def _beside(utterance: Utterance | None, clips: tuple[Utterance, ...], inline: "_Inline") -> Iterator[Player]:
    if utterance is None:
        return
    yield inline.player("Real recording", utterance)
    if (near := _nearest(utterance, clips)) is not None:
        yield inline.player(f"Synthetic clip: “{near.text}”", near)


def _nearest(utterance: Utterance, clips: Iterable[Utterance]) -> Utterance | None:
    """The clip of the same domain that shares most words with the utterance, for its length."""
    words = set(utterance.text.lower().split())

    def likeness(clip: Utterance) -> tuple[float, str]:
        other = set(clip.text.lower().split())
        return -len(words & other) / (len(words | other) or 1), clip.id

    return min((c for c in clips if c.domain == utterance.domain), key=likeness, default=None)


class _Inline:
    """Recordings as data URIs until the budget is spent, then as links."""

    def __init__(self, budget: int, folder: Path) -> None:
        self._left, self._folder = budget, folder

    def player(self, title: str, utterance: Utterance) -> Player:
        path = Path(utterance.audio) if utterance.audio else None
        if path is None or not path.is_file():
            return Player(title, None, "recording not found")
        kind, size = _TYPES.get(path.suffix.lower()), path.stat().st_size
        if kind is None or size > self._left:
            link = quote(Path(os.path.relpath(path, self._folder)).as_posix())
            return Player(title, link, "linked: plays while the file is where it was")
        self._left -= size
        return Player(title, f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}")
