"""Descriptions as JSON and in a line, what classifiers say, and answers that are kept."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_tv.audio.attributes import NAMES, Attributes
from asr_tv.audio.recordings import Wave
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.describing.answers import answered
from asr_tv.describing.cascade import answer_tasks
from asr_tv.describing.describers import CLASSIFIED, UNKNOWN, classify
from asr_tv.describing.description import Description, format_descriptions, parse_descriptions, seed_transcript
from asr_tv.describing.targets import write_targets
from asr_tv.errors import DataError
from asr_tv.progress import silent

MEASURED = Attributes(4.6, 3.9, 3.84, 15.2, -19.3, 12.2, 97.0, 8.1, 2055.0, 3875.0, 0.4)
ONE = Description("a", "How are you", "calls", MEASURED)
number = st.none() | st.floats(-1e4, 1e4).map(lambda value: round(value, 4))


class TestLine:
    def test_the_form_of_desta2(self) -> None:
        assert seed_transcript(ONE) == (
            "[00:00:00 - 00:00:05] How are you (Duration: 4.6 s, Pitch: low (97 Hz), Speed: 3.8 words/s, "
            "Volume: -19 dBFS, SNR: 12 dB, Gender: unknown, Age: unknown, Accent: unknown, Emotion: unknown, "
            "Intent: unknown, C50: unknown)"
        )

    def test_what_is_not_known_is_unknown(self) -> None:
        line = seed_transcript(Description("a", "", "calls", Attributes(3725.0)))
        assert line.startswith("[00:00:00 - 01:02:05] (Duration: 3725.0 s, Pitch: unknown, Speed: unknown")

    @pytest.mark.parametrize(("hertz", "name"), [(97, "low"), (170, "medium"), (220, "high")])
    def test_pitch_in_words(self, hertz: float, name: str) -> None:
        assert f"Pitch: {name} ({hertz} Hz)" in seed_transcript(replace(ONE, attributes=Attributes(1.0, f0_hz=hertz)))


@given(st.tuples(*[number] * (len(NAMES) - 1)), st.text().filter(lambda t: t.isprintable()))
def test_rows_come_back(rest: tuple[float | None, ...], text: str) -> None:
    described = (Description("a", text, "d", Attributes(1.5, *rest)),)
    assert parse_descriptions(format_descriptions(described)) == described


def test_a_row_of_another_form_is_refused() -> None:
    with pytest.raises(DataError, match="not a description"):
        parse_descriptions('{"id": "a"}')


class Woman:
    version = "1"

    def describe(self, wave: Wave, sampling_rate: int) -> dict[str, str]:  # noqa: ARG002
        return {"gender": "female", "shoes": "red"}


class Somebody(Woman):
    def describe(self, wave: Wave, sampling_rate: int) -> dict[str, str]:  # noqa: ARG002
        return {"gender": "other", "age": "adult", "emotion": ""}


def test_what_classifiers_say_and_nothing_beyond_the_known_attributes() -> None:
    wave: Wave = None  # type: ignore[assignment]
    assert classify({}, wave, 16_000) == dict.fromkeys(CLASSIFIED, UNKNOWN)
    said = classify({"b": Somebody(), "a": Woman()}, wave, 16_000)
    assert said == {**dict.fromkeys(CLASSIFIED, UNKNOWN), "gender": "female", "age": "adult"}


class Parrot:
    """A language model that repeats its prompt, and breaks down after some answers."""

    name = "parrot"

    def __init__(self, answers: int = 100) -> None:
        self.left, self.prompts = answers, list[str]()

    def answer(self, prompt: str, seed: int) -> str:  # noqa: ARG002
        if not self.left:
            raise DataError("broke down")
        self.left -= 1
        self.prompts.append(prompt)
        return f"heard: {prompt[:5]}"


class TestAnswers:
    def test_a_call_that_broke_down_goes_on_where_it_was(self, tmp_path: Path) -> None:
        out, rows = tmp_path / "out.jsonl", [{"id": str(n)} for n in range(4)]
        prompts = [f"{n}____" for n in range(4)]
        with pytest.raises(DataError, match="broke down"):
            answered(rows, prompts, Parrot(2), out, silent)
        out.write_text(out.read_text() + '{"id": "2", "tar')  # a line that a kill cut off
        later = Parrot()
        found = answered(rows, prompts, later, out, silent)
        assert later.prompts == ["2____", "3____"]
        assert [row["target"] for row in found] == [f"heard: {n}____" for n in range(4)]
        assert [json.loads(line) for line in out.read_text().splitlines()] == found

    def test_another_file_is_not_overwritten(self, tmp_path: Path) -> None:
        out = tmp_path / "out.jsonl"
        out.write_text("my notes\nmore of them\n")
        with pytest.raises(DataError, match=r"out.jsonl:1: not an answer"):
            answered([{"id": "a"}], ["p"], Parrot(), out, silent)
        assert out.read_text().startswith("my notes")

    def test_targets_hold_audio_question_and_answer(self, tmp_path: Path) -> None:
        clips = Manifest("clips", (Utterance("a", "How are you", audio="/a.wav"),))
        parrot = Parrot()
        assert write_targets([ONE], clips, "What can you hear?", parrot, tmp_path / "t.jsonl", silent) == 1
        row = json.loads((tmp_path / "t.jsonl").read_text())
        assert (row["audio"], row["instruction"]) == ("/a.wav", "What can you hear?")
        assert row["seed_transcript"] == seed_transcript(ONE)
        assert parrot.prompts == [f"{seed_transcript(ONE)}\n\nWhat can you hear?"]

    def test_a_task_s_prompt_offers_its_options(self, tmp_path: Path) -> None:
        parrot = Parrot()
        asked = {"q": ("a", "Is it loud?", ("yes", "no"))}
        assert answer_tasks(asked, [ONE], parrot, tmp_path / "t.jsonl", silent) == {"q": "heard: [00:0"}
        assert parrot.prompts[0].endswith("Is it loud? Choose one answer from: yes; no. Answer with it alone.")
