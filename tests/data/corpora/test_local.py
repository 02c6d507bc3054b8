import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_tv.data.corpora.audiofolder import read_audiofolder
from asr_tv.data.corpora.local import read_manifest, write_manifest
from asr_tv.errors import DataError
from asr_tv.store.results import file_digest

RATE = 8_000


def record(path: Path, seconds: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.random.default_rng(round(seconds * 1000)).standard_normal(round(seconds * RATE)) * 0.1
    soundfile.write(path, wave, RATE)
    return path


def lines(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_nemo_rows_relative_and_absolute_paths(tmp_path: Path) -> None:
    elsewhere = record(tmp_path / "elsewhere" / "b.flac", 2.0)
    record(tmp_path / "data" / "clips" / "a.wav", 1.0)
    path = lines(
        tmp_path / "data" / "train.jsonl",
        {"audio_filepath": "clips/a.wav", "duration": 1.0, "text": "hello"},
        {"id": "b", "audio": str(elsewhere), "text": "there", "domain": "d"},
        {"id": "c", "audio": "../elsewhere/b.flac", "text": "again"},
    )
    manifest = read_manifest(path, outside=True)
    assert manifest.name == "train"
    a, b, c = manifest.utterances
    assert a.audio == str(tmp_path / "data" / "clips" / "a.wav")
    assert (a.id, a.duration, a.domain) == ("clips/a.wav", 1.0, "default")
    assert b.audio == c.audio == str(elsewhere)
    assert b.duration == 2.0
    assert b.audio_digest == file_digest(elsewhere)


def test_all_bad_recordings_in_one_message(tmp_path: Path) -> None:
    record(tmp_path / "good.wav")
    cut = record(tmp_path / "cut.wav")
    cut.write_bytes(cut.read_bytes()[:5000])
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("not audio" * 100)
    record(tmp_path / "long.wav", 4.0)
    rows = [{"id": name, "audio": f"{name}.wav", "text": "x"} for name in ("good", "gone", "cut", "empty", "text")]
    rows += [
        {"id": "none", "text": "x"},
        {"id": "part", "audio": "long.wav", "text": "x", "duration": 1.5},
    ]
    rows += [{"id": "changed", "audio": "good.wav", "text": "x", "audio_digest": "0" * 64}]
    with pytest.raises(DataError) as error:
        read_manifest(lines(tmp_path / "m.jsonl", *rows))
    expected = {
        "gone": "no such recording",
        "cut": "truncated",
        "empty": "empty",
        "text": "not audio",
        "none": "no recording",
        "part": "lasts 4.00 s, the manifest says 1.50 s",
        "changed": "changed since",
    }
    assert len(error.value.problems) == len(expected)
    for (name, reason), problem in zip(expected.items(), error.value.problems, strict=True):
        assert problem.startswith(f"utterance {name!r}: ")
        assert reason in problem


def test_without_audio_nothing_is_opened(tmp_path: Path) -> None:
    path = lines(tmp_path / "m.jsonl", {"id": "a", "text": "x"}, {"id": "b", "audio": "gone.wav", "text": "x"})
    manifest = read_manifest(path, need_audio=False)
    assert [u.audio for u in manifest] == [None, str(tmp_path / "gone.wav")]


def test_problems_of_the_file_itself(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jsonl: no such file"):
        read_manifest(tmp_path / "gone.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match=r"empty\.jsonl: no utterance"):
        read_manifest(tmp_path / "empty.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"text": "caf\xe9"}')
    with pytest.raises(DataError, match=r"latin\.jsonl: not UTF-8"):
        read_manifest(tmp_path / "latin.jsonl")
    path = lines(tmp_path / "bad.jsonl", {"id": "a"}, {"id": "b", "text": "x"})
    with pytest.raises(DataError, match=r"bad\.jsonl:1: no text"):
        read_manifest(path)


def test_a_written_manifest_moves_with_its_recordings(tmp_path: Path) -> None:
    record(tmp_path / "old" / "audio" / "a.flac")
    before = read_manifest(lines(tmp_path / "old" / "m.jsonl", {"id": "a", "audio": "audio/a.flac", "text": "x"}))
    write_manifest(before, tmp_path / "old" / "m.jsonl")
    assert '"audio": "audio/a.flac"' in (tmp_path / "old" / "m.jsonl").read_text()
    shutil.move(tmp_path / "old", tmp_path / "new")
    after = read_manifest(tmp_path / "new" / "m.jsonl")
    assert after.utterances[0].audio == str(tmp_path / "new" / "audio" / "a.flac")
    assert after.digest == before.digest


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    path = lines(tmp_path / "m.jsonl", {"id": "a", "audio": "a.wav", "text": "x"})
    record(tmp_path / "a.wav", 1.0)
    before = read_manifest(path).digest
    record(tmp_path / "a.wav", 1.1)
    assert read_manifest(path).digest != before


@pytest.mark.parametrize("column", ["text", "transcription", "sentence"])
def test_audiofolder_csv(tmp_path: Path, column: str) -> None:
    for name in ("a.wav", "orders/b.wav", "orders/c.wav"):
        record(tmp_path / name)
    (tmp_path / "metadata.csv").write_text(
        f'file_name,{column},domain\na.wav,"Hello, you",\norders/b.wav,tea,\norders/c.wav,tea,drinks\n'
    )
    manifest = read_audiofolder(tmp_path)
    assert [(u.id, u.text, u.domain) for u in manifest] == [
        ("a.wav", "Hello, you", "default"),
        ("orders/b.wav", "tea", "orders"),
        ("orders/c.wav", "tea", "drinks"),
    ]
    assert all(u.duration == 1.0 for u in manifest)


def test_audiofolder_jsonl(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    lines(tmp_path / "metadata.jsonl", {"file_name": "a.wav", "text": "hi", "speaker": "s1", "split": "test"})
    (utterance,) = read_audiofolder(tmp_path).utterances
    assert (utterance.text, utterance.speaker, utterance.split) == ("hi", "s1", "test")


def test_audiofolder_rows_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text(
        "file_name,text\n../out.wav,x\n/etc/passwd,x\na/../../out.wav,x\n,x\nb.wav\n", encoding="utf-8"
    )
    with pytest.raises(DataError) as error:
        read_audiofolder(tmp_path)
    assert [problem.split("metadata.csv")[1].split(":")[1] for problem in error.value.problems] == list("23456")
    assert sum("points out of the folder" in problem for problem in error.value.problems) == 3
    (tmp_path / "metadata.csv").write_text("file_name,text,split\na.wav,x,train\nb.wav,x,nonsense\n")
    with pytest.raises(DataError, match=r"metadata\.csv:3: split is 'nonsense'"):
        read_audiofolder(tmp_path)
    (tmp_path / "metadata.csv").unlink()
    with pytest.raises(DataError, match="no metadata"):
        read_audiofolder(tmp_path)
