"""The clip cache: one FLAC file per clip, complete once its sidecar of the same name exists."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_tv.audio.recordings import Wave, resample, write_audio
from asr_tv.audio.shaping import shape
from asr_tv.store.inventory import clip_file
from asr_tv.store.results import Store, canonical_json, file_digest, write_atomically
from asr_tv.synthesis.engines import SpeechRequest

CLIP_SAMPLING_RATE = 16_000
SHAPING = frozenset({"gain_db", "high_hz"})
"""Settings of synthesis that change a clip after it is spoken; in its key only where they do."""


@dataclass(frozen=True)
class Clip:
    """A finished clip; `digest` is the sha256 of its file, `duration` is in seconds."""

    path: Path
    digest: str
    duration: float


@dataclass(frozen=True)
class ClipJob:
    """A clip to speak; `parts` make up its key, `sampling_rate` is that of the voice."""

    key: str
    parts: Mapping[str, Any]
    request: SpeechRequest
    sampling_rate: int

    @property
    def engine(self) -> str:
        return str(self.parts["engine"])


def key_parts(
    request: SpeechRequest, engine: str, version: str, seed: int, shaping: Mapping[str, float]
) -> dict[str, Any]:
    """Everything that a clip depends on; independent of the manifest that asks for it.

    The version of a voice includes that of its engine; `request.seed` is derived from `seed`, that of the stage.
    `shaping` has `gain_db` and `high_hz` where they change the clip.
    """
    return {
        "text": request.text,
        "engine": engine,
        "version": version,
        "voice": request.voice,
        "take": request.take,
        "settings": dict(request.settings),
        "seed": seed,
        "sampling_rate": CLIP_SAMPLING_RATE,
        **shaping,
    }


def clip_key(parts: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON of the parts, cut to 32 hexadecimal digits."""
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:32]


class ClipCache:
    """The clips of a store, shared by any number of processes: equal keys give equal bytes, so any may write last."""

    def __init__(self, store: Store) -> None:
        self._root = store.root
        self._newer_than = store.newer_than
        self._mirror = store.mirror

    def find(self, key: str) -> Clip | None:
        """The finished clip, or None if it is missing, incomplete or changed since it was written."""
        path, mirror = clip_file(self._root, key), self._mirror
        if clip := self._read(path):
            return clip
        fetched = mirror is not None and mirror.fetch(path) and mirror.fetch(path.with_suffix(".json"))
        return self._read(path) if fetched else None

    def _read(self, path: Path) -> Clip | None:
        sidecar = path.with_suffix(".json")
        try:
            if sidecar.stat().st_mtime < self._newer_than:
                return None
            row = json.loads(sidecar.read_text(encoding="utf-8"))
            clip = Clip(path, row["sha256"], row["duration"])
            return clip if file_digest(path) == clip.digest else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def save(self, parts: Mapping[str, Any], wave: Wave, sampling_rate: int) -> Clip:
        """Writes the wave [samples] at CLIP_SAMPLING_RATE, then the sidecar."""
        path = clip_file(self._root, clip_key(parts))
        path.parent.mkdir(parents=True, exist_ok=True)
        for partial in path.parent.glob(f".{path.stem}.*.tmp"):  # left by a process that was killed while writing it
            partial.unlink(missing_ok=True)
        samples = resample(wave, sampling_rate, CLIP_SAMPLING_RATE)
        if parts.keys() & SHAPING:
            samples = shape(samples, CLIP_SAMPLING_RATE, parts.get("gain_db", 0.0), parts.get("high_hz"))
        _write(lambda: write_audio(path, samples, CLIP_SAMPLING_RATE))
        clip = Clip(path, file_digest(path), round(len(samples) / CLIP_SAMPLING_RATE, 6))
        row = {"key": parts, "sha256": clip.digest, "duration": clip.duration}
        text = json.dumps(row, ensure_ascii=False, indent=1, sort_keys=True)
        _write(lambda: write_atomically(path.with_suffix(".json"), text))
        if self._mirror is not None:
            self._mirror.send(path)
            self._mirror.send(path.with_suffix(".json"))
        return clip


def clips_intact(manifest: Path, store: Store) -> bool:
    """Whether the clips of a record's manifest still exist unchanged: they lie outside the record's folder."""
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    clips = {Path(os.path.normpath(manifest.parent / row["audio"])): str(row["audio_digest"]) for row in rows}
    if store.mirror is not None:
        for clip in clips:
            _ = clip.is_file() or store.mirror.fetch(clip)
    return store.intact(manifest.parent, clips)


def _write(write: Callable[[], None]) -> None:
    """Retries once: another process speaking the same clip may have removed the temporary file as an abandoned one."""
    try:
        write()
    except FileNotFoundError:
        write()
