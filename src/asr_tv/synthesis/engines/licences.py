"""The licence of each configured voice."""

from collections.abc import Mapping
from importlib import import_module

from asr_tv.config.run import SynthesisConfig
from asr_tv.synthesis.engines import ENGINES, NOT_STATED, split_voice


def voice_licences(config: SynthesisConfig) -> Mapping[str, str]:
    """Voice, as the configuration names it -> licence of its weights or program, or `NOT_STATED`."""
    return {voice: _licence(*split_voice(voice, config.engine)) for voice in config.voices}


def _licence(engine: str, voice: str) -> str:
    if engine not in ENGINES:
        return NOT_STATED
    row = ENGINES[engine]
    return str(import_module(row.module).voice_licence(voice)) if row.licence is None else row.licence
