"""`asr-tv transcribe` on whatever recordings there are: long ones, folders, bad ones, every form of output."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import Command, record, run_here

from asr_tv.decoding.files import find_recordings, transcribe_files
from asr_tv.decoding.options import Decoding
from asr_tv.errors import DataError
from asr_tv.models.locate import resolve_model
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime


def with_pause(path: Path) -> Path:
    """20 s of noise, a second of near silence, 15 s of noise."""
    rng = np.random.default_rng(5)
    levels = np.repeat([0.1, 0.002, 0.1], [20 * 8000, 8000, 15 * 8000])
    soundfile.write(path, rng.standard_normal(len(levels)) * levels, 8000)
    return path


def test_a_long_recording_is_heard_piece_by_piece(models: Path, tmp_path: Path) -> None:
    long, short = with_pause(tmp_path / "long.wav"), record(tmp_path / "short.wav", 2.0)
    store = Store(tmp_path / "store")
    checkpoint = resolve_model(str(models / "base"), store)
    decoding = Decoding("full", "en", 8)
    heard, problems = transcribe_files(Runtime(store), checkpoint, [long, short], decoding, longest=30)
    assert problems == []
    assert [t.name for t in heard] == [str(long), str(short)]
    first, second = (s.span for s in heard[0].segments)
    assert (first.start, second.end) == (0.0, 36.0)
    assert first.end == second.start
    assert 20.1 < first.end < 20.9
    # A piece is decoded as a recording of its own would be.
    wave, rate = soundfile.read(long)
    soundfile.write(tmp_path / "part.flac", wave[: round(first.end * rate)], rate)
    (alone,), _ = transcribe_files(Runtime(store), checkpoint, [tmp_path / "part.flac"], decoding, longest=30)
    assert alone.text == heard[0].segments[0].text
    assert not list(Path(store.root).rglob("*.wav"))


def test_nothing_usable_is_an_error(models: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    checkpoint = resolve_model(str(models / "base"), store)
    with pytest.raises(DataError, match="no such recording"):
        transcribe_files(Runtime(store), checkpoint, [tmp_path / "gone.wav"], Decoding("full", "en"), longest=30)


def test_folders_are_searched(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name in ("a/2.FLAC", "a/b/1.ogg", "a/notes.txt"):
        (tmp_path / name).write_bytes(b"")
    found = find_recordings([tmp_path / "x.raw", tmp_path / "a"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["x.raw", "a/2.FLAC", "a/b/1.ogg"]
    with pytest.raises(DataError, match="empty: no recording in it"):
        find_recordings([tmp_path / "empty"])
    with pytest.raises(DataError, match="duplicate id"):
        find_recordings([tmp_path / "a" / "2.FLAC", tmp_path / "a"])


@pytest.mark.usefixtures("bad_recordings")
class TestCommand:
    def test_bad_files_are_listed_and_the_rest_is_done(self, asr_tv: Command, models: Path) -> None:
        done = asr_tv(
            "transcribe", models / "base", "gone.wav", "good.wav", "cut.wav", "empty.wav", "text.wav", "--quiet"
        )
        assert done.code == 2
        assert [json.loads(line)["id"] for line in done.out.splitlines()] == ["good.wav"]
        assert [line.split(":")[1].strip() for line in done.lines] == ["gone.wav", "cut.wav", "empty.wav", "text.wav"]

    def test_none_is_good(self, asr_tv: Command, models: Path) -> None:
        assert len(asr_tv("transcribe", models / "base", "gone.wav", "empty.wav", "--quiet").problems) == 2

    def test_every_form(self, asr_tv: Command, models: Path, tmp_path: Path) -> None:
        command = ["transcribe", models / "base", "good.wav", "--quiet"]
        text = json.loads(asr_tv(*command).out)["text"]
        assert asr_tv(*command, "--format", "txt").out == (f"{text}\n" if text else "")
        (row,) = json.loads(asr_tv(*command, "--json").out)
        assert (row["file"], row["duration"], row["text"]) == ("good.wav", 1.0, text)
        for suffix, start in (("srt", "1\n00:00:00,000 --> 00:00:01,000\n"), ("vtt", "WEBVTT\n")):
            done = asr_tv(*command, "--out", f"made/here.{suffix}")
            assert (done.code, done.out) == (0, "")
            written = (tmp_path / "made" / f"here.{suffix}").read_text()
            assert written == asr_tv(*command, "--format", suffix).out
            assert written.startswith(start if text else "")

    def test_a_folder_in_is_a_folder_out(self, asr_tv: Command, models: Path, tmp_path: Path) -> None:
        (tmp_path / "calls" / "monday").mkdir(parents=True)
        record(tmp_path / "calls" / "one.wav")
        record(tmp_path / "calls" / "monday" / "one.flac", 1.5)
        done = asr_tv("transcribe", models / "base", "calls", "--format", "vtt", "--out", "subtitles", "--quiet")
        assert (done.code, done.lines) == (0, [])
        made = sorted(p.relative_to(tmp_path / "subtitles").as_posix() for p in (tmp_path / "subtitles").rglob("*.vtt"))
        assert made == ["monday/one.vtt", "one.vtt"]
        listed = asr_tv("transcribe", models / "base", "calls", "--format", "txt", "--quiet").out.splitlines()
        assert [line.split("\t")[0] for line in listed] == ["calls/monday/one.flac", "calls/one.wav"]

    def test_outputs_that_cannot_be(self, asr_tv: Command, models: Path, tmp_path: Path) -> None:
        record(tmp_path / "good.flac")
        model = models / "base"
        two = ["transcribe", model, "good.wav", "good.flac"]
        assert asr_tv(*two, "--format", "srt").problems == ["--format srt: of 2 recordings needs --out FOLDER"]
        assert asr_tv(*two, "--out", "a.srt").problems == ["--out a.srt: 2 recordings need a folder"]
        (problem,) = asr_tv(*two, "--format", "srt", "--out", "o").problems
        assert problem == "good.wav and good.flac: both would be written to o/good.srt"
        (problem,) = asr_tv("transcribe", model, "bad.jsonl", "--format", "srt").problems[:1]
        assert problem == "--format srt: is for audio files; a manifest gives jsonl, json or txt"
        (problem,) = asr_tv("transcribe", model, "good.wav", "--json", "--format", "srt").problems
        assert problem == "--json and --format srt: one of them"
        assert asr_tv("transcribe", model, "good.wav", "--format", "doc").code == 2


SCRIPTS = ("łódź", "Привет", "日本語", "한국어", "العربية", "עברית", "हिन्दी", "ไทย", "ελληνικά", "ქართული", "😀")


def test_a_recording_is_told_by_its_content_and_others_are_named(asr_tv: Command, models: Path, tmp_path: Path, caplog):
    calls = tmp_path / "calls"
    for folder in ("", "__MACOSX", ".hidden"):
        (calls / folder).mkdir(parents=True, exist_ok=True)
    record(calls / "one.wav")
    record(calls / "one.wav").rename(calls / "no suffix")
    record(calls / "loud.WAV").with_suffix(".txt").write_text("notes")
    (calls / "mp3.dat").write_bytes(_mp3())
    for name in ("._one.wav", "__MACOSX/._one.wav", ".DS_Store", ".hidden/two.wav"):
        (calls / name).write_bytes(b"\0\5\x16\7")
    (calls / "picture.webp").write_bytes(b"RIFF\0\0\0\0WEBP")
    (calls / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    done = asr_tv("transcribe", models / "base", "calls", "--quiet")
    assert done.code == 2
    heard = {json.loads(line)["id"] for line in done.out.splitlines()}
    assert heard == {"calls/loud.WAV", "calls/mp3.dat", "calls/no suffix"}
    assert caplog.messages == [
        "calls: left out, hidden: 4: .DS_Store, ._one.wav, .hidden/two.wav, __MACOSX/._one.wav",
        "calls: left out, not recordings: 2: loud.txt, picture.webp",
    ]
    assert [line.split(":")[1] for line in done.lines] == [" calls/film.mp4"]


def _mp3() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.random.default_rng(1).standard_normal(16_000) * 0.1, 16_000, format="MP3")
    return buffer.getvalue()


@pytest.mark.parametrize("shape", ["jsonl", "json", "txt", "srt"])
def test_nothing_is_heard_in_silence_and_it_is_said(
    asr_tv: Command, models: Path, tmp_path: Path, shape: str, caplog
) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(32_000), 16_000)
    record(tmp_path / "noise.wav")
    done = asr_tv("transcribe", models / "base", "silence.wav", "--format", shape, "--quiet")
    assert done.code == 0
    assert caplog.messages == ["recordings: left out, nothing to hear in them: 1: silence.wav"]
    rows = {"jsonl": json.loads, "json": lambda out: json.loads(out)[0]}
    assert (rows[shape](done.out)["text"] if shape in rows else done.out) == ""
    both = asr_tv("transcribe", models / "base", "silence.wav", "noise.wav", "--quiet")
    assert [json.loads(line)["id"] for line in both.out.splitlines()] == ["silence.wav", "noise.wav"]


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "ascii"])
def test_names_in_any_script_are_printed_in_any_locale(
    models: Path, tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SCRIPTS:
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(16_000), 16_000)
    monkeypatch.chdir(tmp_path)
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding, write_through=True))
    assert run_here("transcribe", models / "base", ".", "--quiet") == 0
    out = printed.getvalue().decode("utf-8" if encoding == "ascii" else encoding)  # click takes UTF-8 for ASCII
    assert {json.loads(line)["id"] for line in out.splitlines()} == {f"{name}.wav" for name in SCRIPTS}
