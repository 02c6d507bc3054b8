"""The licence of each voice, and the refusal of those that forbid commercial use."""

import re
from collections.abc import Iterable, Mapping
from importlib import import_module

from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import ConfigError
from asr_tv.synthesis.engines import ENGINES, NOT_STATED, Synthesizer, VoiceInfo, split_voice


def voice_licences(config: SynthesisConfig) -> Mapping[str, str]:
    """Voice, as the configuration names it -> licence of its weights or program, or `NOT_STATED`."""
    return {voice: _licence(*split_voice(voice, config.engine)) for voice in config.voices}


def _licence(engine: str, voice: str) -> str:
    if engine not in ENGINES:
        return NOT_STATED
    row = ENGINES[engine]
    return str(import_module(row.module).voice_licence(voice)) if row.licence is None else row.licence


_NONCOMMERCIAL = re.compile(r"\bnc\b|non[- ]?commercial|research[- ]only", re.IGNORECASE)


def forbids_commerce(licence: str) -> bool:
    """Whether a licence, as it is stated, forbids commercial use."""
    return _NONCOMMERCIAL.search(licence) is not None


def licence_of(engine: str, voice: VoiceInfo) -> str:
    """The licence of an opened voice; one that carries a watermark says so."""
    row = ENGINES.get(engine)
    licence = voice.licence or (row and row.licence) or NOT_STATED
    return f"{licence}; watermarked ({voice.watermark})" if voice.watermark else licence


def check_licences(engines: Iterable[Synthesizer], *, allow_noncommercial: bool) -> None:
    """Refuses voices whose licence forbids commercial use.

    Raises:
        ConfigError: every such voice.
    """
    voices = [(engine.name, voice) for engine in engines for voice in engine.voices]
    forbidden = [(n, v, licence_of(n, v)) for n, v in voices if forbids_commerce(licence_of(n, v))]
    if forbidden and not allow_noncommercial:
        raise ConfigError(
            f"synthesis.voices: {name}:{voice.label}: its licence, {licence}, forbids commercial use; if yours is "
            "none, set synthesis.allow_noncommercial to true"
            for name, voice, licence in forbidden
        )
