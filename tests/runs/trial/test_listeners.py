"""Models kept in memory hear what the transcription hears; one that is gone is told, and the others go on."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from commands import record

from asr_tv.data.corpora.local import opened
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.decoding.hypotheses import hypotheses_file, read_hypotheses
from asr_tv.decoding.options import decoding_for
from asr_tv.decoding.transcribe import transcribe
from asr_tv.errors import DataError
from asr_tv.models.locate import resolve_model
from asr_tv.runs.trial.clips import read_clip
from asr_tv.runs.trial.listeners import loaded
from asr_tv.runs.trial.sides import Side
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime
from asr_tv.testing.ctc import tiny_ctc
from asr_tv.testing.whisper import tiny_whisper

SETTINGS = {"audio_context": "full", "language": "en"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listeners")
    tiny_whisper(folder / "whisper")
    tiny_ctc(folder / "ctc")
    record(folder / "clip.wav", 1.5)
    (folder / "terms.txt").write_text("parcel\n")
    return folder


def side(place: Path, name: str, terms: bool = False) -> Side:
    return Side(name, str(place / name), SETTINGS, place / "terms.txt" if terms else None)


def test_both_families_hear_what_the_transcription_hears(place: Path) -> None:
    store = Store(place / "store")
    utterance = Utterance("clip", "", audio=str(place / "clip.wav"))
    manifest = opened(Manifest("clips", (utterance,)))
    with loaded([side(place, "whisper"), side(place, "ctc")], store) as listeners:
        answers = listeners.listen(read_clip(place / "clip.wav"))
    for answer, family in zip(answers, ("whisper", "ctc"), strict=True):
        base = resolve_model(str(place / family), store)
        decoding = decoding_for("full", "en", 200, "auto", family)  # type: ignore[arg-type]
        record = transcribe(Runtime(store), base, manifest, decoding)
        assert answer.text == read_hypotheses(record.path / hypotheses_file())["clip"].strip()
        assert (answer.model, answer.problem) == (base.digest, "")
        assert answer.seconds > 0


def test_a_model_that_was_collected_is_told_and_the_other_is_heard(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "whisper", tmp_path / "kept")
    sides = [side(tmp_path, "kept", terms=False), side(tmp_path, "gone")]
    with loaded(sides, Store(place / "store")) as listeners:
        kept, gone = listeners.listen(read_clip(place / "clip.wav"))
    assert not kept.problem
    assert gone.problem == f"this model cannot be loaded: {tmp_path}/gone: no such file or directory"


def test_terms_are_for_whisper_and_a_ctc_model_says_so(place: Path) -> None:
    with loaded([side(place, "whisper", terms=True), side(place, "ctc", terms=True)], Store(place / "store")) as found:
        whisper, ctc = found.listen(read_clip(place / "clip.wav"))
    assert not whisper.problem
    assert "are for Whisper; this is a CTC model" in ctc.problem


def test_no_model_at_all_is_refused_with_every_reason(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError) as caught,
        loaded([side(tmp_path, "a"), side(tmp_path, "b")], Store(tmp_path / "store")),
    ):
        pass
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["a", "b"]


def test_a_recording_that_went_away_is_a_line_in_the_answer(place: Path, tmp_path: Path) -> None:
    shutil.copy(place / "clip.wav", tmp_path / "brief.wav")
    clip = read_clip(tmp_path / "brief.wav")
    (tmp_path / "brief.wav").unlink()
    with loaded([side(place, "whisper")], Store(place / "store")) as listeners:
        assert "no such recording" in listeners.listen(clip)[0].problem


def test_two_visitors_at_once_get_their_own_answers(place: Path, tmp_path: Path) -> None:
    clips = [read_clip(record(tmp_path / f"{n}.wav", 0.5 + n / 2)) for n in range(3)]
    with loaded([side(place, "whisper"), side(place, "ctc")], Store(place / "store")) as listeners:
        alone = [[answer.text for answer in listeners.listen(clip)] for clip in clips]
        with ThreadPoolExecutor(3) as pool:
            together = [[a.text for a in answers] for answers in pool.map(listeners.listen, clips)]
    assert together == alone
