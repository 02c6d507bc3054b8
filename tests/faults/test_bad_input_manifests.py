"""Manifests of every kind that cannot be used, each refused in one message with its file and line or id."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import Command, record
from refusals import refused

from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora.audiofolder import read_audiofolder
from asr_tv.data.corpora.kaldi import kaldi_source
from asr_tv.data.corpora.lhotse import lhotse_source
from asr_tv.data.corpora.local import read_manifest
from asr_tv.data.corpora.nemo import nemo_source
from asr_tv.data.corpora.slurp import read_annotations
from asr_tv.decoding.hypotheses import read_hypotheses

GOOD = {"id": "a", "text": "hello", "audio": "a.wav"}


def line(**changes: Any) -> bytes:
    return json.dumps(GOOD | changes).encode()


MANIFESTS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "empty": (b"", ("no utterance",)),
    "blank lines": (b"\n \n\t\n", ("no utterance",)),
    "a csv": (b"id,text,audio\na,hello,a.wav\n", (":1: not JSON", ":2: not JSON")),
    "one array": (b"[" + line() + b"]", (":1: expected a JSON object, found list",)),
    "pretty-printed": (json.dumps(GOOD, indent=1).encode(), (":1: not JSON", ":2: not JSON")),
    "two objects on a line": (line() + line(id="b"), (":1: not JSON (Extra data",)),
    "a trailing comma": (line() + b",", (":1: not JSON (Extra data",)),
    "single quotes": (str(GOOD).encode(), (":1: not JSON (Expecting property name",)),
    "a bare word": (b'{"id": "a", "text": hello}', (":1: not JSON",)),
    "python's None": (b'{"id": "a", "text": None}', (":1: not JSON",)),
    "old Mac line ends": (line() + b"\r" + line(id="b"), (":1: not JSON",)),
    "utf-16": (line().decode().encode("utf-16"), ("UTF-16, not UTF-8: save it as UTF-8",)),
    "utf-16, the other way round": ("\ufeffid".encode("utf-16-be"), ("UTF-16, not UTF-8",)),
    "latin-1": (b'{"id": "a", "text": "caf\xe9"}', ("not UTF-8 (byte 24)",)),
    "gzip": (gzip.compress(line()), ("not UTF-8",)),
    "a recording": (b"RIFF\xff\xff\xff\xffWAVEfmt ", ("not UTF-8",)),
    "a NUL byte between lines": (line() + b"\n\0\n", (":2: not JSON",)),
    "a NUL in a text": (line(text="a\0b"), (":1: text is not text",)),
    "a NUL in a path": (line(audio="a\0.wav"), (":1: audio is not text",)),
    "an escape in JSON that is none": (b'{"id": "a", "text": "\\x41"}', (":1: not JSON (Invalid \\escape",)),
    "a raw control character": (b'{"id": "a", "text": "a\x1bb"}', (":1: not JSON (Invalid control character",)),
    "the first half of an emoji": (b'{"id": "a", "text": "\\ud83d"}', (":1: ", "surrogates not allowed")),
    "the second half of an emoji": (b'{"id": "\\ude00", "text": "x"}', (":1: ", "surrogates not allowed")),
    "an id of half an emoji and a bad line": (b'{"id": "\\ude00", "text": "x"}\n{', (":1: ", ":2: not JSON")),
    "a number of 5000 digits": (b'{"id": "a", "text": ' + b"9" * 5000 + b"}", (":1: not JSON (Exceeds the limit",)),
    "5000 objects deep": (b'{"a":' * 5000, (":1: not JSON (",)),
    "text of another type": (line(text=["hello"]), (":1: text is not text: ['hello']",)),
    "text that is a number": (line(text=5), (":1: text is not text: 5",)),
    "an id that is a number": (line(id=5), (":1: id is not text: 5",)),
    "a recording that is a list": (line(audio=["a.wav", "b.wav"]), (":1: audio is not text",)),
    "a domain that is an object": (line(domain={"x": 1}), (":1: domain is not text",)),
    "a speaker that is true": (line(speaker=True), (":1: speaker is not text: True",)),
    "a duration in words": (line(duration="3 s"), (":1: duration is not a number of seconds: '3 s'",)),
    "a duration below zero": (line(duration=-0.1), (":1: duration is not a number of seconds: -0.1",)),
    "a duration of NaN": (b'{"id": "a", "text": "x", "duration": NaN}', (":1: duration is not a number",)),
    "a split of another name": (line(split="validation"), (":1: split is 'validation'; one of train, dev, test",)),
    "a split in capitals": (line(split="TEST"), (":1: split is 'TEST'",)),
    "an origin of another name": (line(origin="tts"), (":1: origin is 'tts'",)),
    "two texts that differ": (line(sentence="bye"), (":1: two values of text, the second as sentence",)),
    "two recordings that differ": (line(audio_filepath="b.wav"), (":1: two values of audio, the second as audio_f",)),
    "one id three times": (b"\n".join([line()] * 3), ("bad.jsonl: duplicate id 'a'",)),
    "one id in two splits": (line() + b"\n" + line(split="test"), ("id 'a' is in two splits: train and test",)),
    "no text": (b'{"id": "a"}', (":1: no text",)),
    "text of another name": (b'{"id": "a", "utterance": "x"}', (":1: no text",)),
    "a recording that is not there": (line(audio="gone.wav"), ("utterance 'a': ", "gone.wav: no such recording")),
    "no recording": (line(audio=None), ("utterance 'a': no recording",)),
    "a recording that is a folder": (line(audio="."), ("utterance 'a': ", "a folder, not a recording")),
    "a recording that is the manifest": (line(audio="bad.jsonl"), ("utterance 'a': ", "not audio")),
    "an empty path": (line(audio=""), ("utterance 'a': ", "a folder, not a recording")),
    "an absolute path": (line(audio="/etc/passwd"), ("outside its folder", "utterance 'a': /etc/passwd", "--outside")),
    "a path that climbs": (line(audio="../../x.wav"), ("1 of 1 recordings lie outside its folder", "utterance 'a'")),
    "a path that climbs out and in again": (line(audio="x/../../y.wav"), ("outside its folder", "utterance 'a'")),
    "a home folder": (line(audio="~root/x.wav"), ("outside its folder", "utterance 'a'")),
    "an address": (line(audio="https://example.org/a.wav"), ("utterance 'a': ", "no such recording")),
    "a name of 300 bytes": (line(audio="x" * 300), ("utterance 'a': ", "cannot be read: File name too long")),
    "a terminal's commands as id": (line(id="\x1b[31mred", audio="gone.wav"), ("utterance '\\x1b[31mred': ",)),
    "another duration": (line(duration=9), ("utterance 'a': ", "lasts 1.00 s, the manifest says 9.00 s")),
    "another digest": (line(audio_digest="0" * 64), ("utterance 'a': ", "changed since the manifest was written")),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests(name: str, asr_tv: Command, tmp_path: Path) -> None:
    content, words = MANIFESTS[name]
    record(tmp_path / "a.wav")
    (tmp_path / "bad.jsonl").write_bytes(content)
    told = " | ".join(asr_tv("corpus", "validate", "bad.jsonl").problems)
    assert "bad.jsonl" in told or "utterance" in told
    for word in words:
        assert word in told
    assert "\x1b" not in told
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "bad.jsonl"]


ACCEPTED: dict[str, tuple[bytes, str]] = {
    "a byte order mark": (b"\xef\xbb\xbf" + line(), "hello"),
    "Windows line ends": (line() + b"\r\n", "hello"),
    "emoji of a family": (line(text="hi 👨‍👩‍👧"), "hi 👨‍👩‍👧"),
    "right to left": (line(text="שלום עולם"), "שלום עולם"),
    "combining marks": (line(text="e\u0301a\u0308" * 50), "e\u0301a\u0308" * 50),
    "a line of a megabyte": (line(text="word " * 200_000), "word " * 200_000),
    "line separators of Unicode": (line(text="a\u2028b\u0085c"), "a\u2028b\u0085c"),
    "two texts that agree": (line(sentence="hello"), "hello"),
    "unknown keys": (line(lang="en", offset=0, more={"deep": [1]}), "hello"),
    "an escaped pair of halves": (b'{"id": "a", "text": "\\ud83d\\ude00", "audio": "a.wav"}', "😀"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_strange_and_right(name: str, tmp_path: Path) -> None:
    content, text = ACCEPTED[name]
    record(tmp_path / "a.wav")
    (tmp_path / "m.jsonl").write_bytes(content)
    (utterance,) = read_manifest(tmp_path / "m.jsonl")
    assert (utterance.id, utterance.text, utterance.duration) == ("a", text, 1.0)


def nemo(folder: Path, content: bytes) -> Any:
    (folder / "m.json").write_bytes(content)
    return nemo_source(CorpusConfig(kind="nemo", path=str(folder / "m.json")))


def lhotse(folder: Path, content: bytes) -> Any:
    (folder / "cuts.jsonl").write_bytes(content)
    return lhotse_source(CorpusConfig(kind="lhotse", path=str(folder / "cuts.jsonl")))


def slurp(folder: Path, content: bytes) -> Any:
    (folder / "test.jsonl").write_bytes(content)
    return read_annotations(folder / "test.jsonl", "test")


def hypotheses(folder: Path, content: bytes) -> Any:
    (folder / "hyp.jsonl").write_bytes(content)
    return read_hypotheses(folder / "hyp.jsonl")


def audiofolder(folder: Path, content: bytes) -> Any:
    (folder / "metadata.csv").write_bytes(content)
    return read_audiofolder(folder)


def kaldi(folder: Path, content: bytes) -> Any:
    """`name: content` parts by a line of equal signs."""
    for part in content.split(b"\n====\n"):
        name, _, text = part.partition(b": ")
        (folder / name.decode()).write_bytes(text)
    return kaldi_source(CorpusConfig(kind="kaldi", path=str(folder)))


def cut(**changes: Any) -> bytes:
    source = {"type": "file", "channels": [0], "source": "a.wav"}
    row: dict[str, Any] = {"id": "c", "start": 0, "duration": 1, "type": "MonoCut"}
    row["recording"] = {"sources": [source], "duration": 1}
    return json.dumps(row | {"supervisions": [{"id": "s", "start": 0, "duration": 1, "text": "hi"}]} | changes).encode()


def said(**changes: Any) -> bytes:
    return json.dumps({"sentence": "hi", "scenario": "x", "recordings": [{"file": "a.wav"}]} | changes).encode()


Reader = Callable[[Path, bytes], Any]
OTHERS: list[tuple[str, Reader, bytes, tuple[str, ...]]] = [
    ("nemo, deep", nemo, b'{"a":' * 5000, ("m.json:1: not a row", "not JSON")),
    ("nemo, half an emoji", nemo, b'{"audio_filepath": "a.wav", "text": "\\ud83d"}', ("m.json:1: ", "surrogates")),
    ("nemo, NUL", nemo, b'{"audio_filepath": "a\\u0000.wav", "text": "x"}', ("m.json:1: ", "is not text")),
    ("nemo, a list", nemo, b"[1]", ("m.json:1: not a row",)),
    ("nemo, a huge offset", nemo, b'{"audio_filepath":"a","text":"x","offset":1' + b"0" * 400 + b"}", ("m.json:1: ",)),
    ("nemo, offset in words", nemo, b'{"audio_filepath":"a","text":"x","offset":"soon"}', ("m.json:1: not a row",)),
    ("nemo, no audio", nemo, b'{"text": "x"}', ("m.json:1: not a row", "audio_filepath")),
    ("nemo, outside", nemo, b'{"audio_filepath": "/etc/passwd", "text": "x"}', ("outside its folder", "/etc/passwd")),
    ("nemo, utf-16", nemo, '{"text": "x"}'.encode("utf-16"), ("m.json: UTF-16",)),
    ("lhotse, deep", lhotse, b"[" * 5000, ("cuts.jsonl:1: ", "not JSON")),
    ("lhotse, a list", lhotse, b"[]", ("cuts.jsonl:1: not a cut",)),
    ("lhotse, custom of a list", lhotse, cut(custom=[1]), ("cuts.jsonl:1: not a cut",)),
    ("lhotse, mixed", lhotse, cut(type="MixedCut"), ("cuts.jsonl:1: ", "MixedCut")),
    ("lhotse, supervisions of a number", lhotse, cut(supervisions=3), ("cuts.jsonl:1: not a cut",)),
    ("lhotse, NUL", lhotse, cut(supervisions=[{"text": "\0", "duration": 1}]), ("cuts.jsonl:1: ", "text is not")),
    ("lhotse, half a gzip", lhotse, gzip.compress(cut() * 9)[:-20], ("cuts.jsonl: cannot be read",)),
    ("lhotse, a damaged gzip", lhotse, gzip.compress(cut())[:20] + b"\xff" * 40, ("cuts.jsonl: cannot be read",)),
    ("lhotse, outside", lhotse, cut().replace(b'"a.wav"', b'"../a.wav"'), ("outside its folder", "'s'")),
    ("slurp, deep", slurp, b"[" * 5000, ("test.jsonl:1: not a SLURP annotation", "not JSON")),
    ("slurp, half an emoji", slurp, said(sentence="\ud83d"), ("test.jsonl:1: ", "surrogates")),
    ("slurp, a path", slurp, said(recordings=[{"file": "../a.wav"}]), ("test.jsonl:1: ", "not a file name")),
    ("slurp, an absolute path", slurp, said(recordings=[{"file": "/etc/passwd"}]), ("test.jsonl:1: ", "not a file")),
    ("slurp, recordings of words", slurp, said(recordings="a.wav"), ("test.jsonl:1: not a SLURP annotation",)),
    ("slurp, nothing said", slurp, said(sentence=" "), ("test.jsonl:1: ", "is not text")),
    ("hypotheses, deep", hypotheses, b"[" * 5000, ("hyp.jsonl:1: not JSON",)),
    ("hypotheses, half an emoji", hypotheses, b'{"id": "a", "text": "\\ud83d"}', ("hyp.jsonl:1: ", "surrogates")),
    ("hypotheses, no text", hypotheses, b'{"id": "a"}', ("hyp.jsonl:1: text is missing",)),
    ("hypotheses, twice", hypotheses, b'{"id": "a", "text": "x"}\n' * 2, ("hyp.jsonl:2: duplicate id 'a'",)),
    ("hypotheses, latin-1", hypotheses, b'{"id": "\xe9"}', ("hyp.jsonl: not UTF-8",)),
    ("audiofolder, NUL", audiofolder, b"file_name,text\na\0.wav,x\n", ("metadata.csv",)),
    ("audiofolder, a field of 200 kB", audiofolder, b"file_name,text\na.wav," + b"x" * 200_000, ("not CSV",)),
    (
        "audiofolder, an open quote",
        audiofolder,
        b'file_name,text\n"a.wav,x\n',
        ("metadata.csv: not CSV: unexpected end of data",),
    ),
    (
        "audiofolder, other columns",
        audiofolder,
        b"path,words\na.wav,x\n",
        ("metadata.csv: no column file_name", "it begins: path,words"),
    ),
    ("kaldi, a command", kaldi, b"wav.scp: a sox a.mp3 - |\n====\ntext: a hi", ("a is a command, which is not run",)),
    ("kaldi, twice", kaldi, b"wav.scp: a a.wav\na b.wav\n====\ntext: a hi", ("more than once: a",)),
    ("kaldi, no recording", kaldi, b"wav.scp: a a.wav\n====\ntext: b hi", ("text: b: no recording of it",)),
    ("kaldi, outside", kaldi, b"wav.scp: a /etc/passwd\n====\ntext: a hi", ("outside its folder", "/etc/passwd")),
    ("kaldi, NUL", kaldi, b"wav.scp: a a.wav\n====\ntext: a h\0i", ("text: a: text is not text",)),
    ("kaldi, times", kaldi, b"wav.scp: a a.wav\n====\ntext: u hi\n====\nsegments: u a x y", ("u: no recording",)),
]


@pytest.mark.parametrize(("read", "content", "words"), [row[1:] for row in OTHERS], ids=[row[0] for row in OTHERS])
def test_other_forms(read: Reader, content: bytes, words: tuple[str, ...], tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    refused(lambda: read(tmp_path, content), *words)
