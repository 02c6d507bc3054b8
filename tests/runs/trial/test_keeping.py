"""Corrections, recordings and consent as files that other commands read."""

import json
from pathlib import Path

import pytest
from commands import record

from asr_tv.data.corpora.local import read_manifest
from asr_tv.data.corrections import read_corrections
from asr_tv.errors import DataError
from asr_tv.runs.trial.clips import VisitorClip, read_clip
from asr_tv.runs.trial.keeping import STATEMENT, Keeper
from asr_tv.runs.trial.listeners import SideAnswer

ANSWER = SideAnswer("adapted", "press bound", 0.4, "d0")


@pytest.fixture
def clip(tmp_path: Path) -> VisitorClip:
    return read_clip(record(tmp_path / "audio.wav"))


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")}


def test_without_consent_only_the_words_are_kept(tmp_path: Path, clip: VisitorClip) -> None:
    keeper = Keeper(tmp_path / "kept", "voicemail")
    keeper.keep(clip, ANSWER, " press pound ", consent=False)
    assert files(tmp_path / "kept") == {"corrections.jsonl"}
    (row,) = read_corrections(tmp_path / "kept" / "corrections.jsonl")
    assert (row.audio, row.id, row.model) == ("audio.wav", clip.digest, "d0")
    assert (row.heard, row.right, row.text) == ("press bound", False, "press pound")


def test_what_was_right_is_its_own_text(tmp_path: Path, clip: VisitorClip) -> None:
    assert Keeper(tmp_path).keep(clip, ANSWER, ANSWER.text, consent=False).right


def test_with_consent_the_recording_is_a_line_of_a_manifest(tmp_path: Path, clip: VisitorClip) -> None:
    keeper = Keeper(tmp_path / "kept", "voicemail")
    row = keeper.keep(clip, ANSWER, "press pound", consent=True)
    (utterance,) = read_manifest(tmp_path / "kept" / "recordings.jsonl")
    assert (utterance.text, utterance.domain, utterance.id) == ("press pound", "voicemail", clip.digest)
    assert utterance.audio == str(tmp_path / "kept" / row.audio)
    assert read_clip(tmp_path / "kept" / row.audio).digest == clip.digest
    consent = json.loads((tmp_path / "kept" / "consent.jsonl").read_text())
    assert consent == {"id": clip.digest, "audio": row.audio, "consent": STATEMENT, "at": row.at}


def test_a_second_correction_of_a_recording_replaces_its_text(tmp_path: Path, clip: VisitorClip) -> None:
    keeper = Keeper(tmp_path)
    other = read_clip(record(tmp_path / "other.wav", 1.3))
    for said, heard in (("press", clip), ("hello", other), ("press pound", clip)):
        keeper.keep(heard, ANSWER, said, consent=True)
    assert [u.text for u in read_manifest(tmp_path / "recordings.jsonl")] == ["press pound", "hello"]
    assert len(read_corrections(tmp_path / "corrections.jsonl")) == 3
    assert len((tmp_path / "consent.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(("said", "problem"), [("  ", "empty"), ("<|endoftext|>", "control token")])
def test_what_no_correction_may_hold_is_refused_before_anything_is_written(
    tmp_path: Path, clip: VisitorClip, said: str, problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        Keeper(tmp_path / "kept").keep(clip, ANSWER, said, consent=True)
    assert not (tmp_path / "kept").exists()
