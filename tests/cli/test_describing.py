"""`asr-tv describe`, `probe` and `ask`, as people call them."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import Command, write_rows

from asr_tv.audio.recordings import write_audio
from asr_tv.cli.describing import describe
from asr_tv.synthesis.engines import SpeechRequest
from asr_tv.testing.speech import FakeSynthesizer


def spoken(path: Path, text: str, slower: int = 1, gain: float = 1.0) -> None:
    engine = FakeSynthesizer()
    wave = engine.speak([SpeechRequest(text, "tone", 0, 7, engine.settings(7))])[0]
    write_audio(path, (np.repeat(wave, slower) * np.float32(gain)), 16_000)


@pytest.fixture
def sets(tmp_path: Path) -> None:
    sentences = [f"Please call {name} back soon" for name in "abcdefghijkl"]
    for name, slower in (("real", 2), ("made", 1)):
        rows = []
        for number, text in enumerate(sentences):
            spoken(tmp_path / f"{name}{number}.wav", text, slower, 0.5)
            rows.append({"id": f"{name} {number}", "text": text, "audio": f"{name}{number}.wav"})
        write_rows(tmp_path / f"{name}.jsonl", *rows)


@pytest.mark.usefixtures("sets")
class TestDescribe:
    def test_a_line_a_clip(self, asr_tv: Command) -> None:
        done = asr_tv("describe", "real.jsonl", "--no-pitch", "--workers", 1, "--quiet")
        assert len(done.out.splitlines()) == 12
        assert done.out.startswith("[00:00:00 - 00:00:0")
        assert "Please call" in done.out
        assert "Pitch: unknown" in done.out
        rows = [
            json.loads(line)
            for line in asr_tv(
                *("describe", "real.jsonl", "--no-pitch", "--workers", 1, "--quiet", "--json", "--sample", 3)
            ).out.splitlines()
        ]
        assert len(rows) == 3
        assert rows[0]["f0_hz"] is None
        assert rows[0]["gender"] == "unknown"
        assert rows[0]["seed_transcript"] in done.out

    def test_two_sets_compared(self, asr_tv: Command) -> None:
        asked = ("describe", "real.jsonl", "--against", "made.jsonl", "--no-pitch", "--workers", 1, "--quiet")
        row = asr_tv(*asked, "--json").row
        assert row["clips"] == {"real": 12, "synthetic": 12}
        letters = next(r for r in row["rows"] if r["attribute"] == "letters_a_second")
        assert (letters["probability"], letters["ks"], letters["sentences"]) == (0, 1, 12)
        assert letters["suggestion"].startswith("synthesis.length_scale × ")
        assert 1.8 <= float(letters["suggestion"].rpartition(" ")[2]) <= 2.2
        out = asr_tv(*asked).out
        assert "12 recordings against 12 synthetic clips, 12 sentences of both" in " ".join(out.split())
        assert "letters" in out

    def test_all_mistakes_are_told(self, asr_tv: Command) -> None:
        assert asr_tv("describe", "gone.jsonl", "--against", "also.jsonl").problems == [
            f"gone.jsonl: no such file in {Path.cwd()}",
            f"also.jsonl: no such file in {Path.cwd()}",
        ]
        problems = asr_tv("describe", "real.jsonl", "--ask", "What?", "--against", "made.jsonl").problems
        assert [p.split(":")[0] for p in problems] == ["--ask", "--ask and --against"]

    def test_a_language_model_is_asked(self, asr_tv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(describe, "writer_at", lambda *_: Echo())
        done = asr_tv(
            *("describe", "real.jsonl", "--no-pitch", "--workers", 1, "--quiet", "--json"),
            *("--ask", "What can you hear?", "--llm", "echo", "--out", "targets.jsonl"),
        )
        assert done.row == {"targets": "targets.jsonl", "answers": 12, "model": "echo"}
        assert len(Path("targets.jsonl").read_text().splitlines()) == 12


class Echo:
    name = "echo"

    def answer(self, prompt: str, seed: int) -> str:  # noqa: ARG002
        return prompt


class TestProbe:
    def test_words_nobody_said_and_questions(self, asr_tv: Command, tmp_path: Path) -> None:
        texts = {"a": "please transfer the second caller", "b": "your number holds seven letters", "s": ""}
        rows = [{"id": k, "text": t, "domain": "silence" if k == "s" else "news"} for k, t in texts.items()]
        write_rows(tmp_path / "general.jsonl", *(row | {"duration": 30.0} for row in rows))
        heard = texts | {"b": "your mailbox holds seven letters", "s": "mailbox"}
        write_rows(tmp_path / "hyp.jsonl", *({"id": k, "text": t} for k, t in heard.items()))
        (tmp_path / "terms.txt").write_text("mailbox\ncaller\n")
        asked = ("probe", "hyp.jsonl", "general.jsonl", "--terms", "terms.txt")
        row = asr_tv(*asked, "--json").row
        assert row["domain_words"]["general speech"]["count"] == 1
        assert row["domain_words"]["general speech"]["rate"] == pytest.approx(100)
        assert row["domain_words"]["silence"]["rate"] == pytest.approx(2)
        assert row["questions"]["order"]["accuracy"] < 1
        out = asr_tv(*asked).out
        assert "chance" in out
        assert "per minute" in out

    def test_a_missing_hypothesis_is_told(self, asr_tv: Command, tmp_path: Path) -> None:
        write_rows(tmp_path / "general.jsonl", {"id": "a", "text": "hello"})
        write_rows(tmp_path / "hyp.jsonl", {"id": "b", "text": "hello"})
        (tmp_path / "terms.txt").write_text("mailbox\n")
        problems = asr_tv("probe", "hyp.jsonl", "general.jsonl", "--terms", "terms.txt").problems
        assert problems == ["hyp.jsonl: nothing of id 'a'"]


def test_ask_scores_a_cascade(asr_tv: Command, tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asr_tv.cli.describing import ask

    class Yes(Echo):
        def answer(self, prompt: str, seed: int) -> str:  # noqa: ARG002
            return "Yes."

    monkeypatch.setattr(ask, "writer_at", lambda *_: Yes())
    spoken(tmp_path / "a.wav", "hello")
    spoken(tmp_path / "b.wav", "goodbye")
    row = {"task": "noise", "instruction": "Is it noisy?", "options": ["yes", "no"]}
    rows = [row | {"id": n, "audio": f"{n}.wav", "label": label} for n, label in (("a", "yes"), ("b", "no"))]
    write_rows(tmp_path / "tasks.jsonl", *rows)
    asked = ("ask", "tasks.jsonl", "--llm", "any", "--model", models / "base", "--out", "answers.jsonl", "--quiet")
    (score,) = asr_tv(*asked, "--json").row["tasks"]
    assert (score["accuracy"], score["chance"], score["unanswered"]) == (0.5, 0.5, 0)
    assert "A cascade of" in asr_tv(*asked).out
    write_rows(tmp_path / "bad.jsonl", row | {"audio": "a.wav", "label": "perhaps"})
    problems = asr_tv("ask", "bad.jsonl", "--llm", "any", "--out", "o.jsonl").problems
    assert problems == ["bad.jsonl:1: label 'perhaps' is none of the options"]
