"""The engines and speakers of a run: its configured voices, of one engine or of several."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import gathered
from asr_tv.synthesis.engines import Synthesizer, VoiceInfo, open_synthesizer, voices_by_engine
from asr_tv.synthesis.engines.licences import check_licences

Engines = Mapping[str, Synthesizer]
"""The open engines of a run, by name."""


@dataclass(frozen=True)
class Speaker:
    """One voice in a run; its label in clip ids and manifests is prefixed with the engine if there are several."""

    label: str
    engine: str
    voice: VoiceInfo


def open_engines(config: SynthesisConfig) -> Engines:
    """Opens every engine that `config.voices` names, with its voices; loads no weights.

    Raises:
        ConfigError: an unknown engine, a missing package, voices that are not found, or a licence that is not allowed:
            all problems at once.
    """
    voices = voices_by_engine(config) or {config.engine: ()}
    parts = [config.model_copy(update={"engine": engine, "voices": names}) for engine, names in voices.items()]
    opened = gathered(*(partial(open_synthesizer, part) for part in parts))
    check_licences(opened, allow_noncommercial=config.allow_noncommercial)
    return {engine.name: engine for engine in opened}


def speakers_of(engines: Engines) -> tuple[Speaker, ...]:
    """Every voice of the engines, sorted by label; labels are unique."""
    found = [
        Speaker(voice.label if len(engines) == 1 else f"{name}:{voice.label}", name, voice)
        for name, engine in engines.items()
        for voice in engine.voices
    ]
    return tuple(sorted(found, key=lambda speaker: speaker.label))
