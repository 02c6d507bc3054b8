"""Who speaks in a run: the configured voices, of one engine or of several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import ConfigError, gathered
from asr_tv.synthesis.engines import Synthesizer, VoiceInfo, open_synthesizer, voices_by_engine


@dataclass(frozen=True)
class Speaker:
    """One voice in a run.

    Attributes:
        label: names it in clip ids and manifests; with its engine before it where several engines speak.
        engine: its engine's name.
    """

    label: str
    engine: str
    voice: VoiceInfo


class Cast:
    """The engines of a run, opened, by name."""

    def __init__(self, synthesizers: Sequence[Synthesizer]) -> None:
        self.engines: Mapping[str, Synthesizer] = {engine.name: engine for engine in synthesizers}

    @property
    def name(self) -> str:
        """The engines' names: what a run's records call the cast."""
        return "+".join(sorted(self.engines))

    @property
    def speakers(self) -> tuple[Speaker, ...]:
        """In the order of their labels, which no two share."""
        alone = len(self.engines) == 1
        found = [
            Speaker(voice.label if alone else f"{name}:{voice.label}", name, voice)
            for name, engine in self.engines.items()
            for voice in engine.voices
        ]
        return tuple(sorted(found, key=lambda speaker: speaker.label))


def open_cast(config: SynthesisConfig) -> Cast:
    """Every engine that `config.voices` names, with its voices; no weights are loaded.

    Raises:
        ConfigError: an unknown engine, a missing package, or voices that cannot be had: all of them at once.
    """
    if not config.voices:
        raise ConfigError("synthesis.voices: names no voice")
    parts = [
        config.model_copy(update={"engine": engine, "voices": voices})
        for engine, voices in voices_by_engine(config).items()
    ]
    return Cast(gathered(*(partial(open_synthesizer, part) for part in parts)))
