"""hibari: small distilled English voices (ONNX) with a dictionary front end; one lies in its package."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np

from asr_tv.audio.recordings import Wave
from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import ConfigError, DataError
from asr_tv.models.hub import repository
from asr_tv.store.durable import cached_digest
from asr_tv.synthesis.engines import ENGINES, Offer, Sex, SpeechRequest, VoiceInfo
from asr_tv.synthesis.engines.adapter import (
    FoundVoice,
    OneByOne,
    drawn_settings,
    open_voices,
    scale_to_peak,
)

REPOSITORY = "maureesewilliams/hibari"
"""On the hub; it has the voices that are not in the package."""
SAMPLING_RATE = 24_000
_ADAPTER_VERSION = 1
_SEXES: dict[str, Sex] = {"female": "female", "male": "male"}
_NEEDED = "synthesis.engine: hibari needs the package hibari-tts (extra demo of asr-tv)"


@dataclass(frozen=True)
class _Voice(FoundVoice):
    model: Path


class HibariSynthesizer(OneByOne[_Voice]):
    """The hibari voices named in `synthesis.voices`: `heart`, or another of its registry from the hub.

    Raises:
        ConfigError: hibari-tts is not installed, or a voice is unknown, cannot be had, or is not the registry's.
    """

    name = "hibari"
    clips_worth_a_process = 100

    def __init__(self, config: SynthesisConfig) -> None:
        if util.find_spec("hibari") is None:
            raise ConfigError(_NEEDED)
        self._speed = config.hibari.speed
        self._voices = open_voices(config.voices, _find)
        self._loaded: dict[str, Any] = {}

    def settings(self, seed: int) -> Mapping[str, float]:
        """Speed of one clip, drawn uniformly from the configured range."""
        return drawn_settings(seed, {"speed": self._speed})

    def _clip(self, request: SpeechRequest) -> Wave:
        if request.voice not in self._loaded:
            from hibari import Hibari

            model = self._voices[request.voice].model
            self._loaded[request.voice] = Hibari(voice=request.voice, model=str(model), threads=1)
        tts, rng = self._loaded[request.voice], np.random.default_rng(request.seed)
        sentences = [phonemes for phonemes in tts.phonemize(request.text) if any(map(str.isalpha, phonemes))]
        waves = [tts.from_ids(tts.ids(phonemes), request.settings["speed"], rng) for phonemes in sentences]
        return scale_to_peak(np.concatenate(waves).astype(np.float32) if waves else np.zeros(0, np.float32))


def offers() -> list[Offer]:
    """The voices of hibari's registry."""
    licence = str(ENGINES["hibari"].licence)
    if util.find_spec("hibari") is None:
        return [Offer("heart", "en-us", licence, "female", "pip install hibari-tts")]
    return [
        Offer(name, row["language"].lower(), licence, _SEXES[row["gender"]], _needs(name))
        for name, row in _registry().items()
    ]


def _registry() -> Mapping[str, Any]:
    from hibari.voices import VOICES

    return dict(VOICES)


def _needs(name: str) -> str:
    from hibari.voices import voice_path

    try:
        voice_path(name, download_missing=False)
    except FileNotFoundError:
        return "weights from the hub"
    return ""


def _find(name: str) -> _Voice:
    registry = _registry()
    if name not in registry:
        near = difflib.get_close_matches(name, registry, n=3, cutoff=0.3) or list(registry)
        raise ConfigError(f"synthesis.voices: hibari has no voice {name!r}; of its {len(registry)}: {', '.join(near)}")
    row = registry[name]
    model = _model(name, row["file"])
    if cached_digest(model) != row["sha256"]:
        raise ConfigError(f"{model}: is not hibari's voice {name}: its sha256 is not {row['sha256']}")
    version = (
        f"hibari-tts {metadata.version('hibari-tts')}, onnxruntime {metadata.version('onnxruntime')}, "
        f"adapter {_ADAPTER_VERSION}, voice sha256:{row['sha256'][:16]}"
    )
    licence, sex = ENGINES["hibari"].licence, _SEXES[row["gender"]]
    info = VoiceInfo(name, version, SAMPLING_RATE, row["language"].lower(), sex=sex, licence=licence)
    return _Voice(info, model)


def _model(name: str, file: str) -> Path:
    """The voice's file: in the package, in hibari's own cache, or from the hub."""
    from hibari.voices import voice_path

    try:
        return Path(voice_path(name, download_missing=False))
    except FileNotFoundError:
        pass
    try:
        return repository(REPOSITORY, [f"voices/{file}"]) / "voices" / file
    except DataError as error:
        raise ConfigError(f"synthesis.voices: hibari:{name}: {problem}" for problem in error.problems) from error
