"""`--adapt`, `asr-tv test-time` and `asr-tv stream` as a user meets them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import Command, write_rows

from asr_tv.audio.recordings import write_audio
from asr_tv.data.corrections import Correction, add_correction
from asr_tv.testing.ctc import tiny_ctc
from asr_tv.testing.whisper import tiny_whisper

NOW = "2026-11-30T10:00:00+00:00"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Four short recordings of noise, one of them of 21 s, one silent."""
    rng, rows = np.random.default_rng(0), []
    for number, seconds in enumerate((0.5, 0.6, 21.0, 0.5)):
        wave = rng.standard_normal(round(seconds * 16_000), dtype=np.float32) * (0.1 if number != 3 else 0.0)
        write_audio(tmp_path / f"{number}.wav", wave, 16_000)
        rows.append({"id": f"c{number}", "audio": f"{number}.wav", "text": "one two three", "duration": seconds})
    return write_rows(tmp_path / "clips.jsonl", *rows)


class TestTranscribe:
    def test_none_is_as_without_the_option(self, asr_tv: Command, clips: Path) -> None:
        model = tiny_ctc(Path("ctc"))
        plain, none = asr_tv("transcribe", model, clips), asr_tv("transcribe", model, clips, "--adapt", "none")
        assert plain.out == none.out
        assert len(list(Path(".store/transcribe").glob("*/record.json"))) == 1

    def test_what_was_not_adapted_is_counted(self, asr_tv: Command, clips: Path) -> None:
        tiny_ctc(Path("ctc"))
        done = asr_tv("transcribe", "ctc", clips, "--adapt", "suta", "--adapt-set", "steps=1", "--quiet")
        assert done.code == 0
        assert len(done.out.splitlines()) == 4
        assert any("too long: 1 decoded unadapted" in line for line in done.lines)

    def test_a_whisper_is_told_what_it_is_for_and_what_to_use(self, asr_tv: Command, clips: Path) -> None:
        done = asr_tv("transcribe", tiny_whisper(Path("w")), clips, "--adapt", "suta")
        assert done.code == 2
        assert "is for CTC models" in done.lines[-1]
        assert "--labels self" in done.lines[-1]

    def test_settings_are_all_checked_at_once(self, asr_tv: Command, clips: Path) -> None:
        wrong = ("--adapt-set", "steps=-1", "--adapt-set", "colour=red")
        done = asr_tv("transcribe", tiny_ctc(Path("ctc")), clips, "--adapt", "fast-slow", *wrong)
        assert done.code == 2
        assert len(done.lines) == 2
        uneven = asr_tv("transcribe", "ctc", clips, "--adapt", "fast-slow", "--adapt-set", "buffer=7")
        assert "multiple of the buffer" in uneven.lines[0]
        assert asr_tv("transcribe", "ctc", clips, "--adapt-set", "steps=1").code == 2

    def test_the_order_decides_the_key_only_where_it_decides_the_texts(self, asr_tv: Command, clips: Path) -> None:
        model, turned = tiny_ctc(Path("ctc")), clips.with_name("turned.jsonl")
        turned.write_text("".join(reversed(clips.read_text().splitlines(keepends=True))))
        for method, keys in (("suta", 1), ("fast-slow", 3)):
            for manifest in (clips, turned):
                asr_tv("transcribe", model, manifest, "--adapt", method, "--adapt-set", "steps=0", "--quiet")
            assert len(list(Path(".store/transcribe").glob("*/record.json"))) == keys


class TestTable:
    def test_every_method_is_compared_and_who_heard_what_is_said(self, asr_tv: Command, clips: Path) -> None:
        quick = ("--adapt-set", "steps=1", "--resamples", "100")
        done = asr_tv("test-time", tiny_ctc(Path("ctc")), clips, *quick, "--out", "tta", "--json", "--quiet")
        assert done.code == 0
        rows = {row["method"]: row for row in json.loads(done.out)["rows"]}
        assert list(rows) == ["none", "pseudo_label", "suta", "continual", "fast_slow", "fast_slow+reset"]
        assert {row["hears"] for row in rows.values()} == {"nothing", "the recording itself", "earlier recordings"}
        assert rows["suta"]["told"]["plain"] == {"too long": 1}
        assert sum(rows["suta"][name] for name in ("better", "equal", "worse")) == 4
        content = json.loads(Path("tta/test_time.json").read_text())
        assert content["heard_without_labels"][0]["systems"] == list(rows)[1:]

    def test_unknown_methods_and_models_that_have_no_frames_are_refused(self, asr_tv: Command, clips: Path) -> None:
        assert "there is no sutra" in asr_tv("test-time", tiny_ctc(Path("ctc")), clips, "--methods", "sutra").lines[0]
        assert "--labels self" in asr_tv("test-time", tiny_whisper(Path("w")), clips).lines[0]


