"""espeak-ng (GPL) through its C library: any of its languages in any of its voice variants, without weights.

The library carries state from one clip to the next, so it is loaded anew for each clip: equal requests, equal bytes.
"""

import ctypes
import ctypes.util
import difflib
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asr_tv.audio.recordings import Wave
from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import ConfigError
from asr_tv.synthesis.engines import ENGINES, Offer, SpeechRequest, VoiceInfo
from asr_tv.synthesis.engines.adapter import PEAK, FoundVoice, files_digest, open_voices, package_folders

_ADAPTER_VERSION = 1
# Constants from espeak-ng's speak_lib.h.
_SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1
_PARAMETERS = {"words_per_minute": 1, "pitch": 3, "pitch_range": 4}
_RECEIVER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class _VoiceRow(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("properties", ctypes.c_ubyte * 4),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


@dataclass(frozen=True)
class _Place:
    """Where the library and its data are; `data` is None if the library finds it by itself."""

    library: str
    data: str | None


@dataclass(frozen=True)
class _Catalogue:
    """What the library offers: language -> identifier of its voice, and variant -> identifier."""

    version: str
    sampling_rate: int
    languages: Mapping[str, str]
    variants: Mapping[str, str]


@dataclass(frozen=True)
class _Voice(FoundVoice):
    identifier: str


class EspeakSynthesizer:
    """The voices of `synthesis.voices`: a language, optionally with `+` and a variant, such as `en-us+f3`.

    Raises:
        ConfigError: the library is not installed, or does not have a language or variant.
    """

    name = "espeak"
    batch_size = 1
    clips_worth_a_process = 200

    def __init__(self, config: SynthesisConfig) -> None:
        self._config = config.espeak
        self._place = _find_library()
        self._voices = open_voices(config.voices, functools.partial(_find, _catalogue(self._place)))

    @property
    def voices(self) -> tuple[VoiceInfo, ...]:
        return tuple(voice.info for voice in self._voices.values())

    def settings(self, seed: int) -> Mapping[str, float]:
        """Rate, pitch and pitch range of one clip: whole numbers drawn uniformly from the configured ranges."""
        rng = np.random.default_rng(seed)
        return {name: float(round(rng.uniform(*getattr(self._config, name)))) for name in _PARAMETERS}

    def speak(self, requests: Sequence[SpeechRequest]) -> list[Wave]:
        return [self._clip(request) for request in requests]

    def _clip(self, request: SpeechRequest) -> Wave:
        with _Library(self._place) as library:
            samples = library.speak(request, self._voices[request.voice].identifier)
        wave = np.frombuffer(samples, np.int16).astype(np.float32)
        if not wave.size or not np.abs(wave).max():
            return np.zeros(0, np.float32)
        return wave * np.float32(PEAK / np.abs(wave).max())


class _Library:
    """The C library while it is loaded; only unloading resets its state."""

    def __init__(self, place: _Place) -> None:
        self._place = place

    def __enter__(self) -> "_Library":
        try:
            self._c: Any = ctypes.CDLL(self._place.library)
        except OSError as error:
            raise ConfigError(f"synthesis.engine: espeak's library cannot be loaded: {error}") from error
        data = None if self._place.data is None else self._place.data.encode()
        self.sampling_rate = self._c.espeak_Initialize(_SYNCHRONOUS, 0, data, _DONT_EXIT)
        if self.sampling_rate <= 0:
            raise ConfigError(f"synthesis.engine: espeak finds no data for {self._place.library}")
        return self

    def __exit__(self, *error: object) -> None:
        import _ctypes

        self._c.espeak_Terminate()
        _ctypes.dlclose(self._c._handle)
        if _is_loaded(self._place.library):
            raise ConfigError(
                f"synthesis.engine: {self._place.library} is in use by another part of this process, "
                "so its clips would depend on one another"
            )

    def speak(self, request: SpeechRequest, voice: str) -> bytes:
        """16-bit samples."""
        parts: list[bytes] = []

        def receive(samples: Any, count: int, _: Any) -> int:
            if samples and count > 0:
                parts.append(ctypes.string_at(samples, 2 * count))
            return 0

        receiver = _RECEIVER(receive)
        self._c.espeak_SetSynthCallback(receiver)
        self._seed(request.seed)
        self._check(self._c.espeak_SetVoiceByName(voice.encode()), f"voice {voice}")
        for name, number in _PARAMETERS.items():
            self._c.espeak_SetParameter(number, int(request.settings[name]), 0)
        data = request.text.encode() + b"\0"
        self._check(self._c.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 1, 0, _UTF8, None, None), "a text")
        self._c.espeak_Synchronize()
        return b"".join(parts)

    def _seed(self, seed: int) -> None:
        """Seeds breath and noise; releases before 1.52 draw from the generator of the C standard library."""
        if hasattr(self._c, "espeak_ng_SetRandSeed"):
            self._c.espeak_ng_SetRandSeed(ctypes.c_long(seed % 2**31))
        else:
            ctypes.CDLL(None).srand(ctypes.c_uint(seed % 2**31))

    @staticmethod
    def _check(status: int, what: str) -> None:
        if status:
            raise RuntimeError(f"espeak-ng returned {status} for {what}")

    def catalogue(self) -> _Catalogue:
        """The best voice of each language, the variants, and the version with a digest of the data."""
        self._c.espeak_Info.restype = ctypes.c_char_p
        data = ctypes.c_char_p()
        version = self._c.espeak_Info(ctypes.byref(data)).decode()
        folder = Path((data.value or b"").decode())
        best: dict[str, tuple[int, str]] = {}
        for row in self._rows(None):
            for priority, language in _languages(row.languages):
                best[language] = min(best.get(language, (99, "")), (priority, row.identifier.decode()))
        kind = ctypes.cast(ctypes.c_char_p(b"variant\0"), ctypes.c_void_p)
        variants = [row.identifier.decode() for row in self._rows(_VoiceRow(languages=kind.value))]
        return _Catalogue(
            version=f"{version}, data sha256:{files_digest(folder, folder.rglob('*'))}",
            sampling_rate=self.sampling_rate,
            languages={language: identifier for language, (_, identifier) in best.items()},
            variants={identifier.rpartition("/")[2]: identifier for identifier in variants},
        )

    def _rows(self, wanted: _VoiceRow | None) -> Iterator[_VoiceRow]:
        self._c.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceRow))
        rows = self._c.espeak_ListVoices(None if wanted is None else ctypes.byref(wanted))
        number = 0
        while rows[number]:
            yield rows[number].contents
            number += 1


