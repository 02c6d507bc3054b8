"""docs/formats.md says what is read: its table is compared with the readers."""

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile

from asr_tv.audio.recordings import MAX_SECONDS, RATES, SUFFIXES, audio_duration, read_audio
from asr_tv.config.corpora import CorpusConfig
from asr_tv.data import manifest
from asr_tv.data.corpora.texts import MAX_CHARACTERS, MAX_WORDS
from asr_tv.data.manifest import Utterance
from asr_tv.models.ctranslate2 import _BINARY_VERSIONS
from asr_tv.models.family import CTC_TYPES

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")][
    1:
]
AUDIO = {row[2]: row[1].split() for row in ROWS if row[0] == "audio" and "folders" not in row[1]}


def test_every_suffix_of_audio_stands_there_once() -> None:
    listed = [f".{suffix}" for suffixes in AUDIO.values() for suffix in suffixes]
    assert sorted(listed) == sorted(SUFFIXES)


FORMATS = {"wav": "WAV", "flac": "FLAC", "ogg": "OGG", "opus": "OGG", "mp3": "MP3", "aiff": "AIFF", "au": "AU"}
FORMATS |= {"w64": "W64", "rf64": "RF64", "caf": "CAF", "voc": "VOC", "sph": "NIST"}


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_libsndfile_is_said_to_read_is_read(tmp_path: Path, suffix: str) -> None:
    assert suffix in AUDIO["libsndfile"]
    path = tmp_path / f"a.{suffix}"
    subtype = "OPUS" if suffix == "opus" else None
    soundfile.write(path, np.zeros(16_000) + 0.1, 16_000, format=FORMATS[suffix], subtype=subtype)
    assert read_audio(path).size == pytest.approx(16_000, abs=10)
    assert audio_duration(path) == pytest.approx(1.0, abs=0.01)


def test_every_kind_of_corpus_stands_there() -> None:
    kinds = re.findall(r"kind `(\w+)`:", PAGE)
    assert sorted(kinds) == sorted(get_args(CorpusConfig.model_fields["kind"].annotation))


def test_keys_of_manifests() -> None:
    refused = manifest._PLACES | manifest._OTHER_SOUND
    paragraph = PAGE.partition("are not honoured are refused:")[2].partition(". Other")[0]
    assert set(re.findall(r"`(\w+)`", paragraph)) == refused
    (row,) = [row for row in ROWS if row[1].startswith("kind `manifest`")]
    assert set(Utterance.__dataclass_fields__) == set(re.findall(r"\w+", row[3].partition(", and")[0]))


def test_limits() -> None:
    (sound,) = [row for row in ROWS if row[2] == "libsndfile"]
    assert sound[3].startswith(f"{MAX_SECONDS / 3600:g} hours, {RATES[0] // 1000} to {RATES[1] // 1000} kHz")
    assert f"{MAX_WORDS} words and {MAX_CHARACTERS} characters" in PAGE
    assert f"versions {min(_BINARY_VERSIONS)} to {max(_BINARY_VERSIONS)}" in PAGE
    assert all(kind in PAGE for kind in CTC_TYPES)
