"""What a file of sentences is, is told by its content: data of another kind is read as what it is, or refused."""

import json
from pathlib import Path

import pytest
from commands import Command

from asr_tv.data.corpora.texts import read_texts
from asr_tv.errors import DataError

SENTENCES = ["The meeting starts at half past nine.", "She sells fresh bread."]


@pytest.mark.parametrize("name", ["m.json", "m.txt", "m.jsonl", "m"])
def test_a_manifest_is_a_manifest_whatever_it_is_called(asr_tv: Command, tmp_path: Path, name: str) -> None:
    rows = [{"audio_filepath": f"{n}.wav", "duration": 2.0, "text": text} for n, text in enumerate(SENTENCES)]
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [u.text for u in read_texts(path, "d")] == SENTENCES
    done = asr_tv("synthesize", name, "--engine", "fake", "--voice", "anna", "--out", "clips", "--quiet")
    assert done.code == 0
    spoken = [json.loads(line)["text"] for line in (tmp_path / "clips" / "manifest.jsonl").read_text().splitlines()]
    assert sorted(spoken) == sorted(SENTENCES)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("u0|The meeting starts.\nu1|She sells bread.\n", "rows of a table, with bars"),
        ("u0\tThe meeting starts.\nu1\tShe sells bread.\n", "rows of a table, with tabs"),
        ("file_name,transcription\nu0.wav,The meeting starts.\n", "a table with a header"),
        ("path;sentence\nu0;The meeting\n", "a table with a header"),
        ("u0.wav,The meeting starts.\nu1.wav,She sells bread.\n", "rows that begin with recordings"),
        ("u0.wav The meeting starts.\n", "rows that begin with recordings"),
        ('[{"text": "The meeting"},\n {"text": "starts"}]\n', "a JSON array"),
        ("1\n00:00:01,000 --> 00:00:02,000\nThe meeting\n", "subtitles"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\nThe meeting\n", "subtitles"),
        ("<!DOCTYPE html>\n<p>The meeting</p>\n", "a document with markup"),
    ],
)
def test_other_data_is_refused(tmp_path: Path, content: str, what: str) -> None:
    path = tmp_path / "texts.txt"
    path.write_text(content)
    with pytest.raises(DataError) as error:
        read_texts(path, "d")
    assert what in str(error.value)
    assert "write one sentence a line" in str(error.value)


def test_sentences_with_signs_of_data_are_sentences(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    lines = ["Bread, butter and text.", "Open the file a.wav now.", "He said [laughing] yes.", "Press | for a pipe."]
    path.write_text("\n".join(lines))
    assert [u.text for u in read_texts(path, "d")] == lines