def _languages(address: int) -> Iterator[tuple[int, str]]:
    """Priority and name of each language in espeak's list: pairs of a byte and a string, up to a zero byte."""
    while priority := ctypes.c_ubyte.from_address(address).value:
        name = ctypes.string_at(address + 1)
        yield priority, name.decode().lower()
        address += len(name) + 2


def _find_library() -> _Place:
    """The library of the package espeakng-loader, which also pins the data, else the system's."""
    names = ("libespeak-ng.so", "libespeak-ng.dylib", "espeak-ng.dll")
    for folder in package_folders("espeakng_loader"):
        if found := next((folder / name for name in names if (folder / name).is_file()), None):
            return _Place(str(found), str(folder / "espeak-ng-data"))
    if (system := ctypes.util.find_library("espeak-ng")) is not None:
        return _Place(system, None)
    raise ConfigError(
        "synthesis.engine: espeak needs the espeak-ng library: the package espeakng-loader (extra espeak of asr-tv), "
        "or apt-get install libespeak-ng1"
    )


def _is_loaded(library: str) -> bool:
    if not hasattr(os, "RTLD_NOLOAD"):
        return False
    try:
        held = ctypes.CDLL(library, mode=os.RTLD_NOLOAD)
    except OSError:
        return False
    import _ctypes

    _ctypes.dlclose(held._handle)
    return True


@functools.cache
def _catalogue(place: _Place) -> _Catalogue:
    with _Library(place) as library:
        return library.catalogue()


def _find(catalogue: _Catalogue, name: str) -> _Voice:
    language, plus, variant = name.partition("+")
    language = language.lower()
    if language not in catalogue.languages:
        raise ConfigError(_unknown("language", name.partition("+")[0], name, catalogue.languages))
    if plus and variant not in catalogue.variants:
        raise ConfigError(_unknown("variant", variant, name, catalogue.variants))
    version = f"espeak-ng {catalogue.version}, adapter {_ADAPTER_VERSION}"
    info = VoiceInfo(f"{language}{plus}{variant}", version, catalogue.sampling_rate, language, reads_numbers=True)
    return _Voice(info, f"{catalogue.languages[language]}{plus}{variant}")


def _unknown(what: str, name: str, voice: str, known: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=8, cutoff=0.4) or sorted(known)[:12]
    return f"synthesis.voices: {voice}: espeak-ng knows no {what} {name!r}; of its {len(known)}: {', '.join(near)}"


def offers() -> list[Offer]:
    """Its languages in any of its variants, as one pattern."""
    licence = str(ENGINES["espeak"].licence)
    try:
        catalogue = _catalogue(_find_library())
    except ConfigError:
        return [Offer("LANGUAGE+VARIANT", None, licence, needs="pip install espeakng-loader", pattern=True)]
    sizes = f"{len(catalogue.languages)} languages, {len(catalogue.variants)} variants"
    return [Offer("LANGUAGE+VARIANT", sizes, licence, pattern=True)]
