"""`asr-tv texts` and `asr-tv gate`, as people call them."""

import json
from pathlib import Path

import pytest
from commands import Command, record, write_rows

from asr_tv.data.corpora.texts import read_texts
from asr_tv.synthesis.gate import gate as stage
from asr_tv.testing.speech import EnergyDetector


@pytest.fixture
def terms(tmp_path: Path) -> Path:
    path = tmp_path / "terms.txt"
    path.write_text("dish: pad thai\ndish: khao soi\nlarb gai\n")
    (tmp_path / "examples.txt").write_text("I would like {dish} please.\nHow spicy is it today?\n")
    return path


def test_terms_and_sentences_become_a_text_file_for_target_text(asr_tv: Command, terms: Path):
    done = asr_tv("texts", terms, "--sentences", "examples.txt", "--count", 8, "--out", "out.txt", "--quiet", "--json")
    assert done.row["sentences"] == 8
    assert done.row["terms_without_a_sentence"] == []
    texts = [u.text for u in read_texts(Path("out.txt"), "d")]
    assert len(texts) == 8
    assert texts[0] == "How spicy is it today?"
    assert json.loads(Path("out.txt.coverage.json").read_text())["terms"]["khao soi"] >= 1
    before = Path("out.txt").read_bytes()
    printed = asr_tv("texts", terms, "--sentences", "examples.txt", "--count", 8, "--out", "out.txt", "--quiet").out
    assert "3 of 3 terms have a sentence" in printed
    assert Path("out.txt").read_bytes() == before


def test_what_is_excluded_is_not_written(asr_tv: Command, terms: Path):
    Path("test.txt").write_text("how spicy is it today\n")
    asr_tv("texts", terms, "--sentences", "examples.txt", "--exclude", "test.txt", "--out", "out.txt", "--quiet")
    assert "spicy" not in Path("out.txt").read_text()


def test_all_mistakes_are_told(asr_tv: Command, terms: Path):
    Path("examples.txt").write_text("I want {drink}.\n")
    arguments = ("texts", terms, "--sentences", "examples.txt", "--llm", "m", "--local-llm", "n", "--exclude", "gone")
    problems = asr_tv(*arguments, "--out", "out.txt").problems
    assert problems[0].startswith("--llm and --local-llm")
    assert problems[1].startswith("examples.txt:1: no term fills {drink}")
    assert problems[2] == f"gone: no such file in {Path.cwd()}"
    assert not Path("out.txt").exists()


def test_nothing_to_write_is_an_error(asr_tv: Command, terms: Path):
    assert "give --sentences" in asr_tv("texts", terms, "--language", "xx", "--out", "o.txt", "--quiet").problems[0]


def test_gate_writes_kept_clips_and_verdicts(
    asr_tv: Command, tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stage, "SpeechDetector", EnergyDetector)
    rows = [
        {"id": f"{n}", "audio": str(record(tmp_path / f"{n}.wav")), "text": "please leave a message"} for n in range(2)
    ]
    manifest = write_rows(tmp_path / "clips.jsonl", *({**row, "origin": "synthetic", "speaker": "joe"} for row in rows))
    done = asr_tv("gate", manifest, "--judge", models / "base", "--out", "gated", "--quiet", "--json")
    assert done.row["judged"] == 2
    verdicts = [json.loads(line) for line in Path("gated/verdicts.jsonl").read_text().splitlines()]
    assert [v["id"] for v in verdicts] == ["0", "1"]
    kept = [json.loads(line)["id"] for line in Path("gated/manifest.jsonl").read_text().splitlines()]
    assert kept == [v["id"] for v in verdicts if v["chosen"]]


def test_gate_tells_of_model_and_manifest_at_once(asr_tv: Command):
    problems = asr_tv("gate", "gone.jsonl", "--judge", "nowhere", "--out", "o").problems
    assert len(problems) >= 2


def test_sentences_like_a_domain_s_and_again_from_what_was_kept(asr_tv: Command):
    lines = [
        f"Shall we {v} {p} {d}?"
        for v in ("walk to", "meet at")
        for p in ("the bank", "a zoo")
        for d in ("now", "later")
    ]
    Path("bank.txt").write_text("".join(f"{line}\n" for line in lines))
    given = ("--count", 5, "--json", "--out")
    first = asr_tv("texts", "--like", "bank.txt", "--keep", "bank.json", *given, "one.txt").row
    assert first["sentences"] == 5
    assert first["verbatim"] == first["recited"] / first["distinct"]
    Path("bank.txt").unlink()
    again = asr_tv("texts", "--like", "bank.json", *given, "two.txt").row
    assert Path("two.txt").read_text() == Path("one.txt").read_text()
    assert again["recited"] == first["recited"]
    told = asr_tv("texts", "--like", "bank.json", "--count", 5, "--out", "three.txt").out
    assert "% verbatim:" in told
    problems = asr_tv("texts", "terms.txt", "--like", "bank.json", "--llm", "m", "--out", "x").problems
    assert problems == ["TERMS: not with --like", "--llm: not with --like"]
    assert asr_tv("texts", "--out", "x").problems == ["TERMS: give a file of terms, or --like"]
    Path("bad.json").write_text("{}")
    assert "bad.json: not a text model" in asr_tv("texts", "--like", "bad.json", "--out", "x").problems[0]
