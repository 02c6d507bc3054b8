"""Files that are whole or not there, and locks that go with the process that holds them."""

import fcntl
import functools
import hashlib
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_log = logging.getLogger(__name__)

NOTICE_SECONDS = 15.0
"""Shorter waits are not worth a line: the jobs of one run often wait for each other."""


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached_digest(path: Path) -> str:
    """As `file_digest`, once per process as long as the file system says that it is the same file."""
    status = path.stat()
    return _digest_once(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@functools.cache
def _digest_once(path: Path, *_: int) -> str:
    return file_digest(path)


def write_atomically(path: Path, data: bytes | str) -> None:
    """Writes a file so that readers see the old content or the new one, and never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.tmp")
    try:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def append_durably(path: Path, data: bytes) -> None:
    """Adds to a file and waits until it is on the disk."""
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def file_lock(path: Path, doing: str = "") -> Iterator[None]:
    """Held by one process at a time and released however that process ends; whoever waits long logs `doing`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a") as file:
            _wait_for(file, doing or f"writing into {path.parent}")
            # The previous holder, or a clean-up, may have removed the file: then others lock a new one.
            if _is_at(path, file.fileno()):
                yield
                return


def _wait_for(file: IO[str], doing: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        words = ("waiting for another process that is %s: %.0f s so far", doing, NOTICE_SECONDS)
        notice = threading.Timer(NOTICE_SECONDS, _log.warning, words)
        notice.daemon = True
        notice.start()
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        finally:
            notice.cancel()


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock; its file is left as it is."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that ask at once do not see each other
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def remove_lock(path: Path) -> bool:
    """Removes a lock's file; False where a process holds it. One that is just waiting for it locks a new file."""
    try:
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
