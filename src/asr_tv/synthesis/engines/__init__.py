"""Text to speech: what every engine offers, and the engines by name. One adapter file an engine."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module, metadata
from typing import Any, Protocol

from asr_tv.audio.recordings import Wave
from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import ConfigError


@dataclass(frozen=True)
class VoiceInfo:
    """One voice of an engine.

    Attributes:
        label: names the voice in clip ids and keys; the same on every machine, so never a path.
        version: the engine's version and the digest of the voice's files; enters the keys of its clips.
        sampling_rate: of the waves it returns.
        language: what it speaks, as "en" or "en-us"; None where that is not known.
        reads_numbers: whether it says small whole numbers and lone signs by itself.
    """

    label: str
    version: str
    sampling_rate: int
    language: str | None = None
    reads_numbers: bool = False


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
        """Requests that one call of `speak` likes.

        Above 1, or with an attribute `alone` that is true, the engine fills the device: one process speaks.
        """

    def settings(self, seed: int) -> Mapping[str, float]:
        """The settings drawn for one clip from the configuration's ranges; part of the clip's key."""

    def speak(self, requests: Sequence[SpeechRequest]) -> list[Wave]:
        """One wave a request, in the request's order; an empty one where there was nothing to say.

        Raises:
            MemoryError: too many requests for the device's memory; asked again with fewer.
        """


ENTRY_POINTS = "asr_tv.synthesizers"
"""Group of entry points under which another package offers an engine: its name, and a class as those below."""

_ENGINES: dict[str, tuple[str, str]] = {
    "bark": ("asr_tv.synthesis.engines.bark", "BarkSynthesizer"),
    "espeak": ("asr_tv.synthesis.engines.espeak", "EspeakSynthesizer"),
    "piper": ("asr_tv.synthesis.engines.piper", "PiperSynthesizer"),
    "speecht5": ("asr_tv.synthesis.engines.speecht5", "SpeechT5Synthesizer"),
}
"""Engine -> module and class, which takes a SynthesisConfig; imported when asked for."""

_PREFIXED = re.compile(r"([a-z][a-z0-9_]*):(?=.)")


def engines() -> tuple[str, ...]:
    """The names that `synthesis.engine` can take."""
    return tuple(sorted({*_ENGINES, *_offered()}))


def voices_by_engine(config: SynthesisConfig) -> dict[str, tuple[str, ...]]:
    """The voices of `config.voices` under the engine that speaks them, without its name before them."""
    found: dict[str, list[str]] = {}
    for voice in config.voices:
        prefix = _PREFIXED.match(voice)
        engine, name = (prefix[1], voice[prefix.end() :]) if prefix else (config.engine, voice)
        found.setdefault(engine, []).append(name)
    return {engine: tuple(names) for engine, names in found.items()}


def open_synthesizer(config: SynthesisConfig) -> Synthesizer:
    """The engine of `config.engine` with `config.voices`, all its own.

    Raises:
        ConfigError: an unknown engine, an engine whose package is missing, or voices that cannot be had.
    """
    if config.engine not in engines():
        raise ConfigError(f"synthesis.engine: unknown engine {config.engine!r}; engines: {', '.join(engines())}")
    if not config.voices:
        raise ConfigError("synthesis.voices: names no voice")
    engine: Synthesizer = _engine_class(config.engine)(config)
    return engine


def _engine_class(name: str) -> Any:
    if name in _ENGINES:
        module, kind = _ENGINES[name]
        return getattr(import_module(module), kind)
    try:
        return _offered()[name].load()
    except Exception as error:  # whatever another package does when it is imported
        raise ConfigError(f"synthesis.engine: {name} cannot be loaded: {type(error).__name__}: {error}") from error


def _offered() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}
