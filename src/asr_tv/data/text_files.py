"""Text files as users give them: UTF-8, with or without a byte order mark, of bounded size."""

import gzip
import io
import stat
import zlib
from pathlib import Path
from typing import IO

from asr_tv.errors import DataError

MAX_BYTES = 2 << 30
"""Limit for a file that is read as a whole; 2 GiB are some ten million utterances."""
_BLOCK = 1 << 20


def read_text(path: Path) -> str:
    """The content of a text file.

    Raises:
        DataError: missing, unreadable, not UTF-8, or larger than `MAX_BYTES`, which is checked before it is read.
    """
    return decoded(read_bytes(path), path)


def read_bytes(path: Path, *, most: int = MAX_BYTES) -> bytes:
    """The bytes of a file, or of a pipe up to the same size.

    Raises:
        DataError: as `read_text`, except for the encoding.
    """
    require_utf8_name(path)
    path = path.expanduser() if path.parts[:1] == ("~",) else path
    try:
        status = path.stat()
        if status.st_size > most:
            raise DataError(f"{path}: {status.st_size} bytes; the limit is {most}")
        with path.open("rb") as file:
            return file.read() if stat.S_ISREG(status.st_mode) else _bounded(file, path, most, "holds")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file{looked_in(path)}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def looked_in(path: Path) -> str:
    """For messages: the folder that a relative path was looked for in."""
    return "" if path.is_absolute() else f" in {Path.cwd()}"


def holds_json_lines(path: Path) -> bool:
    """Whether a file begins as JSON lines do, whatever it is called; a name in .jsonl promises as much."""
    if path.suffix == ".jsonl" or not path.is_file():
        return path.suffix == ".jsonl"
    with path.open("rb") as file:
        return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def require_utf8_name(path: Path) -> None:
    """Raises DataError for a name that is not UTF-8: such a file could be read but not named in a record."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise DataError(f"{path}: its name is not UTF-8: rename it") from None


def decoded(data: bytes, path: Path) -> str:
    """UTF-8 bytes as text, without a byte order mark.

    Raises:
        DataError: not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DataError(f"{path}: UTF-16, not UTF-8: save it as UTF-8") from None
        raise DataError(f"{path}: not UTF-8 (byte {error.start})") from None


def gunzipped(data: bytes, path: Path, *, most: int = MAX_BYTES) -> bytes:
    """The content of gzipped data, or the data themselves where they are not gzip.

    Raises:
        DataError: damaged, cut short, or more than `most` bytes, at which unpacking stops.
    """
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        with gzip.open(io.BytesIO(data)) as file:
            return _bounded(file, path, most, "unpacks to")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _bounded(file: IO[bytes] | gzip.GzipFile, path: Path, most: int, what: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    while block := file.read(_BLOCK):
        parts.append(block)
        if (size := size + len(block)) > most:
            raise DataError(f"{path}: {what} more than {most} bytes, the limit")
    return b"".join(parts)
