"""Text to speech: the contract of an engine, and the table of engines. A new engine is one adapter file and one row."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module, metadata
from typing import Any, Literal, Protocol

from asr_tv.audio.recordings import Wave
from asr_tv.config.run import SynthesisConfig
from asr_tv.config.section import Section
from asr_tv.errors import ConfigError

Sex = Literal["female", "male"]


@dataclass(frozen=True)
class VoiceInfo:
    """One voice of an engine.

    Attributes:
        label: identifies the voice in clip ids and keys; the same on every machine, so never a path.
        version: of the engine, with the digest of the voice's files; part of the keys of its clips.
        sampling_rate: of its waves, in Hz.
        language: that it speaks, such as "en" or "en-us"; None if unknown.
        reads_numbers: whether it reads small whole numbers and isolated symbols correctly by itself.
        sex: of the speaker it sounds like; None if unknown.
        licence: of the voice; None if it is the engine's (`licence_of`).
        watermark: name of the watermark that its waves carry.
    """

    label: str
    version: str
    sampling_rate: int
    language: str | None = None
    reads_numbers: bool = False
    sex: Sex | None = None
    licence: str | None = None
    watermark: str | None = None


FETCHED = "fetched at first use"
"""What a voice needs that its engine fetches by itself."""


@dataclass(frozen=True)
class Offer:
    """A voice that can be had, or several of one pattern.

    Attributes:
        name: as `synthesis.voices` takes it, without the engine.
        language: that it speaks; of a pattern, which ones there are.
        needs: what must be installed or fetched first; "" for a voice that can speak now.
        pattern: words in capitals in `name` stand for several voices.
    """

    name: str
    language: str | None
    licence: str
    sex: Sex | None = None
    needs: str = ""
    pattern: bool = False


@dataclass(frozen=True)
class SpeechRequest:
    """One clip to speak; equal requests give equal samples.

    Attributes:
        voice: label of one of the engine's voices.
        take: index of this reading of the text, from 0.
        seed: of every random draw for this clip.
        settings: drawn for this clip by `Synthesizer.settings`.
    """

    text: str
    voice: str
    take: int
    seed: int
    settings: Mapping[str, float] = field(default_factory=dict)


class Synthesizer(Protocol):
    """A speech engine with the voices that the configuration names.

    Construction loads no weights: when a stage's result is already stored, only the versions are needed. A clip
    depends on its request alone, never on earlier requests, on others in its batch, or on the process.
    """

    @property
    def name(self) -> str:
        """The engine's name in the configuration."""

    @property
    def voices(self) -> tuple[VoiceInfo, ...]:
        """The configuration's voices."""

    @property
    def batch_size(self) -> int:
        """Preferred number of requests per call of `speak`.

        An engine with a batch size above 1, or with a true attribute `alone`, uses the whole device: it runs in one
        process.
        """

    def settings(self, seed: int) -> Mapping[str, float]:
        """Settings of one clip, drawn from the configured ranges; part of the clip's key."""

    def speak(self, requests: Sequence[SpeechRequest]) -> list[Wave]:
        """One wave per request, in the order of the requests; empty if the text has no sound.

        Raises:
            MemoryError: too many requests for the device's memory; the caller retries with fewer.
        """


ENTRY_POINTS = "asr_tv.synthesizers"
"""Entry-point group in which another package registers an engine: a name and a callable like those in `ENGINES`."""

NOT_STATED = "licence not stated"


@dataclass(frozen=True)
class SpeechEngine:
    """One row of the table of engines.

    An engine's own settings are the section of `synthesis` with its name, if there is one: see `engine_section`.

    Attributes:
        module: the adapter, imported when the engine is first used.
        opener: name in `module` of the callable that takes a SynthesisConfig and returns a Synthesizer.
        licence: of all voices; None if `module` has a function `voice_licence` from a voice's name to its licence.

    `module` has a function `offers` of no arguments, which lists the voices that can be had.
    """

    module: str
    opener: str
    licence: str | None = NOT_STATED


ENGINES = {
    "bark": SpeechEngine("asr_tv.synthesis.engines.bark", "BarkSynthesizer", "MIT"),
    "espeak": SpeechEngine("asr_tv.synthesis.engines.espeak", "EspeakSynthesizer", "GPL-3.0, the program's"),
    "hibari": SpeechEngine("asr_tv.synthesis.engines.hibari", "HibariSynthesizer", "Apache-2.0"),
    "kokoro": SpeechEngine("asr_tv.synthesis.engines.kokoro", "KokoroSynthesizer", "Apache-2.0"),
    "piper": SpeechEngine("asr_tv.synthesis.engines.piper", "PiperSynthesizer", None),
    "pocket": SpeechEngine("asr_tv.synthesis.engines.pocket", "PocketSynthesizer", None),
    "speecht5": SpeechEngine("asr_tv.synthesis.engines.speecht5", "SpeechT5Synthesizer", "MIT"),
}

_PREFIXED = re.compile(r"([a-z][a-z0-9_]*):(?=.)")


def engines() -> tuple[str, ...]:
    """The valid values of `synthesis.engine`."""
    return tuple(sorted({*ENGINES, *_registered()}))


def engine_section(config: SynthesisConfig, engine: str) -> Section | None:
    """The engine's section of the configuration; None for an engine without one, such as Piper."""
    section = getattr(config, engine, None)
    return section if isinstance(section, Section) else None


def voices_by_engine(config: SynthesisConfig) -> dict[str, tuple[str, ...]]:
    """The voices of `config.voices` by engine, without the engine's name as prefix."""
    found: dict[str, list[str]] = {}
    for voice in config.voices:
        engine, name = split_voice(voice, config.engine)
        found.setdefault(engine, []).append(name)
    return {engine: tuple(names) for engine, names in found.items()}


def split_voice(voice: str, default: str) -> tuple[str, str]:
    """The engine of a configured voice, which is `default` if it names none, and the voice's name there."""
    voice = re.sub(r"^espeak-ng:", "espeak:", voice)
    prefix = _PREFIXED.match(voice)
    return (prefix[1], voice[prefix.end() :]) if prefix else (default, voice)


def open_synthesizer(config: SynthesisConfig) -> Synthesizer:
    """Opens `config.engine` with `config.voices`, all of which belong to it.

    Raises:
        ConfigError: an unknown engine, a missing package, or voices that are not found.
    """
    # Our own first: what other packages register stands in the metadata of every package there is.
    if config.engine not in ENGINES and config.engine not in engines():
        raise ConfigError(f"synthesis.engine: unknown engine {config.engine!r}; engines: {', '.join(engines())}")
    if not config.voices:
        raise ConfigError("synthesis.voices: names no voice")
    engine: Synthesizer = _opener(config.engine)(config)
    return engine


def _opener(name: str) -> Any:
    if name in ENGINES:
        return getattr(import_module(ENGINES[name].module), ENGINES[name].opener)
    try:
        return _registered()[name].load()
    except Exception as error:  # another package may raise anything when it is imported
        raise ConfigError(f"synthesis.engine: {name} cannot be loaded: {type(error).__name__}: {error}") from error


def _registered() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}
