"""Archives that climb, link, lie or swell: nothing leaves the folder, and bombs are known from their headers."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from commands import record
from refusals import refused

from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora.archives import content_of, members, open_tar
from asr_tv.data.corpora.slurp import _unpack


def packed(path: Path, *rows: tuple[str, dict[str, Any], bytes], mode: str = "w") -> Path:
    """Members as (name, fields of TarInfo, content)."""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, fields, content in rows:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in fields.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content))
    return path


OUTSIDE: dict[str, tuple[str, dict[str, Any]]] = {
    "climbs": ("../../a.wav", {}),
    "is absolute": ("/tmp/../a.wav", {}),
    "is a symbolic link": ("a.wav", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
    "is a hard link": ("a.wav", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}),
    "is a hard link inside": ("a.wav", {"type": tarfile.LNKTYPE, "linkname": "b.wav"}),
    "is a character device": ("a.wav", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5}),
    "is a block device": ("a.wav", {"type": tarfile.BLKTYPE, "devmajor": 8, "devminor": 0}),
    "is a pipe": ("a.wav", {"type": tarfile.FIFOTYPE}),
    "is a folder": ("a.wav", {"type": tarfile.DIRTYPE}),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_member_that_leads_out(name: str, tmp_path: Path) -> None:
    member, fields = OUTSIDE[name]
    folder = tmp_path / "deep" / "er" / "out"
    folder.mkdir(parents=True)
    tar = packed(tmp_path / "a.tar", (member, fields, b"" if "type" in fields else b"RIFF"))
    assert _unpack(tar, {"a.wav"}, folder) == []
    written = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if not path.is_dir()]
    # A name is taken for its last part, and what is no plain file for nothing.
    assert written == (["a.tar"] if "type" in fields else ["a.tar", "deep/er/out/a.wav"])


def test_a_link_that_lies_there_already_is_not_written_through(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.wav").symlink_to(tmp_path / "victim")
    (tmp_path / "victim").write_text("mine")
    _unpack(packed(tmp_path / "a.tar", ("a.wav", {}, b"theirs")), {"a.wav"}, folder)
    assert (tmp_path / "victim").read_text() == "mine"


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


BOMBS: dict[str, tuple[bytes, str]] = {
    "one of terabytes": (header("a.wav", 1 << 42), "has 4398046511104 bytes; the limit is 1073741824"),
    "of a size below zero": (header("b.wav", 0)[:124] + b"\xff" * 12 + header("b.wav", 0)[136:], "damaged"),
    "a long name of gigabytes": (header("x", 3 << 30, tarfile.GNUTYPE_LONGNAME), "a header of 3221225472 bytes"),
    "attributes of gigabytes": (header("x", 3 << 30, tarfile.XHDTYPE), "a header of 3221225472 bytes"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_headers_that_lie(name: str, tmp_path: Path) -> None:
    content, word = BOMBS[name]
    content = bytearray(content)
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    (tmp_path / "a.tar").write_bytes(content + b"\0" * 2048)
    told: list[str] = []

    def unpack() -> None:
        told.extend(_unpack(tmp_path / "a.tar", {"a.wav"}, tmp_path))

    if "the limit is" in word:
        refused(unpack, "a.tar", word)
    else:
        unpack()
        assert word in " ".join(told)


def test_a_sparse_file_costs_nothing(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.wav")
    fields = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,0", "GNU.sparse.size": "536870912"}
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        info.pax_headers = fields
        tar.addfile(info)
    assert _unpack(tmp_path / "a.tar", {"a.wav"}, tmp_path) == []
    assert not (tmp_path / "a.wav").exists()


def test_a_packed_bomb_is_known_before_it_is_unpacked(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for number in range(3):
            info = tarfile.TarInfo(f"{number}.wav")
            info.size = 8 << 20
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    assert (tmp_path / "a.tar.gz").stat().st_size < 100_000
    with open_tar(tmp_path / "a.tar.gz") as tar:
        refused(lambda: list(members(tar, tmp_path / "a.tar.gz", most=16 << 20)), "unpacks to more than 16777216 bytes")
    with open_tar(tmp_path / "a.tar.gz") as tar:
        assert [len(content_of(tar, m)) for m in members(tar, tmp_path / "a.tar.gz")] == [8 << 20] * 3


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr_tv.data.corpora.archives.MAX_MEMBERS", 3)
    tar = packed(tmp_path / "a.tar", *((f"{n}.wav", {}, b"") for n in range(4)))
    refused(lambda: _unpack(tar, set(), tmp_path), "more than 3 members: not unpacked")


DAMAGED = {
    "nothing": b"",
    "zeros": b"\0" * 5000,
    "text": b"hello" * 999,
    "half a gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\3" + b"\x01" * 99,
    "half a bzip2": b"BZh91AY&SY" + b"\0" * 99,
    "half an xz": b"\xfd7zXZ\0" + b"\0" * 99,
    "a zip": b"PK\x03\x04" + b"\0" * 999,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_archives_are_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('{"sentence": "hi", "scenario": "x", "recordings": [{"file": "a.wav"}]}\n')
    (tmp_path / "a.tar.gz").write_bytes(DAMAGED[name])
    from asr_tv.data.corpora.slurp import slurp_source

    config = CorpusConfig(kind="slurp", path=str(tmp_path), audio=str(tmp_path / "a.tar.gz"), splits=("test",))
    refused(lambda: slurp_source(config).open(tmp_path / "scratch"), "1 of 1 recordings are missing")


def test_a_whole_archive_is_read(tmp_path: Path) -> None:
    wave = record(tmp_path / "a.wav").read_bytes()
    tar = packed(tmp_path / "a.tar.gz", ("slurp_real/a.wav", {}, wave), ("other", {}, b"x" * 5000), mode="w:gz")
    (tmp_path / "out").mkdir()
    assert _unpack(tar, {"a.wav"}, tmp_path / "out") == []
    assert (tmp_path / "out" / "a.wav").read_bytes() == wave
