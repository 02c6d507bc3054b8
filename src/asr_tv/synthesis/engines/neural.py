"""What the engines of transformers share: finding weights, requests in groups, and a random stream per clip."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from asr_tv.audio.recordings import Wave
from asr_tv.errors import ConfigError, DataError
from asr_tv.memory import memory_errors
from asr_tv.models.hub import repository
from asr_tv.synthesis.engines import SpeechRequest, VoiceInfo
from asr_tv.synthesis.engines.adapter import Voice, files_digest, open_voices, scale_to_peak

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


@dataclass(frozen=True)
class ModelFolder:
    """Weights on this machine; `version` is the revision on the hub, or a digest of a local folder."""

    name: str
    path: Path
    version: str


def find_model(name: str, files: Sequence[str], what: str, also: Sequence[str] = ()) -> ModelFolder:
    """A local directory, or a model of the hub from its cache or downloaded; `what` is the setting, for messages.

    `files` and `also` are patterns of required and of optional files, other than the weights.

    Raises:
        ConfigError: the model is not found, or lacks a file.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        lacking = [pattern for pattern in files if not any(path.glob(pattern))]
        if not any(next(path.glob(pattern), None) for pattern in _WEIGHTS):
            lacking.append(" or ".join(_WEIGHTS))
        if lacking:
            raise ConfigError(f"{what}: {name} has no {', no '.join(lacking)}")
        return ModelFolder(path.resolve().name, path, f"sha256:{files_digest(path, path.iterdir())}")
    try:
        found = repository(name, files, alternatives=_WEIGHTS, also=also)
    except DataError as error:
        raise ConfigError(f"{what}: {name} is no directory, and {problem}" for problem in error.problems) from error
    return ModelFolder(name, found, f"revision {found.name[:12]}")


class NeuralSynthesizer(ABC, Generic[Voice]):
    """A synthesizer that fills the device: requests are spoken in groups that share a model or a speaker prompt."""

    alone = True

    def __init__(self, voices: Sequence[str], batch_size: int) -> None:
        self.batch_size = batch_size
        self._voices: dict[str, Voice] = open_voices(voices, self._find_voice)

    @property
    def voices(self) -> tuple[VoiceInfo, ...]:
        return tuple(voice.info for voice in self._voices.values())

    def settings(self, seed: int) -> Mapping[str, float]:  # noqa: ARG002  (a clip's random draws are the model's)
        return {}

    def speak(self, requests: Sequence[SpeechRequest]) -> list[Wave]:
        """One wave per request at the voice's sampling rate.

        Raises:
            MemoryError: too many requests for the device's memory.
        """
        groups: dict[Hashable, list[int]] = {}
        for n, request in enumerate(requests):
            groups.setdefault(self._group(request.voice), []).append(n)
        waves: dict[int, Wave] = {}
        with memory_errors(), torch.no_grad():
            for places in groups.values():
                waves |= dict(zip(places, self._speak_group([requests[n] for n in places]), strict=True))
        return [waves[n] for n in range(len(requests))]

    @abstractmethod
    def _find_voice(self, name: str) -> Voice: ...

    def _group(self, label: str) -> Hashable:
        """Voices with equal values can be spoken in one batch; by default each voice for itself."""
        return label

    @abstractmethod
    def _speak_group(self, requests: Sequence[SpeechRequest]) -> list[Wave]:
        """One wave per request; all requests are of one group."""


class ClipStreams(TorchFunctionMode):
    """A context in which torch.multinomial draws each clip's tokens from that clip's own stream, on every device alike.

    With torch's single generator, a clip would depend on the others in its batch. The rows of the probabilities belong
    to the clips in their order, the same number of rows to each.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        super().__init__()
        self._generators = [generator(seed) for seed in seeds]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.multinomial:
            return self._draw(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _draw(self, probabilities: torch.Tensor, num_samples: int = 1) -> torch.Tensor:
        """One token per row [rows, 1], by inverse transform sampling from the probabilities [rows, tokens]."""
        if num_samples != 1 or probabilities.shape[0] % len(self._generators):
            raise ValueError(f"{num_samples} samples of {tuple(probabilities.shape)} for {len(self._generators)} clips")
        each = probabilities.shape[0] // len(self._generators)
        drawn = torch.cat([torch.rand(each, generator=g, dtype=torch.float64) for g in self._generators])
        cumulated = probabilities.double().cumsum(-1)
        wanted = drawn.to(cumulated.device)[:, None] * cumulated[:, -1:]
        tokens = torch.searchsorted(cumulated, wanted, right=True)
        return tokens.clamp(max=probabilities.shape[1] - 1)


def generator(seed: int) -> torch.Generator:
    """A generator on the CPU, so that its numbers do not depend on the device."""
    return torch.Generator().manual_seed(seed)


def stream_seed(*parts: int) -> int:
    """One seed from several numbers, such as a clip's seed and the index of a piece of its text."""
    return int(np.random.SeedSequence([part % 2**64 for part in parts]).generate_state(1, np.uint64)[0] >> 1)


def to_wave(samples: torch.Tensor) -> Wave:
    """The samples on the CPU, scaled to the peak of every clip."""
    return scale_to_peak(samples.detach().float().cpu().numpy().reshape(-1))
