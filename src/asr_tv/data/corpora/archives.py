"""Untrusted tar archives: plain files only, with bounds on their number, sizes and sum."""

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from asr_tv.errors import DataError

MAX_MEMBERS = 2_000_000
MAX_FILE = 1 << 30  # bytes of one member
_FREE, _RATIO = 1 << 30, 100
"""An archive may unpack to a gigabyte whatever its size, and beyond that to a hundred times its size."""
_LONGEST_HEADER = 1 << 20
_HEADERS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
UNREADABLE = (tarfile.TarError, EOFError, OSError, ValueError)
"""What tarfile raises for a damaged archive; zlib.error, which is none of these, becomes a TarError."""


class _Member(tarfile.TarInfo):
    """Bounds headers: tarfile reads a long name into memory whatever its length, and seeks back if it is negative."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.size < 0 or (member.type in _HEADERS and member.size > _LONGEST_HEADER):
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member


def open_tar(path: Path) -> tarfile.TarFile:
    """A tar archive, compressed or not, to be read by `members`."""
    return tarfile.open(path, tarinfo=_Member)


def members(tar: tarfile.TarFile, path: Path, *, most: int | None = None) -> Iterator[tarfile.TarInfo]:
    """The plain files of a tar archive; links, devices and folders are skipped.

    All members may unpack to `most` bytes; by default in proportion to the archive at `path`.

    Raises:
        DataError: too many members, one too large, or too many bytes in all; known from the headers.
    """
    most = max(_FREE, _RATIO * path.stat().st_size) if most is None else most
    total = 0
    for number, member in enumerate(_walked(tar), 1):
        total += member.size
        if number > MAX_MEMBERS:
            raise DataError(f"{path}: more than {MAX_MEMBERS} members: not unpacked")
        if not 0 <= member.size <= MAX_FILE:
            raise DataError(f"{path}: {member.name!r:.80} has {member.size} bytes; the limit is {MAX_FILE}")
        if max(total, member.offset_data + member.size) > most:
            raise DataError(f"{path}: unpacks to more than {most} bytes: not unpacked")
        # Holes of a sparse file take no room in the archive, so its size says nothing of what it unpacks to.
        if member.isreg() and not member.issparse():
            yield member


def _walked(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    try:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # otherwise it keeps every header in memory
            yield member
    except zlib.error as error:
        raise tarfile.ReadError(str(error)) from error


def content_of(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The bytes of a plain file.

    Raises:
        EOFError: fewer than its header says.
    """
    content: Any = tar.extractfile(member)
    data: bytes = content.read()
    if len(data) != member.size:
        raise EOFError(f"{member.name!r:.80} is cut short")
    return data
