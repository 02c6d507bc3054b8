from pathlib import Path

import pytest

from asr_tv.data.corpora.texts import MAX_WORDS, read_texts
from asr_tv.errors import DataError


def write(tmp_path: Path, content: bytes | str) -> Path:
    path = tmp_path / "orders.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_one_sentence_a_line_blank_lines_and_duplicates_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeffTwo  coffees,\tplease.\r\n\n  \nA tea!\nTwo coffees, please.\nCafé no. 7")
    manifest = read_texts(path, "orders")
    assert [u.text for u in manifest] == ["Two coffees, please.", "A tea!", "Café no. 7"]
    assert manifest.domains == ("orders",)
    assert {u.origin for u in manifest} == {"text"}
    assert all(u.audio is None for u in manifest)


def test_ids_come_from_the_content_and_not_from_the_place(tmp_path: Path) -> None:
    first = read_texts(write(tmp_path, "one\ntwo\n"), "d").by_id
    second = read_texts(write(tmp_path, "zero\ntwo\none\n"), "d").by_id
    assert first.items() <= second.items()
    assert not first.keys() & read_texts(write(tmp_path, "one\ntwo\n"), "e").by_id.keys()


def test_all_problems_at_once_with_their_lines(tmp_path: Path) -> None:
    lines = [b"good", b"...?!", b"caf\xe9", b"nul\0here", b"word " * (MAX_WORDS + 1), b"word " * MAX_WORDS]
    with pytest.raises(DataError) as error:
        read_texts(write(tmp_path, b"\n".join(lines)), "d")
    path = tmp_path / "orders.txt"
    assert error.value.problems == (
        f"{path}:2: no word, only punctuation: ...?!",
        f"{path}:3: not UTF-8 (byte 4 of the line)",
        f"{path}:4: holds a NUL character",
        f"{path}:5: 201 words; a sentence has at most 200",
    )


def test_a_binary_file_does_not_fill_the_screen(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read_texts(write(tmp_path, b"\xff\n" * 5000), "d")
    assert len(error.value.problems) == 101
    assert error.value.problems[-1].endswith("4900 more lines")


@pytest.mark.parametrize(("content", "reason"), [("", "empty: 0 bytes"), (" \n\n\t\n", "no sentence")])
def test_empty_files(tmp_path: Path, content: str, reason: str) -> None:
    with pytest.raises(DataError, match=f"orders.txt: {reason}"):
        read_texts(write(tmp_path, content), "d")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.txt: no such file"):
        read_texts(tmp_path / "gone.txt", "d")
    with pytest.raises(DataError, match="cannot be read"):
        read_texts(tmp_path, "d")
