"""Corrections as a file: round trip, what is refused, and that adding loses nothing."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_tv.data.corrections import (
    Correction,
    add_correction,
    correction_of,
    format_correction,
    latest,
    parse_corrections,
    read_corrections,
)
from asr_tv.errors import DataError

TEXT = st.text(st.characters(exclude_characters="\0<", exclude_categories=["Cs"]))
WRONG = Correction("a.wav", "a", "the cat sad", False, "the cat sat", "d0", "2026-11-30T10:00:00+00:00")
ROW = json.loads(format_correction(WRONG))


@given(heard=TEXT, text=TEXT, right=st.booleans(), at=st.datetimes())
def test_parsing_is_the_inverse_of_writing(heard: str, text: str, right: bool, at: Any) -> None:
    row = replace(WRONG, heard=heard, text=heard if right else text, right=right, at=at.isoformat())
    assert parse_corrections(format_correction(row), "c") == (row,)


def test_a_confirmed_hypothesis_is_its_own_text() -> None:
    row = {key: value for key, value in ROW.items() if key != "text"} | {"right": True, "unknown": 1}
    assert parse_corrections(json.dumps(row), "c")[0].text == WRONG.heard


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"right": "yes"}, "neither true nor false"),
        ({"right": None}, "right is missing"),
        ({"text": None}, "text is missing"),
        ({"id": " "}, "id is empty"),
        ({"heard": 3}, "heard is not text"),
        ({"right": True}, "right is true, and text differs"),
        ({"at": "yesterday"}, "yesterday"),
        ({"text": "<|endoftext|>"}, "control token"),
        ({"text": "\ud800"}, "surrogates"),
    ],
)
def test_a_line_that_is_no_correction_is_named(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_corrections("\n" + json.dumps(ROW | change) + "\nnot json\n", "c.jsonl")
    assert [line.partition(": ")[0] for line in caught.value.problems] == ["c.jsonl:2", "c.jsonl:3"]
    assert problem in caught.value.problems[0]


def test_added_lines_survive_each_other_and_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "corrections.jsonl"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: add_correction(path, replace(WRONG, id=str(n))), range(20)))
    assert {row.id for row in read_corrections(path)} == {str(n) for n in range(20)}
    path.write_text(format_correction(WRONG) + '{"audio": "b', encoding="utf-8")
    add_correction(path, replace(WRONG, id="after"))
    with pytest.raises(DataError, match=r"corrections.jsonl:2"):
        read_corrections(path)
    assert parse_corrections(path.read_text(encoding="utf-8").split("\n")[2], "c")[0].id == "after"


def test_the_second_correction_of_an_utterance_counts() -> None:
    assert latest((WRONG, replace(WRONG, text="the cat sits")))["a"].text == "the cat sits"
    assert correction_of(**ROW) == WRONG
