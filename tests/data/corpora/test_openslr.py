"""LibriSpeech and speechocean762, written here as their archives unpack."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora import load_corpus, stored_manifest
from asr_tv.errors import DataError
from asr_tv.store.results import Record, Store
from asr_tv.store.runtime import Runtime


def tone(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.sin(np.arange(16_000) / 9).astype(np.float32) / 2, 16_000)


def librispeech(folder: Path) -> Path:
    for part, speaker in (("dev-clean", "84"), ("test-other", "1688")):
        chapter = folder / part / speaker / "7"
        for number, text in enumerate(("A MAN'S HAT", "GO ON")):
            tone(chapter / f"{speaker}-7-000{number}.flac")
            with (chapter / f"{speaker}-7.trans.txt").open("a") as file:
                file.write(f"{speaker}-7-000{number} {text}\n")
    return folder


def speechocean(folder: Path, age: str = "15") -> Path:
    for part, speaker, years in (("train", "0001", age), ("test", "0003", "16")):
        audio = f"WAVE/SPEAKER{speaker}/{speaker}0011.WAV"
        tone(folder / audio)
        lines = {
            "wav.scp": f"{speaker}0011\t{audio}\n",
            "text": f"{speaker}0011\tMARK IS HERE\n",
            "utt2spk": f"{speaker}0011 {speaker}\n",
            "spk2age": f"{speaker} {years}\n",
        }
        (folder / part).mkdir()
        for name, line in lines.items():
            (folder / part / name).write_text(line)
    return folder


def loaded(folder: Path, **values: Any) -> Record:
    return load_corpus(
        Runtime(Store(folder.parent / "store")), CorpusConfig(kind="openslr", path=str(folder), **values)
    )


def test_librispeech_has_its_parts_for_domains(tmp_path: Path) -> None:
    record = loaded(librispeech(tmp_path / "LibriSpeech"))
    assert [(u.id, u.text, u.domain, u.speaker, u.duration) for u in stored_manifest(record)] == [
        ("84-7-0000", "a man's hat", "dev-clean", "84", 1.0),
        ("84-7-0001", "go on", "dev-clean", "84", 1.0),
        ("1688-7-0000", "a man's hat", "test-other", "1688", 1.0),
        ("1688-7-0001", "go on", "test-other", "1688", 1.0),
    ]
    assert record.details["licence"] == "CC BY 4.0"


def test_a_part_of_librispeech_and_one_that_is_not_there(tmp_path: Path) -> None:
    folder = librispeech(tmp_path / "LibriSpeech")
    assert stored_manifest(loaded(folder, splits=["test-other"])).domains == ("test-other",)
    with pytest.raises(DataError, match="no part dev-other"):
        loaded(folder, splits=["dev-other"])


def test_speechocean_has_children_and_adults_in_their_parts(tmp_path: Path) -> None:
    manifest = stored_manifest(loaded(speechocean(tmp_path / "speechocean762")))
    assert [(u.id, u.text, u.domain, u.speaker, u.split) for u in manifest] == [
        ("00010011", "mark is here", "child", "0001", "train"),
        ("00030011", "mark is here", "adult", "0003", "test"),
    ]


def test_what_is_neither_and_what_lacks_an_age_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"neither LibriSpeech .* nor speechocean762"):
        loaded(tmp_path / "empty")
    with pytest.raises(DataError, match="00010011: no speaker or no age"):
        loaded(speechocean(tmp_path / "speechocean762", age="unknown"))


def test_a_changed_listing_is_another_corpus(tmp_path: Path) -> None:
    folder = speechocean(tmp_path / "speechocean762")
    before = loaded(folder).key
    (folder / "train" / "spk2age").write_text("0001 17\n")
    assert loaded(folder).key != before
