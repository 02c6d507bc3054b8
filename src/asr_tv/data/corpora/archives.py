"""Archives of strangers: their members one by one, none larger, and all together not more, than they may be."""

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from asr_tv.errors import DataError

MAX_MEMBERS = 2_000_000
MAX_FILE = 1 << 30
"""Bytes of one member."""
_FREE, _RATIO = 1 << 30, 100
"""An archive unpacks to a gigabyte whatever its size, and beyond that to a hundred times its size."""
_LONGEST_HEADER = 1 << 20
_HEADERS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
UNREADABLE = (tarfile.TarError, EOFError, OSError, ValueError)
"""What tarfile raises of an archive that is damaged; zlib's error, which is none of these, becomes a TarError."""


class _Member(tarfile.TarInfo):
    """tarfile reads long names into memory, however long they say they are, and goes back where one is negative."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.size < 0 or (member.type in _HEADERS and member.size > _LONGEST_HEADER):
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member


def open_tar(path: Path) -> tarfile.TarFile:
    """A tar archive, packed or not, to be read by `members`."""
    return tarfile.open(path, tarinfo=_Member)


def members(
    tar: tarfile.TarFile, path: Path, *, most: int | None = None, largest: int = MAX_FILE
) -> Iterator[tarfile.TarInfo]:
    """The plain files of a tar archive: links, devices and folders are passed over, and nothing follows them.

    Args:
        path: the archive's, for its size and for messages.
        most: bytes that all members may unpack to; in proportion to the archive when not given.

    Raises:
        DataError: a bomb: too many members, one too large, or too many bytes in all; known from the headers.
    """
    most = max(_FREE, _RATIO * path.stat().st_size) if most is None else most
    total = 0
    for number, member in enumerate(_walked(tar), 1):
        total += member.size
        if number > MAX_MEMBERS:
            raise DataError(f"{path}: more than {MAX_MEMBERS} members: not unpacked")
        if not 0 <= member.size <= largest:
            raise DataError(f"{path}: {member.name!r:.80} is of {member.size} bytes, and {largest} are the most")
        if max(total, member.offset_data + member.size) > most:
            raise DataError(f"{path}: unpacks to more than {most} bytes: not unpacked")
        # A sparse file is mostly holes, which cost its archive nothing.
        if member.isreg() and not member.issparse():
            yield member


def _walked(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    try:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # else it keeps every header
            yield member
    except zlib.error as error:
        raise tarfile.ReadError(str(error)) from error


def content_of(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The bytes of a plain file.

    Raises:
        EOFError: there are fewer than its header says.
    """
    content: Any = tar.extractfile(member)
    data: bytes = content.read()
    if len(data) != member.size:
        raise EOFError(f"{member.name!r:.80} is cut")
    return data
