"""espeak-ng through its C library: any of its languages in any of its voice variants, no weights. GPL.

The library carries its state from one clip to the next, so it is loaded anew for each: the same clip, the same bytes.
"""

import ctypes
import ctypes.util
import difflib
import functools
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from asr_tv.audio.recordings import Wave
from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import ConfigError
from asr_tv.store.results import file_digest
from asr_tv.synthesis.engines import SpeechRequest, VoiceInfo

_ADAPTER_VERSION = 1
_PEAK = 0.9
# Numbers of espeak-ng's speak_lib.h.
_SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_PARAMETERS = {"words_per_minute": _RATE, "pitch": _PITCH, "pitch_range": _RANGE}
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
    """Where the library and its data are; no data path where the library knows it itself."""

    library: str
    data: str | None


@dataclass(frozen=True)
class _Catalogue:
    """What the library can speak: language -> identifier of its voice, and variant -> identifier."""

    version: str
    sampling_rate: int
    languages: Mapping[str, str]
    variants: Mapping[str, str]


class EspeakSynthesizer:
    """The voices of `synthesis.voices`: a language, with `+` and a variant where one is wanted, as `en-us+f3`."""

    name = "espeak"
    batch_size = 1
    clips_worth_a_process = 200

    def __init__(self, config: SynthesisConfig) -> None:
        """Finds the library and checks the voices against what it offers.

        Raises:
            ConfigError: there is no library, or it knows no such language or variant.
        """
        self._config = config.espeak
        self._place = _find_library()
        self._catalogue = _catalogue(self._place)
        self._names = _checked(config.voices, self._catalogue)

    @property
    def voices(self) -> tuple[VoiceInfo, ...]:
        catalogue = self._catalogue
        version = f"espeak-ng {catalogue.version}, adapter {_ADAPTER_VERSION}"
        return tuple(
            VoiceInfo(label, version, catalogue.sampling_rate, label.partition("+")[0], reads_numbers=True)
            for label in self._names
        )

    def settings(self, seed: int) -> Mapping[str, float]:
        """Rate, pitch and pitch range of one clip, whole numbers drawn uniformly from the configuration's ranges."""
        rng = np.random.default_rng(seed)
        return {name: float(round(rng.uniform(*getattr(self._config, name)))) for name in _PARAMETERS}

    def speak(self, requests: Sequence[SpeechRequest]) -> list[Wave]:
        """One wave a request, empty where the text has no sound."""
        return [self._clip(request) for request in requests]

    def _clip(self, request: SpeechRequest) -> Wave:
        with _Library(self._place) as library:
            samples = library.speak(request.text, self._names[request.voice], request.settings, request.seed)
        wave = np.frombuffer(samples, np.int16).astype(np.float32)
        if not wave.size or not np.abs(wave).max():
            return np.zeros(0, np.float32)
        return wave * np.float32(_PEAK / np.abs(wave).max())


