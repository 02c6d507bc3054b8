"""Agents on a recogniser whose errors are known: what each must reach, that gold cannot leak, that nothing is lost."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.streaming.agents import Corrections, Frozen, Remembering
from asr_tv.streaming.harness import Teaching, play
from asr_tv.streaming.journal import Turn, digest, format_turn, parse_turn, recovered
from asr_tv.streaming.memory import TermList
from asr_tv.streaming.turns import Answer, Corrected, Feedback, HeardTurn, Judged, Listener, is_asked, teach
from asr_tv.testing.streams import CONFUSABLE, FakeEar, fake_stream, fake_wave
from asr_tv.text.normalize import get_normalizer

NONE = get_normalizer("none")
STREAM = fake_stream()
CORRECTED, RIGHT_WRONG = Teaching("corrected"), Teaching("right-wrong")


class Oracle:
    """Knows the texts by the turn's number, as no agent of the program does."""

    def answer(self, heard: HeardTurn) -> Answer:
        return Answer(STREAM.utterances[heard.number].text)

    def learn(self, heard: HeardTurn, answer: Answer, feedback: Feedback) -> None: ...

    def catch_up(self, heard: HeardTurn) -> None: ...


def played(
    listener: Listener, folder: Path, teaching: Teaching = CORRECTED, stream: Manifest = STREAM, name: str = "j"
) -> list[Turn]:
    return play(listener, stream, fake_wave, teaching, NONE, folder / f"{name}.jsonl")


def percent(turns: list[Turn]) -> float:
    return round(100 * sum(t.errors for t in turns) / sum(t.words for t in turns), 1)


MADE: dict[str, tuple[Callable[[], Listener], Teaching, float]] = {
    "frozen": (lambda: Frozen(FakeEar()), CORRECTED, 20.0),
    "corrections": (lambda: Corrections(FakeEar(), NONE), CORRECTED, 2.0),
    "corrections that are not told": (lambda: Corrections(FakeEar(), NONE), RIGHT_WRONG, 20.0),
    "corrections, never asked": (lambda: Corrections(FakeEar(), NONE), replace(CORRECTED, ask=0.0), 20.0),
    "glossary": (lambda: Frozen(FakeEar(), CONFUSABLE), CORRECTED, 0.0),
    "remember-right": (lambda: Remembering(FakeEar(), "right"), RIGHT_WRONG, 20.0),
    "remember-wrong": (lambda: Remembering(FakeEar(), "wrong"), RIGHT_WRONG, 20.0),
    "gold": (Oracle, CORRECTED, 0.0),
}


@pytest.mark.parametrize("name", MADE)
def test_each_agent_reaches_what_it_must(name: str, tmp_path: Path) -> None:
    make, teaching, expected = MADE[name]
    assert percent(played(make(), tmp_path, teaching)) == expected


def test_remembering_wrong_answers_hurts_a_recogniser_that_echoes_its_prompt(tmp_path: Path) -> None:
    assert percent(played(Remembering(FakeEar(echoes=True), "wrong"), tmp_path, RIGHT_WRONG)) > 20
    assert percent(played(Remembering(FakeEar(echoes=True), "right"), tmp_path, RIGHT_WRONG, name="r")) == 20.0


def test_without_feedback_every_agent_is_the_frozen_one_to_the_letter(tmp_path: Path) -> None:
    frozen = [t.answer.text for t in played(Frozen(FakeEar()), tmp_path)]
    for name, agent in (("c", Corrections(FakeEar(), NONE)), ("r", Remembering(FakeEar(), "all"))):
        assert [t.answer.text for t in played(agent, tmp_path, Teaching("none"), name=name)] == frozen


def test_past_answers_do_not_depend_on_the_future(tmp_path: Path) -> None:
    other = Manifest("other", (*STREAM.utterances[:40], *reversed(STREAM.utterances[40:])))
    one = played(Corrections(FakeEar(), NONE), tmp_path)
    two = played(Corrections(FakeEar(), NONE), tmp_path, stream=other, name="k")
    assert one[:40] == two[:40]


def reachable(value: Any, seen: set[int]) -> list[Any]:
    """Everything that an object holds, however deep."""
    if id(value) in seen or isinstance(value, type | str | bytes | int | float | type(None)):
        return [value]
    seen.add(id(value))
    inner: list[Any] = list(value.values()) if isinstance(value, dict) else []
    inner += list(value) if isinstance(value, list | tuple | set | frozenset) else []
    inner += list(getattr(value, "__dict__", {}).values())
    inner += [getattr(value, name) for name in getattr(type(value), "__slots__", ()) if hasattr(value, name)]
    return [value, *(found for part in inner for found in reachable(part, seen))]


