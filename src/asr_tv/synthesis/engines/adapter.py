"""What the adapters of engines share: opening voices with all problems at once, levels, files of packages, digests."""

import functools
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np

from asr_tv.audio.recordings import Wave
from asr_tv.errors import ConfigError
from asr_tv.store.results import file_digest
from asr_tv.synthesis.engines import VoiceInfo

PEAK = 0.9
"""Largest absolute sample of every clip: leaves headroom for the overshoot of resampling."""


@dataclass(frozen=True)
class FoundVoice:
    """A voice that an adapter has found; each adapter adds what it needs to speak in it."""

    info: VoiceInfo


Voice = TypeVar("Voice", bound=FoundVoice)


def open_voices(names: Sequence[str], find: Callable[[str], Voice]) -> dict[str, Voice]:
    """The voice that `find` returns for each name, by label.

    Raises:
        ConfigError: the problems of all voices, and labels that occur twice.
    """
    voices: list[Voice] = []
    problems: list[str] = []
    for name in names:
        try:
            voices.append(find(name))
        except ConfigError as error:
            problems += error.problems
    labels = [voice.info.label for voice in voices]
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if problems := [*problems, *(f"synthesis.voices: {label} is named twice" for label in repeated)]:
        raise ConfigError(problems)
    return dict(zip(labels, voices, strict=True))


def scale_to_peak(wave: Wave) -> Wave:
    """The wave with its peak at `PEAK`; silence stays silent."""
    return wave * np.float32(PEAK / max(float(np.abs(wave).max(initial=0)), 1e-8))


def package_folders(package: str) -> list[Path]:
    """The folders of an installed package, which is not imported; none if it is not installed."""
    spec = find_spec(package)
    return [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []


def cached_digest(path: Path) -> str:
    """sha256 of a file, computed again only when its size or modification time has changed."""
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns)


def files_digest(folder: Path, files: Iterable[Path]) -> str:
    """sha256 of the names and contents of files in a folder, cut to 16 digits."""
    kept = sorted(file for file in files if file.is_file())
    lines = [f"{file.relative_to(folder).as_posix()} {cached_digest(file)}" for file in kept]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@functools.cache
def _digest(path: Path, size: int, modified: int) -> str:  # noqa: ARG001  (the arguments are the cache's key)
    return file_digest(path)
