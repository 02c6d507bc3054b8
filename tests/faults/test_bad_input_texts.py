"""The new domain's sentences and terms: what is refused line by line, and what of Unicode is spoken as it is."""

from pathlib import Path

import pytest
from refusals import refused

from asr_tv.data.corpora.texts import MAX_CHARACTERS, read_texts
from asr_tv.data.text_files import gunzipped, read_bytes, read_text
from asr_tv.errors import DataError
from asr_tv.text.writing.terms import parse_sentences, parse_terms

TEXTS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "nothing": (b"", ("t.txt: empty: 0 bytes",)),
    "a byte order mark alone": (b"\xef\xbb\xbf", ("t.txt: no sentence",)),
    "blank lines": (b"\n\r\n \t \n", ("t.txt: no sentence, only blank lines",)),
    "spaces of other kinds": ("\u00a0\u2003\u3000\n".encode(), ("t.txt: no sentence",)),
    "punctuation": (b"Good.\n?!...\n", ("t.txt:2: no word, only punctuation",)),
    "emoji alone": ("Good.\n😀😀\n".encode(), ("t.txt:2: no word",)),
    "a right-to-left mark alone": ("Good.\n\u200f\n".encode(), ("t.txt:2: no word",)),
    "combining marks alone": ("Good.\n\u0301\u0301\n".encode(), ("t.txt:2: no word",)),
    "a NUL": (b"Good.\nna\0me\n", ("t.txt:2: holds a NUL character",)),
    "latin-1": (b"Good.\ncaf\xe9\n", ("t.txt:2: not UTF-8 (byte 4 of the line)",)),
    "half an emoji": (b"Good.\n\xed\xa0\xbd\n", ("t.txt:2: not UTF-8",)),
    "an overlong slash": (b"Good.\n\xc0\xaf\n", ("t.txt:2: not UTF-8",)),
    "utf-16": ("Good.\n".encode("utf-16"), ("t.txt: UTF-16, not UTF-8: save it as UTF-8",)),
    "utf-16, the other way round": (b"\xfe\xff\0G\0o", ("t.txt: UTF-16",)),
    "a hundred thousand words": (b"word " * 100_000, ("t.txt:1: 100000 words; a sentence has at most 200",)),
    "a megabyte without a space": (b"a" * (1 << 20), ("t.txt:1: 1048576 characters; a sentence has at most 4000",)),
    "one letter too many": (b"a" * (MAX_CHARACTERS + 1), ("t.txt:1: 4001 characters",)),
    "a program": (bytes(range(1, 256)) * 2000, ("t.txt:2: not UTF-8", "more lines")),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name: str, tmp_path: Path) -> None:
    content, words = TEXTS[name]
    (tmp_path / "t.txt").write_bytes(content)
    refused(lambda: read_texts(tmp_path / "t.txt", "d"), *words, unchanged=tmp_path)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Bonjour à tous", "Bonjour à tous"),
        ("a\u0301 b\u0308", "a\u0301 b\u0308"),
        ("שלום עולם", "שלום עולם"),
        ("\u202bשלום\u202c", "\u202bשלום\u202c"),
        ("hello 👨‍👩‍👧 there", "hello 👨‍👩‍👧 there"),
        ("می‌خواهم", "می‌خواهم"),
        ("क्‍ष", "क्‍ष"),
        ("你好，世界", "你好，世界"),
        ("  many \t spaces\u00a0here ", "many spaces here"),
        ("one\u2028two", "one two"),
        ("a" * MAX_CHARACTERS, "a" * MAX_CHARACTERS),
        ("\x1b[31mred", "\x1b[31mred"),
        ("=1+1 and @you", "=1+1 and @you"),
    ],
)
def test_what_is_strange_and_right(written: str, read: str, tmp_path: Path) -> None:
    for start, end in ((b"", b"\n"), (b"\xef\xbb\xbf", b"\r\n"), (b"", b"")):
        (tmp_path / "t.txt").write_bytes(start + written.encode() + end)
        assert [u.text for u in read_texts(tmp_path / "t.txt", "d")] == [read]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "t: no term"),
        ("# only a comment\n", "t: no term"),
        ("...\n", "t:1: "),
        ("a {b} c\n", "t:1: "),
    ],
)
def test_terms(text: str, word: str) -> None:
    refused(lambda: parse_terms(text, "t"), word)


def test_sentences_of_slots_that_nothing_fills() -> None:
    refused(
        lambda: parse_sentences("I want {drink}.\n{food}!\n", "s", ("term",)), "s:1: ", "s:2: ", "{drink}", "{food}"
    )


class TestBounds:
    def test_a_file_larger_than_it_may_be_is_not_read(self, tmp_path: Path) -> None:
        with (tmp_path / "t").open("wb") as file:
            file.truncate(1 << 40)  # a hole of a terabyte
        refused(lambda: read_text(tmp_path / "t"), "t: 1099511627776 bytes; the limit is 2147483648")

    def test_a_device_ends_at_the_bound(self) -> None:
        refused(lambda: read_bytes(Path("/dev/zero"), most=1 << 21), "/dev/zero: holds more than 2097152 bytes")

    def test_a_gzip_bomb_ends_at_the_bound(self) -> None:
        import zlib

        packer = zlib.compressobj(wbits=31)
        bomb = b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(64)) + packer.flush()
        assert len(bomb) < 100_000
        refused(lambda: gunzipped(bomb, Path("b.gz"), most=1 << 22), "b.gz: unpacks to more than 4194304 bytes")
        assert len(gunzipped(bomb, Path("b.gz"))) == 64 << 20
        assert gunzipped(b"plain", Path("b")) == b"plain"

    def test_a_name_that_is_no_text(self, tmp_path: Path) -> None:
        import os

        name = os.fsdecode(b"caf\xe9.txt")
        with pytest.raises(DataError, match="its name is not UTF-8: rename it"):
            read_text(tmp_path / name)
