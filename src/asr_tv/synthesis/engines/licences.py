"""The licences of voices: from the model cards that Piper's come with, of other engines those of their weights."""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from asr_tv.config.run import SynthesisConfig
from asr_tv.synthesis.engines import voices_by_engine
from asr_tv.synthesis.engines.piper import PACKAGED_VOICES

NOT_STATED = "licence not stated"
_OF_ENGINE = {"bark": "MIT", "espeak": "GPL-3.0, the program's", "speecht5": "MIT"}
_CARD = "MODEL_CARD"
_LICENCE = re.compile(r"^\W*licen[cs]e\W+(\S.*?)\s*$", re.IGNORECASE | re.MULTILINE)


def voice_licences(config: SynthesisConfig) -> Mapping[str, str]:
    """Voice, as the configuration names it -> the licence of what speaks, or that none is stated."""
    found = {}
    for voice in config.voices:
        ((engine, (name,)),) = voices_by_engine(config.model_copy(update={"voices": (voice,)})).items()
        found[voice] = _piper(name) if engine == "piper" else _OF_ENGINE.get(engine, NOT_STATED)
    return found


def _piper(voice: str) -> str:
    card = folder / _CARD if (folder := _folder(voice)) else None
    if card is None or not card.is_file():
        return NOT_STATED
    stated = _LICENCE.search(card.read_text(encoding="utf-8", errors="replace"))
    return stated[1] if stated else NOT_STATED


def _folder(voice: str) -> Path | None:
    """Where the voice's files lie; `#` and a speaker may follow a name or path."""
    name = voice if Path(voice).is_file() else voice.rpartition("#")[0] or voice
    known = PACKAGED_VOICES.get(name)
    if known is None:
        return Path(name).parent if name.endswith(".onnx") else None
    spec = find_spec(known.package)
    places = spec.submodule_search_locations if spec else None
    return (Path(places[0]) / known.model).parent if places else None
