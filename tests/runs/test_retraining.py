"""A followed folder: what is trained on and what judges, when a tuned model is promoted, and that nothing is lost."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr_tv.audio.recordings import Wave, write_audio
from asr_tv.data.corrections import Correction, add_correction
from asr_tv.data.manifest import Utterance
from asr_tv.errors import DataError
from asr_tv.models.locate import resolve_model
from asr_tv.runs import retraining
from asr_tv.runs.following import Follower, divided, recovered
from asr_tv.runs.promotion import CURRENT
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime
from asr_tv.streaming.learners import Retraining
from asr_tv.streaming.specs import Setup
from asr_tv.testing.whisper import tiny_whisper
from asr_tv.text.normalize import get_normalizer

NONE = get_normalizer("none")
SAID = [f"sentence number {n} of many" for n in range(24)]


class Ear:
    """Hears the number that is planted as the first sample, rightly or not."""

    def __init__(self, *, right: bool) -> None:
        self._right = right

    def __call__(self, wave: Wave) -> Any:
        number = round(float(np.abs(wave).max()) * 100) - 1
        text = SAID[number] if self._right else f"sentence number {number} of few"
        return type("Sound", (), {"no_speech": 0.0, "text": lambda *_, **__: (text, 0.0)})()


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    folder = tmp_path / "calls"
    folder.mkdir()
    for number in range(len(SAID)):
        write_audio(folder / f"{number:02}.wav", np.full(800, (number + 1) / 100, np.float32), 16_000)
    return folder


def correct(calls: Path, numbers: range, heard: str = "few") -> None:
    for n in numbers:
        row = Correction(f"{n:02}.wav", f"{n:02}.wav", f"sentence {heard}", False, SAID[n], "m", "2026-11-30T10:00:00")
        add_correction(calls / "corrections.jsonl", row)


@pytest.fixture
def follow(calls: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., retraining.Followed]:
    """A look with ears that are planted: of the model in use, and of the tuned one."""
    runtime = Runtime(Store(calls.parent / "store"), device="cpu")
    model = str(tiny_whisper(calls.parent / "w"))
    base = resolve_model(model, runtime.store)
    trained = []

    def tuned(_: Any, __: Any, verified: Any, *___: Any) -> Any:
        trained.append(len(verified))
        return replace(base, digest=f"tuned on {len(verified)}")

    monkeypatch.setattr(retraining, "tuned", tuned)

    def look(before: bool, after: bool, *, retrain: bool = True) -> retraining.Followed:
        monkeypatch.setattr(retraining, "shared_ear", lambda *_: Ear(right=before))
        monkeypatch.setattr(retraining, "loader", lambda *_: lambda _: Ear(right=after))
        setup = Setup(retraining=Retraining(every=4))
        out = calls.parent / "out"
        return retraining.follow_once(runtime, model, calls, out, setup, NONE, retrain=retrain)

    return look


class TestPromotion:
    def test_a_better_model_becomes_current_and_is_not_made_twice(
        self, calls: Path, follow: Callable[..., retraining.Followed]
    ) -> None:
        assert follow(False, True).promotion is None  # nothing verified yet
        correct(calls, range(24))
        done = follow(False, True)
        train, judges = divided(done.look.verified)
        assert len(train) + len(judges) == 24
        assert len(judges) > 0
        assert done.trained_on == len(train) // 4 * 4
        assert done.promotion is not None
        assert done.promotion.promoted
        report = json.loads((calls.parent / "out" / CURRENT / "report.json").read_text())
        assert report["systems"][0]["wer"] == 0
        assert report["ledger"]["learnt_from_feedback"][0]["utterances"] == done.trained_on
        assert follow(True, True).promotion is None

    def test_a_model_that_a_kill_left_unjudged_is_judged(
        self, calls: Path, follow: Callable[..., retraining.Followed], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        correct(calls, range(24))
        with monkeypatch.context() as killed:
            killed.setattr(retraining, "promote", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                follow(False, True)
        promotion = follow(False, True).promotion
        assert promotion is not None
        assert promotion.promoted

    def test_a_worse_model_is_refused(self, calls: Path, follow: Callable[..., retraining.Followed]) -> None:
        correct(calls, range(24))
        done = follow(True, False)
        assert done.promotion is not None
        assert not done.promotion.promoted
        assert "held-out verified recordings" in done.promotion.reason
        assert not (calls.parent / "out" / CURRENT).exists()

    def test_without_being_asked_nothing_is_trained(
        self, calls: Path, follow: Callable[..., retraining.Followed]
    ) -> None:
        correct(calls, range(24))
        assert follow(False, True, retrain=False).promotion is None


def test_no_sentence_is_trained_on_and_judges() -> None:
    rows = [Utterance(f"{n}", SAID[n % 12].upper() if n > 12 else SAID[n % 12]) for n in range(24)]
    train, judges = divided(rows)
    assert {u.text.lower() for u in train}.isdisjoint({u.text.lower() for u in judges})


class TestJournal:
    def test_a_killed_follower_hears_the_rest_and_mends_a_torn_line(self, calls: Path, tmp_path: Path) -> None:
        out = tmp_path / "f"
        follower = Follower(calls, out, Ear(right=False), "m", NONE)
        assert len(follower.look().heard) == 24
        journal = out / "journal.jsonl"
        lines = journal.read_text().splitlines(keepends=True)
        journal.write_text("".join(lines[:10]) + lines[10][:25])
        assert len(Follower(calls, out, Ear(right=False), "m", NONE).look().heard) == 14
        assert len(recovered(journal)) == 24
        assert len((out / "hyp.jsonl").read_text().splitlines()) == 24

    def test_a_line_damaged_before_the_end_is_refused(self, calls: Path, tmp_path: Path) -> None:
        out = tmp_path / "f"
        Follower(calls, out, Ear(right=False), "m", NONE).look()
        journal = out / "journal.jsonl"
        journal.write_text("{}\n" + journal.read_text())
        with pytest.raises(DataError, match=r"journal\.jsonl:1"):
            Follower(calls, out, Ear(right=False), "m", NONE).look()

    def test_a_recording_that_changed_is_heard_again(self, calls: Path, tmp_path: Path) -> None:
        out = tmp_path / "f"
        Follower(calls, out, Ear(right=True), "m", NONE).look()
        write_audio(calls / "00.wav", np.full(800, 0.05, np.float32), 16_000)
        (again,) = Follower(calls, out, Ear(right=True), "m", NONE).look().heard
        assert again.text == SAID[4]

    def test_confirmed_hypotheses_are_verified_and_teach_no_term(self, calls: Path, tmp_path: Path) -> None:
        right = Correction("03.wav", "03.wav", SAID[3], True, SAID[3], "m", "2026-11-30T10:00:00")
        add_correction(calls / "corrections.jsonl", right)
        look = Follower(calls, tmp_path / "f", Ear(right=True), "m", NONE).look()
        assert [u.text for u in look.verified] == [SAID[3]]
        assert look.terms == ()
