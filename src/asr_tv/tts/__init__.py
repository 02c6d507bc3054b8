"""Text to speech: what every engine offers, and the engines by name. One adapter file an engine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, cast

from asr_tv.audio import Wave
from asr_tv.config import SynthesisConfig
from asr_tv.errors import ConfigError


@dataclass(frozen=True)
class VoiceInfo:
    """One voice of an engine.

    Attributes:
        label: names the voice in clip ids and keys; the same on every machine, so never a path.
        version: the engine's version and the digest of the voice's files; enters the keys of its clips.
        sampling_rate: of the waves it returns.
    """

    label: str
    version: str
    sampling_rate: int


@dataclass(frozen=True)
class SpeechRequest:
    """One clip to speak; equal requests give equal samples.

    Attributes:
        voice: label of one of the engine's voices.
        take: number of the reading of this text, from 0.
        seed: of every random draw for this clip.
        settings: what the engine drew for this clip by `Synthesizer.settings`.
    """

    text: str
    voice: str
    take: int
    seed: int
    settings: Mapping[str, float] = field(default_factory=dict)


class Synthesizer(Protocol):
    """A speech engine with the voices that the configuration asks for.

    Constructed without loading weights, since a stage found in the store asks it only for its versions. A clip
    depends on its request alone: never on the requests before it, beside it, or on the process.
    """

    @property
    def name(self) -> str:
        """The engine's name in the configuration."""

    @property
    def voices(self) -> tuple[VoiceInfo, ...]:
        """The configuration's voices."""

    @property
    def batch_size(self) -> int:
        """Requests that one call of `speak` likes. Above 1, the engine fills the device alone: one process speaks."""

    def settings(self, seed: int) -> Mapping[str, float]:
        """The settings drawn for one clip from the configuration's ranges; part of the clip's key."""

    def speak(self, requests: Sequence[SpeechRequest]) -> list[Wave]:
        """One wave a request, in the request's order; an empty one where there was nothing to say."""


_ENGINES: dict[str, tuple[str, str]] = {"piper": ("asr_tv.tts.piper", "PiperSynthesizer")}
"""Engine -> module and class, which takes a SynthesisConfig; imported when asked for."""


def engines() -> tuple[str, ...]:
    """The names that `synthesis.engine` can take."""
    return tuple(sorted(_ENGINES))


def open_synthesizer(config: SynthesisConfig) -> Synthesizer:
    """The engine of `config.engine` with the voices of `config.voices`.

    Raises:
        ConfigError: an unknown engine, an engine whose package is missing, or voices that cannot be had.
    """
    if config.engine not in _ENGINES:
        raise ConfigError(f"synthesis.engine: unknown engine {config.engine!r}; engines: {', '.join(engines())}")
    if not config.voices:
        raise ConfigError("synthesis.voices: names no voice")
    module, name = _ENGINES[config.engine]
    engine: Any = getattr(import_module(module), name)
    return cast(Callable[[SynthesisConfig], Synthesizer], engine)(config)