@pytest.mark.parametrize("make", [lambda: Corrections(FakeEar(), NONE), lambda: Remembering(FakeEar(), "all")])
def test_no_gold_is_found_in_an_agent_that_is_told_right_or_wrong(make: Callable[[], Any], tmp_path: Path) -> None:
    marked = Manifest("m", tuple(replace(u, text=f"SENTINEL {u.text}", id=f"SENTINEL{u.id}") for u in STREAM))
    agent = make()
    journal = tmp_path / "j.jsonl"
    play(agent, marked, lambda u: fake_wave(replace(u, text=u.text[9:])), RIGHT_WRONG, NONE, journal)
    texts = [value for value in reachable(agent, set()) if isinstance(value, str)]
    assert not any("SENTINEL" in text for text in texts)
    assert "SENTINEL " not in journal.read_text(encoding="utf-8")  # only the ids, which no agent sees
    assert {field.name for field in fields(HeardTurn)} == {"number", "wave", "seconds"}


def test_silence_after_many_turns_yields_nothing_of_the_memory(tmp_path: Path) -> None:
    silence = Utterance("silence", "")
    stream = Manifest("s", (*STREAM.utterances[:20], silence))
    for number, agent in enumerate((Corrections(FakeEar(), NONE), Remembering(FakeEar(echoes=True), "all"))):
        last = played(agent, tmp_path, stream=stream, name=f"s{number}")[-1]
        assert last.answer.text == ""
        assert last.answer.notes["memory"] == "no speech"


_KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from asr_tv.streaming.agents import Corrections
from asr_tv.streaming.harness import Teaching, play
from asr_tv.testing.streams import FakeEar, fake_stream, fake_wave
from asr_tv.text.normalize import get_normalizer
normalize = get_normalizer("none")
agent = Corrections(FakeEar(killed_at=37), normalize)
play(agent, fake_stream(), fake_wave, Teaching("corrected"), normalize, Path({journal!r}))
"""


@pytest.mark.parametrize("torn", [False, True])
def test_a_stream_killed_at_turn_37_goes_on_to_the_same_digest(torn: bool, tmp_path: Path) -> None:
    journal = tmp_path / "killed.jsonl"
    code = _KILLED.format(tests=str(tmp_path), journal=str(journal))
    done = subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ), timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert len(recovered(journal)) == 37
    if torn:
        with journal.open("a", encoding="utf-8") as file:
            file.write('{"number": 37, "id": "u')
    whole = played(Corrections(FakeEar(), NONE), tmp_path)
    assert digest(played(Corrections(FakeEar(), NONE), tmp_path, name="killed")) == digest(whole)
    assert len(recovered(journal)) == len(STREAM)


def test_a_line_of_the_journal_is_read_as_it_was_written() -> None:
    for feedback in (Judged(True), Corrected("a b", False)):
        turn = Turn(3, "u", Answer("a", {"terms": 2}), 1, 2, feedback, 0.5)
        assert parse_turn(format_turn(turn)) == turn


@pytest.mark.parametrize(
    ("gold", "answer", "tolerance", "right"),
    [
        ("a b", "a b", 0.0, True),
        ("a b c d e f g h i j", "a b c d e f g h i x", 0.1, True),
        ("a b c d e f g h i j", "a b c d e f g h i x", 0.0, False),
        ("", "", 0.0, True),
        ("", "a", 1.0, False),
    ],
)
def test_right_is_told_by_words(gold: str, answer: str, tolerance: float, right: bool) -> None:
    assert teach("right-wrong", gold, answer, NONE, tolerance) == Judged(right)


def test_a_share_of_the_turns_is_asked_whoever_asks() -> None:
    asked = [is_asked(number, 0.1, 42) for number in range(5000)]
    assert 400 < sum(asked) < 600
    assert not any(is_asked(n, 0.0, 42) for n in range(100))
    assert all(is_asked(n, 1.0, 42) for n in range(100))
    assert asked[:10] == [is_asked(number, 0.1, 42) for number in range(10)]
    assert np.mean([is_asked(n, 0.1, 43) == asked[n] for n in range(5000)]) < 1


def test_a_lone_mark_is_no_word_to_expect() -> None:
    learnt = TermList().after("press the pound key . then 2", "press key then", turn=3)
    assert set(learnt.listed) == {"the", "pound", "2"}
