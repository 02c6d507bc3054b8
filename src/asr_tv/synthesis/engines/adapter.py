"""What the adapters of engines share: opening voices with all problems at once, levels, files of packages, digests."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from asr_tv.audio.recordings import Wave
from asr_tv.errors import ConfigError
from asr_tv.store.durable import cached_digest
from asr_tv.synthesis.engines import SpeechRequest, VoiceInfo

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


class OneByOne(ABC, Generic[Voice]):
    """An engine whose clips are spoken one after the other.

    Attributes:
        _voices: by label; an engine sets them.
    """

    batch_size = 1
    _voices: Mapping[str, Voice]

    @property
    def voices(self) -> tuple[VoiceInfo, ...]:
        return tuple(voice.info for voice in self._voices.values())

    def speak(self, requests: Sequence[SpeechRequest]) -> list[Wave]:
        return [self._clip(request) for request in requests]

    @abstractmethod
    def _clip(self, request: SpeechRequest) -> Wave:
        """One request's wave, at the voice's sampling rate."""


def drawn_settings(seed: int, ranges: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """A value a setting, drawn uniformly from its range in the order given, with four decimals."""
    rng = np.random.default_rng(seed)
    return {name: round(float(rng.uniform(*ends)), 4) for name, ends in ranges.items()}


def single_threaded(model: bytes) -> Any:
    """An ONNX model's session with one thread: it sums in one order, and the parallel workers are processes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def scale_to_peak(wave: Wave) -> Wave:
    """The wave with its peak at `PEAK`; silence stays silent."""
    return wave * np.float32(PEAK / max(float(np.abs(wave).max(initial=0)), 1e-8))


def package_folders(package: str) -> list[Path]:
    """The folders of an installed package, which is not imported; none if it is not installed."""
    spec = find_spec(package)
    return [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []


def files_digest(folder: Path, files: Iterable[Path]) -> str:
    """sha256 of the names and contents of files in a folder, cut to 16 digits."""
    kept = sorted(file for file in files if file.is_file())
    lines = [f"{file.relative_to(folder).as_posix()} {cached_digest(file)}" for file in kept]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
