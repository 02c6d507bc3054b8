"""What the engines of transformers share: finding weights, a random stream for each clip, memory that runs out."""

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from asr_tv.audio.recordings import Wave
from asr_tv.errors import ConfigError, DataError
from asr_tv.models.hub import repository
from asr_tv.store.results import file_digest

_PEAK = 0.9
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


@dataclass(frozen=True)
class ModelFolder:
    """Weights on this machine; `version` is the hub's revision, or a digest of a user's own folder."""

    name: str
    path: Path
    version: str


def find_model(name: str, files: Sequence[str], what: str, also: Sequence[str] = ()) -> ModelFolder:
    """A directory, or a model of the hub, from its cache or downloaded.

    Args:
        files: patterns of what it needs beside its weights.
        what: the place in the configuration, for messages.
        also: patterns of what is taken along where it is there.

    Raises:
        ConfigError: it is nowhere, or lacks a file.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        lacking = [pattern for pattern in files if not any(path.glob(pattern))]
        if not any(next(path.glob(pattern), None) for pattern in _WEIGHTS):
            lacking.append(" or ".join(_WEIGHTS))
        if lacking:
            raise ConfigError(f"{what}: {name} has no {', no '.join(lacking)}")
        return ModelFolder(path.resolve().name, path, f"sha256:{folder_digest(path)}")
    try:
        found = repository(name, files, alternatives=_WEIGHTS, also=also)
    except DataError as error:
        raise ConfigError(f"{what}: {name} is no directory, and {problem}" for problem in error.problems) from error
    return ModelFolder(name, found, f"revision {found.name[:12]}")


def folder_digest(path: Path) -> str:
    """sha256 over names and bytes of the files in a folder, cut to 16 digits."""
    files = sorted(file for file in path.iterdir() if file.is_file())
    lines = [f"{file.name} {_digest_of(file, file.stat().st_size, file.stat().st_mtime_ns)}" for file in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@functools.cache
def _digest_of(path: Path, size: int, modified: int) -> str:  # noqa: ARG001  (the arguments are the cache's key)
    return file_digest(path)


class ClipStreams(TorchFunctionMode):
    """Within it, torch.multinomial draws each clip's tokens from that clip's own stream, on every device alike.

    So that a clip does not depend on the clips beside it in a batch, as torch's one generator would make it. The
    rows of the probabilities are the clips', each with the same number of rows, in their order.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        super().__init__()
        self._generators = [generator(seed) for seed in seeds]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.multinomial:
            return self._draw(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _draw(self, probabilities: torch.Tensor, num_samples: int = 1) -> torch.Tensor:
        """One token a row [rows, 1], by inversion of the cumulated probabilities [rows, tokens]."""
        if num_samples != 1 or probabilities.shape[0] % len(self._generators):
            raise ValueError(f"{num_samples} samples of {tuple(probabilities.shape)} for {len(self._generators)} clips")
        each = probabilities.shape[0] // len(self._generators)
        drawn = torch.cat([torch.rand(each, generator=g, dtype=torch.float64) for g in self._generators])
        cumulated = probabilities.double().cumsum(-1)
        wanted = drawn.to(cumulated.device)[:, None] * cumulated[:, -1:]
        tokens = torch.searchsorted(cumulated, wanted, right=True)
        return tokens.clamp(max=probabilities.shape[1] - 1)


def generator(seed: int) -> torch.Generator:
    """A stream on the CPU, so that its numbers are the same for every device."""
    return torch.Generator().manual_seed(seed)


def stream_seed(*parts: int) -> int:
    """One seed from several numbers, such as a clip's seed, the piece of its text and the stage."""
    return int(np.random.SeedSequence([part % 2**64 for part in parts]).generate_state(1, np.uint64)[0] >> 1)


def levelled(wave: torch.Tensor) -> Wave:
    """The samples on the CPU with the peak that every engine's clips have."""
    samples: Wave = wave.detach().float().cpu().numpy().reshape(-1)
    return samples * np.float32(_PEAK / max(float(np.abs(samples).max(initial=0)), 1e-8))


def each_voice(voices: Sequence[str], split: Callable[[str], tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """What `split` makes of each voice.

    Raises:
        ConfigError: the problems of all of them.
    """
    problems: list[str] = []
    found = []
    for voice in voices:
        try:
            found.append(split(voice))
        except ConfigError as error:
            problems += error.problems
    labels = [label for label, _ in found]
    problems += [
        f"synthesis.voices: {label} is named twice" for label in sorted({x for x in labels if labels.count(x) > 1})
    ]
    if problems:
        raise ConfigError(problems)
    yield from found