class _Library:
    """The C library from its loading to its unloading, which is all that makes it forget what it spoke."""

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

    def speak(self, text: str, voice: str, settings: Mapping[str, float], seed: int) -> bytes:
        """16-bit samples."""
        parts: list[bytes] = []

        def receive(samples: Any, count: int, _: Any) -> int:
            if samples and count > 0:
                parts.append(ctypes.string_at(samples, 2 * count))
            return 0

        receiver = _RECEIVER(receive)
        self._c.espeak_SetSynthCallback(receiver)
        self._seed(seed)
        self._check(self._c.espeak_SetVoiceByName(voice.encode()), f"voice {voice}")
        for name, number in _PARAMETERS.items():
            self._c.espeak_SetParameter(number, int(settings[name]), 0)
        data = text.encode() + b"\0"
        self._check(self._c.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 1, 0, _UTF8, None, None), "a text")
        self._c.espeak_Synchronize()
        return b"".join(parts)

    def _seed(self, seed: int) -> None:
        """Of breath and noise; releases before 1.52 draw from the C library's own generator."""
        if hasattr(self._c, "espeak_ng_SetRandSeed"):
            self._c.espeak_ng_SetRandSeed(ctypes.c_long(seed % 2**31))
        else:
            ctypes.CDLL(None).srand(ctypes.c_uint(seed % 2**31))

    @staticmethod
    def _check(status: int, what: str) -> None:
        if status:
            raise RuntimeError(f"espeak-ng returned {status} for {what}")

    def catalogue(self) -> _Catalogue:
        """Languages with the identifier of the voice that speaks each best, variants, version with data digest."""
        self._c.espeak_Info.restype = ctypes.c_char_p
        data = ctypes.c_char_p()
        version = self._c.espeak_Info(ctypes.byref(data)).decode()
        best: dict[str, tuple[int, str]] = {}
        for row in self._rows(None):
            for priority, language in _languages(row.languages):
                best[language] = min(best.get(language, (99, "")), (priority, row.identifier.decode()))
        variants = [row.identifier.decode() for row in self._rows(_VoiceRow(languages=_text(b"variant\0")))]
        return _Catalogue(
            version=f"{version}, data sha256:{_tree_digest(Path((data.value or b'').decode()))[:16]}",
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


def _text(content: bytes) -> int | None:
    return ctypes.cast(ctypes.c_char_p(content), ctypes.c_void_p).value


def _languages(address: int) -> Iterator[tuple[int, str]]:
    """Priority and name of each language, from espeak's list: a byte, a string, until a zero byte."""
    while priority := ctypes.c_ubyte.from_address(address).value:
        name = ctypes.string_at(address + 1)
        yield priority, name.decode().lower()
        address += len(name) + 2


def _find_library() -> _Place:
    """The library of the package espeakng-loader, which pins the data with it, else the system's."""
    spec = util.find_spec("espeakng_loader")
    if spec is not None and spec.submodule_search_locations:
        folder = Path(spec.submodule_search_locations[0])
        names = ("libespeak-ng.so", "libespeak-ng.dylib", "espeak-ng.dll")
        if found := next((folder / name for name in names if (folder / name).is_file()), None):
            return _Place(str(found), str(folder / "espeak-ng-data"))
    if (system := ctypes.util.find_library("espeak-ng")) is not None:
        return _Place(system, None)
    raise ConfigError(
        "synthesis.engine: espeak needs the espeak-ng library: the package espeakng-loader (extra espeak of asr-tv), "
        "or apt-get install libespeak-ng1"
    )


def _is_loaded(library: str) -> bool:
    """Whether the library stays in this process, as where another part of it has loaded it too."""
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


@functools.cache
def _tree_digest(folder: Path) -> str:
    """sha256 over the names and the bytes of all files below."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{path.relative_to(folder).as_posix()} {file_digest(path)}" for path in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _checked(voices: Sequence[str], catalogue: _Catalogue) -> dict[str, str]:
    """Label -> the name that the library takes.

    Raises:
        ConfigError: every voice that it does not know, or that is named twice.
    """
    names: dict[str, str] = {}
    problems: list[str] = []
    for voice in voices:
        language, plus, variant = voice.partition("+")
        if language.lower() not in catalogue.languages:
            problems.append(_unknown("language", language, voice, catalogue.languages))
        elif plus and variant not in catalogue.variants:
            problems.append(_unknown("variant", variant, voice, catalogue.variants))
        elif (label := language.lower() + plus + variant) in names:
            problems.append(f"synthesis.voices: {label} is named twice")
        else:
            names[label] = catalogue.languages[language.lower()] + plus + variant
    if problems:
        raise ConfigError(problems)
    return names


def _unknown(what: str, name: str, voice: str, known: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=8, cutoff=0.4) or sorted(known)[:12]
    return f"synthesis.voices: {voice}: espeak-ng knows no {what} {name!r}; of its {len(known)}: {', '.join(near)}"
