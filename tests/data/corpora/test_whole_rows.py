"""Readers of manifests take all of a row or refuse it: surplus, missing and quoted cells, keys that matter, no text."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from commands import Command, record, write_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora import load_corpus, stored_manifest
from asr_tv.data.corpora.audiofolder import read_audiofolder
from asr_tv.data.corpora.local import read_manifest
from asr_tv.data.corpora.tables import read_table
from asr_tv.data.manifest import Utterance, parse_manifest
from asr_tv.data.recorded import read_wave
from asr_tv.errors import DataError
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime

LAX = settings(deadline=None, suppress_health_check=list(HealthCheck))
cells = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(lambda t: t.strip())


def any_letter(row: list[str]) -> bool:
    return bool("".join(row).strip())


def ramp(path: Path, seconds: float = 3.0) -> Path:
    """A rising line, so that a part shows where it was cut."""
    soundfile.write(path, np.linspace(0, 0.9, round(seconds * 16_000), dtype=np.float32), 16_000)
    return path


@LAX
@given(rows=st.lists(st.tuples(cells, cells), max_size=6), delimiter=st.sampled_from(",;\t|"))
def test_tables_are_read_back_whatever_their_cells_hold(rows: list[tuple[str, str]], delimiter: str) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([("file_name", "transcription"), *rows])
    found, problems = read_table(text.getvalue(), Path("m.csv"), "file_name")
    assert problems == []
    assert [tuple(row.values()) for _, row in found] == rows


@LAX
@given(
    rows=st.lists(st.lists(st.text("abc ", min_size=1), min_size=1, max_size=4).filter(lambda r: "".join(r).strip()))
)
def test_a_row_of_more_or_fewer_cells_is_a_problem_of_its_line(rows: list[list[str]]) -> None:
    text = "\n".join([";".join(row) for row in [["file_name", "text"], *rows]])
    found, problems = read_table(text, Path("m.csv"), "file_name")
    wrong = [number for number, row in enumerate(rows, 2) if len(row) != 2]
    assert [number for number, _ in problems] == wrong
    assert len(found) + len(problems) == len(rows)


quoted = st.text(st.sampled_from("ab\"'\\,\n\t{}é日"), max_size=8)
values = st.none() | quoted | st.integers(0, 9) | st.lists(quoted, max_size=2)


@LAX
@given(
    rows=st.lists(
        st.fixed_dictionaries({}, optional=dict.fromkeys(("text", "audio", "speaker", "domain", "notes"), values)),
        max_size=5,
    )
)
def test_json_lines_with_surplus_missing_and_quoted_values(rows: list[dict[str, Any]]) -> None:
    """A row is taken with its text as it stands, whatever unknown keys it has, or it is a problem of its line."""
    known = ("text", "audio", "speaker", "domain")
    given_ids = [{**row, "id": f"u{number}"} for number, row in enumerate(rows)]
    wrong = [
        number
        for number, row in enumerate(rows, 1)
        if row.get("text") is None or any(not isinstance(row.get(key), str | None) for key in known)
    ]
    text = "".join(json.dumps(row) + "\n" for row in given_ids)
    if not wrong:
        assert [(u.id, u.text, u.speaker) for u in parse_manifest(text, "m")] == [
            (row["id"], row["text"], row.get("speaker")) for row in given_ids
        ]
        return
    with pytest.raises(DataError) as error:
        parse_manifest(text, "m")
    assert [int(problem.split(":")[1]) for problem in error.value.problems] == wrong


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("file_name,text\na.wav,The meeting, as always, starts\n", ":2: 2 columns, the row has 4"),
        ('file_name,text\na.wav,"not closed\nb.wav,"x\n', "metadata.csv"),
        ('file_name,text\na.wav,"not closed\nb.wav,x"\nc.wav,y\n', ":3: a cell of several lines"),
        ("name:text\na.wav:x\n", "no column file_name between commas, semicolons, tabs, bars; it begins: name:text"),
        ("file_name,text,text\na.wav,x,y\n", "columns that stand twice: text"),
        ("file_name,text,sentence\na.wav,x,y\n", ":2: text and sentence differ"),
        ("file_name,text,start,end\na.wav,x,0.5,1\n", ":2: end: not read"),
    ],
)
def test_metadata_that_would_lose_something(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "metadata.csv").write_text(content)
    with pytest.raises(DataError) as error:
        read_audiofolder(tmp_path)
    assert problem in str(error.value)


def test_splits_in_folders_of_their_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for part, split in (("train", "train"), ("validation", "dev"), ("test", "test")):
        (tmp_path / part).mkdir()
        record(tmp_path / part / "a.wav")
        (tmp_path / part / "metadata.csv").write_text(f"file_name;text\na.wav;said in {split}\n")
    record(tmp_path / "test" / "unnamed.wav")
    found = read_audiofolder(tmp_path)
    assert {(u.id, u.split, u.text) for u in found} == {
        ("train/a.wav", "train", "said in train"),
        ("validation/a.wav", "dev", "said in dev"),
        ("test/a.wav", "test", "said in test"),
    }
    assert caplog.messages == [f"{tmp_path}: left out, named by no metadata: 1: test/unnamed.wav"]


@pytest.mark.parametrize(
    "row",
    [{"start": 0.5}, {"end": 2}, {"channel": 1}, {"channel_selector": "average"}, {"speed": 1.1}, {"end_time": "1.0"}],
)
def test_a_key_that_means_other_sound_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=next(iter(row))):
        parse_manifest(json.dumps({"audio": "a.wav", "text": "x", **row}), "m")
    neutral = dict.fromkeys(row) | {"gender": "f", "pred_text": "y", "start": 0}
    assert parse_manifest(json.dumps({"audio": "a.wav", "text": "x", **neutral}), "m").utterances[0].text == "x"


@settings(LAX, max_examples=20)
@given(start=st.floats(0, 2.8), seconds=st.none() | st.floats(0.05, 3))
def test_the_part_of_a_recording_is_heard_and_nothing_else(tmp_path_factory, start: float, seconds: float | None):
    folder = tmp_path_factory.mktemp("part")
    ramp(folder / "a.wav")
    row = {"audio_filepath": "a.wav", "text": "x", "offset": start, "duration": seconds}
    path = write_rows(folder / "m.jsonl", row)
    end = 3.0 if seconds is None else start + seconds
    if end > 3.5:
        with pytest.raises(DataError, match=r"is not in it, 3\.00 s"):
            read_manifest(path)
        return
    (utterance,) = read_manifest(path)
    wave = read_wave(utterance)
    assert wave.size / 16_000 == pytest.approx(min(end, 3.0) - start, abs=0.001)
    assert utterance.duration == pytest.approx(wave.size / 16_000, abs=0.001)
    assert wave[0] == pytest.approx(start * 0.3, abs=0.001)
    stored = stored_manifest(
        load_corpus(Runtime(Store(folder / "store")), CorpusConfig(kind="manifest", path=str(path)))
    )
    assert read_wave(stored.utterances[0]) == pytest.approx(wave, abs=1e-3)


def test_a_part_is_another_utterance_than_the_whole() -> None:
    whole, part = Utterance("a", "x", "a.wav", duration=1.0), Utterance("a", "x", "a.wav", duration=1.0, offset=0.5)
    from asr_tv.data.manifest import Manifest

    assert Manifest("m", (whole,)).digest != Manifest("m", (part,)).digest


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        ({"path": "a.wav", "sampling_rate": 16_000}, "audio is a column of Hugging Face"),
        ("wavs\\a.wav", "backslashes, as on Windows: write /"),
        ("file:///data/a.wav", "write the path behind file://"),
        ("https://example.org/a.wav", "an address is not opened: download it"),
    ],
)
def test_a_recording_that_is_not_there_is_told_with_the_likely_reason(tmp_path: Path, audio: Any, reason: str) -> None:
    path = write_rows(tmp_path / "m.jsonl", {"audio": audio, "text": "x"})
    with pytest.raises(DataError) as error:
        read_manifest(path)
    assert reason in str(error.value)


EMPTY = ["", "   ", "...", "nan", "NaN", "<NA>", "null", "…"]


def test_labels_without_words_are_counted_and_not_trained_on(asr_tv: Command, models: Path, tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    rows = [{"id": f"u{n}", "audio": "a.wav", "text": text} for n, text in enumerate([*EMPTY, "hello", "नमस्ते", "42"])]
    write_rows(tmp_path / "m.jsonl", *rows)
    done = asr_tv("corpus", "validate", "m.jsonl")
    assert done.code == 0
    assert "8 labels without a word, and no training takes them: u0, u1, u2, u3, u4, u5, u6, u7" in done.out
    assert asr_tv("corpus", "validate", "m.jsonl", "--json").row["without_words"] == [f"u{n}" for n in range(8)]
    (problem,) = asr_tv("finetune", models / "base", "m.jsonl", "--out", "tuned", "--quiet").problems
    assert "8 labels without a word" in problem


TOKENS = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|0.00|>", "<|notimestamps|>", "<|nospeech|>"]


@pytest.mark.parametrize("token", TOKENS)
def test_control_tokens_are_refused_with_their_line(asr_tv: Command, models: Path, tmp_path: Path, token: str) -> None:
    record(tmp_path / "a.wav")
    good, bad = {"id": "a", "audio": "a.wav", "text": "a < b | c"}, {"id": "b", "audio": "a.wav", "text": f"x{token} y"}
    write_rows(tmp_path / "m.jsonl", good, bad)
    write_rows(tmp_path / "good.jsonl", good)
    write_rows(tmp_path / "hyp.jsonl", bad | {"id": "a"})
    for command in (("corpus", "validate"), ("finetune", models / "base", "--out", "o"), ("score", "hyp.jsonl")):
        arguments = [*command, "m.jsonl"] if command[0] != "score" else ["score", "m.jsonl", "hyp.jsonl"]
        problems = asr_tv(*arguments).problems
        assert problems[0].startswith("m.jsonl:2: ")
        assert token in problems[0]
    (problem,) = asr_tv("score", "good.jsonl", "hyp.jsonl").problems
    assert problem.startswith("hyp.jsonl: a: ")
    (tmp_path / "t.txt").write_text(f"A sentence.\nAnother {token}\n")
    (problem,) = asr_tv("synthesize", "t.txt", "--engine", "fake", "--voice", "a", "--out", "clips").problems
    assert problem.startswith("t.txt:2: ")


@pytest.mark.parametrize("drop", [True, False])
def test_clips_of_over_30_s_are_left_out_when_asked(
    asr_tv: Command, models: Path, tmp_path: Path, drop: bool, caplog, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def tuned(*stage: Any, **_: Any) -> Any:
        heard.extend(u.id for u in stage[2].clips)
        raise DataError("far enough")

    monkeypatch.setattr("asr_tv.training.finetune.finetune", tuned)
    rows = [{"id": name, "audio": f"{name}.wav", "text": "hi"} for name in ("short", "long")]
    for name, seconds in (("short", 1.0), ("long", 30.5)):
        record(tmp_path / f"{name}.wav", seconds)
    write_rows(tmp_path / "m.jsonl", *rows)
    command = [
        "finetune",
        models / "base",
        "m.jsonl",
        "--out",
        "tuned",
        "--quiet",
        *(["--drop-longer"] if drop else []),
    ]
    assert asr_tv(*command).code == 2
    assert heard == (["short"] if drop else ["short", "long"])
    assert [m for m in caplog.messages if "left out" in m] == (
        ["m: left out, longer than 30 s: 1: long"] if drop else []
    )
