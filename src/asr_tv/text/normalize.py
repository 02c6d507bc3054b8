"""Named text normalisers, applied to references and hypotheses alike: Whisper's English and basic ones, and none."""

import hashlib
import importlib.util
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from asr_tv.errors import ConfigError

CHARACTERS = "characters"
NAMES = ("english", "basic", "characters", "none")

_ALIAS = "_asr_tv_whisper_normalizers"
_PROBES = (
    "Hello, World!",
    "  two   spaces\tand a tab ",
    "What's up? I can't, won't and it'd've been gone.",
    "Mr. Smith paid $20 million on the 21st of May, 1960s style",
    "one oh one, twenty five, two and a half, 1,234.5 %",
    "the colour of the theatre's centre",
    "um, uh [noise] <music> (aside) hmm",
    "Ça va? Straße, naïve œuvre, Łódź",
    "Привет, ¿qué tal? 你好。",
    "...",
    "",
    "don’t can\u02bct it\uff07s “so”",
    "cafe\u0301 de\u0301ja\u0300, co\u00adoperate \ufeffx\u200b",
    "प्राचीन संस्कृतियों और जनजातियों, ภาษาไทย မြန်မာ",
)


@dataclass(frozen=True)
class Normalizer:
    """A normaliser to words separated by single spaces, with the name and version that scores state.

    The version is that of the package, with 12 hexadecimal digits of the sha256 of its outputs for fixed probes.
    """

    name: str
    version: str
    apply: Callable[[str], str]

    def __call__(self, text: str) -> str:
        return self.apply(text)


def sentence_normalizer(language: str) -> str:
    """Which normaliser decides whether two texts are one sentence, whatever scores are normalised by."""
    return "english" if language == "en" else "basic"


@cache
def get_normalizer(name: str) -> Normalizer:
    """The normaliser of that name; `none` only collapses white space.

    The others are those of openai-whisper, with their quirks, so that scores are comparable with published ones:
    `english` turns "five o'clock" into "50 clock", and "..." into ".". `characters` is `basic` with each letter as a
    word, for languages that are written without spaces: its WER is a CER. Two things differ, and are in the version:
    all of them take typographic apostrophes and Unicode's several forms of a letter as equal, and vowel signs, as of
    Brahmic scripts, end no word.

    Raises:
        ConfigError: the name is not one of `NAMES`.
    """
    if name not in NAMES:
        raise ConfigError(f"unknown normalizer {name!r}; one of {', '.join(NAMES)}")
    if name == "none":
        return _versioned(name, "asr-tv", collapse_whitespace)
    package = f"openai-whisper-{metadata.version('openai-whisper')}"
    whisper: Any = _whisper_normalizers()
    if name == "english":
        return _versioned(name, package, whisper.EnglishTextNormalizer())
    basic = whisper.BasicTextNormalizer(split_letters=name == CHARACTERS)
    basic.clean = _without_symbols
    return _versioned(name, package, basic)


def _without_symbols(text: str) -> str:
    """As openai-whisper's `remove_symbols`, which however puts a space in the place of every combining mark, too."""
    composed = unicodedata.normalize("NFKC", text)
    return "".join(" " if unicodedata.category(c)[0] in "SP" else c for c in composed)


_FORMS = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201b\u02bc\u02bb\uff07", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f", '"'),
        **dict.fromkeys("\u00ad\u200b\u200e\u200f\u2060\ufeff"),
    }
)
"""Typographic apostrophes and quotes as typewriters have them; without hyphenation points and invisible marks."""


def one_form(text: str) -> str:
    """The text in the one of its equivalent Unicode forms that is compared (NFC, with plain apostrophes)."""
    return unicodedata.normalize("NFC", text.translate(_FORMS))


def collapse_whitespace(text: str) -> str:
    """The text with single spaces between words and none at the ends."""
    return " ".join(text.split())


def _versioned(name: str, package: str, clean: Callable[[str], str]) -> Normalizer:
    def apply(text: str) -> str:
        return collapse_whitespace(clean(one_form(text)))

    outputs = "\n".join(apply(probe) for probe in _PROBES)
    return Normalizer(name, f"{package}+{hashlib.sha256(outputs.encode()).hexdigest()[:12]}", apply)


def _whisper_normalizers() -> ModuleType:
    """`whisper.normalizers` without its parent package, which takes seconds to import because it imports torch."""
    if _ALIAS in sys.modules:
        return sys.modules[_ALIAS]
    parent = importlib.util.find_spec("whisper")
    found = PathFinder.find_spec("normalizers", parent.submodule_search_locations) if parent else None
    if found is None or found.origin is None:
        raise ConfigError("the normalizers english and basic need the package openai-whisper, which is not installed")
    folder = str(Path(found.origin).parent)
    spec = importlib.util.spec_from_file_location(_ALIAS, found.origin, submodule_search_locations=[folder])
    if spec is None or spec.loader is None:
        raise ConfigError(f"{found.origin}: not a Python package")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_ALIAS] = module  # before execution, for its own relative imports
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[_ALIAS]
        raise
    return module
