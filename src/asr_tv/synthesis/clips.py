"""The clip cache: one FLAC file a clip under `clips/`, finished when its sidecar of the same name is there."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_tv.audio.recordings import Wave, resample, write_audio
from asr_tv.store.results import Store, canonical_json, file_digest, write_atomically
from asr_tv.synthesis.engines import SpeechRequest

CLIP_SAMPLING_RATE = 16_000
FOLDER = "clips"
"""In the store."""


@dataclass(frozen=True)
class Clip:
    """A finished clip; `digest` is the sha256 of its file, `duration` its seconds."""

    path: Path
    digest: str
    duration: float


@dataclass(frozen=True)
class ClipJob:
    """A clip to speak: `parts` are of its key, with the engine's name; `sampling_rate` is the voice's."""

    key: str
    parts: Mapping[str, Any]
    request: SpeechRequest
    sampling_rate: int

    @property
    def engine(self) -> str:
        """The name of the engine that speaks it."""
        return str(self.parts["engine"])


def key_parts(request: SpeechRequest, engine: str, version: str, seed: int) -> dict[str, Any]:
    """Everything that a clip depends on, and so its key: nothing of the manifest that asks for it.

    Args:
        version: of the voice, with the engine's in it.
        seed: of the stage; `request.seed` follows from it.
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
    }


def clip_key(parts: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON of the parts, cut to 32 hexadecimal digits."""
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:32]


class ClipCache:
    """Clips under one folder, shared by any number of processes: equal keys are equal bytes, whoever writes last."""

    def __init__(self, store: Store) -> None:
        self.root = store.root / FOLDER
        self._newer_than = store.newer_than
        self._mirror = store.mirror

    def find(self, key: str) -> Clip | None:
        """The finished clip, or None when it is missing, half-written or changed since."""
        path = self._path(key)
        return self._found(path) or (self._found(path) if self._fetched(path) else None)

    def _fetched(self, path: Path) -> bool:
        mirror = self._mirror
        return mirror is not None and mirror.fetch(path) and mirror.fetch(path.with_suffix(".json"))

    def _found(self, path: Path) -> Clip | None:
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
        """Writes the wave [n] at CLIP_SAMPLING_RATE, then the sidecar."""
        path = self._path(clip_key(parts))
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.stem}.*.tmp"):  # by a process that was killed while it wrote this clip
            left.unlink(missing_ok=True)
        samples = resample(wave, sampling_rate, CLIP_SAMPLING_RATE)
        _written(lambda: write_audio(path, samples, CLIP_SAMPLING_RATE))
        clip = Clip(path, file_digest(path), round(len(samples) / CLIP_SAMPLING_RATE, 6))
        row = {"key": parts, "sha256": clip.digest, "duration": clip.duration}
        text = json.dumps(row, ensure_ascii=False, indent=1, sort_keys=True)
        _written(lambda: write_atomically(path.with_suffix(".json"), text))
        if self._mirror is not None:
            self._mirror.send(path)
            self._mirror.send(path.with_suffix(".json"))
        return clip

    def _path(self, key: str) -> Path:
        return self.root / key[:2] / f"{key}.flac"


def _written(write: Callable[[], None]) -> None:
    """Writes again where a process that speaks the same clip took the half-written file for a dead one's."""
    try:
        write()
    except FileNotFoundError:
        write()