def short(clips: Path) -> Path:
    rows = [json.loads(line) for line in clips.read_text().splitlines()]
    return write_rows(clips.with_name("short.jsonl"), *(row for row in rows if row["duration"] < 1))


class TestStream:
    def test_agents_are_compared_and_a_second_time_nothing_is_heard(self, asr_tv: Command, clips: Path) -> None:
        manifest, model = short(clips), tiny_whisper(Path("w"))
        arguments = ("stream", model, manifest, "--feedback", "corrected", "--agents", "corrections", "--out", "s")
        done = asr_tv(*arguments, "--quiet")
        assert done.code == 0
        assert "corrections" in done.out
        assert "none of them counts as adapted from text alone" in done.out
        content = json.loads(Path("s/stream.json").read_text())
        assert [row["agent"] for row in content["agents"]] == ["frozen", "corrections"]
        assert content["heard_without_labels"][0]["systems"] == ["corrections"]
        assert asr_tv(*arguments, "--quiet").out == done.out
        assert "corrections" in asr_tv("report", "s").out

    def test_what_an_agent_cannot_be_is_said_for_all_at_once(self, asr_tv: Command, clips: Path) -> None:
        done = asr_tv("stream", tiny_whisper(Path("w")), clips, "--agents", "suta,glossary,corrections,nobody")
        assert done.code == 2
        assert len(done.lines) == 4
        assert "CTC model" in "".join(done.lines)
        assert asr_tv("stream", "w").code == 2

    def test_a_ctc_model_streams_too(self, asr_tv: Command, clips: Path) -> None:
        done = asr_tv("stream", tiny_ctc(Path("ctc")), short(clips), "--agents", "suta,fast-slow", "--json", "--quiet")
        assert [row["agent"] for row in json.loads(done.out)["agents"]] == ["frozen", "suta", "fast-slow"]


class TestFollow:
    @pytest.fixture
    def calls(self, clips: Path) -> Path:
        folder = clips.parent / "calls"
        folder.mkdir()
        for number in (0, 1):
            shutil.copy(clips.with_name(f"{number}.wav"), folder / f"{number}.wav")
        return folder

    def test_nothing_is_heard_twice_and_corrections_become_terms(self, asr_tv: Command, calls: Path) -> None:
        arguments = ("stream", tiny_whisper(Path("w")), "--follow", calls, "--out", "f", "--once", "--quiet")
        assert len(asr_tv(*arguments).out.splitlines()) == 2
        heard = json.loads(Path("f/journal.jsonl").read_text().splitlines()[0])
        words = Correction(heard["audio"], "0.wav", heard["text"], False, "conference bridge", heard["model"], NOW)
        add_correction(calls / "corrections.jsonl", words)
        add_correction(
            calls / "corrections.jsonl", Correction("0.wav", "0.wav", "x", False, "conference room", "m", NOW)
        )
        add_correction(calls / "corrections.jsonl", Correction("9.wav", "9.wav", "x", False, "never heard", "m", NOW))
        done = asr_tv(*arguments)
        assert done.out == ""
        assert Path("f/terms.txt").read_text().split() == ["conference", "room"]
        assert any("9.wav" in line and "kept" in line for line in done.lines)
        assert any("0.wav" in line and "the last counts" in line for line in done.lines)
        shutil.copy(calls / "0.wav", calls / "9.wav")
        asr_tv(*arguments)
        assert "never" in Path("f/terms.txt").read_text()
        assert len(Path("f/hyp.jsonl").read_text().splitlines()) == 3

    def test_a_ctc_model_follows_and_counts_terms_that_it_cannot_boost(self, asr_tv: Command, calls: Path) -> None:
        row = Correction("0.wav", "0.wav", "x", False, "conference", "m", NOW)
        add_correction(calls / "corrections.jsonl", row)
        arguments = ("stream", tiny_ctc(Path("ctc")), "--follow", calls, "--out", "f", "--once", "--quiet")
        assert len(asr_tv(*arguments).out.splitlines()) == 2
        shutil.copy(calls / "0.wav", calls / "2.wav")
        assert len(asr_tv(*arguments).out.splitlines()) == 1
        assert Path("f/terms.txt").read_text() == "conference\n"

    def test_bad_lines_and_recordings_are_named_and_the_rest_is_heard(
        self, asr_tv: Command, calls: Path, clips: Path
    ) -> None:
        shutil.copy(clips.with_name("0.wav"), calls / "a.wav")
        (calls / "b.wav").write_bytes(b"RIFF no sound")
        (calls / "corrections.jsonl").write_text('{"id": 3}\n{"torn')
        done = asr_tv("stream", tiny_whisper(Path("w")), "--follow", calls, "--out", "f", "--once", "--quiet")
        assert done.code == 2
        assert len(done.out.splitlines()) == 3
        assert any("corrections.jsonl:1" in line for line in done.lines)
        assert any("b.wav" in line for line in done.lines)
