"""Files that are whole or not there, and locks that go with the process that holds them."""

import fcntl
import hashlib
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_log = logging.getLogger(__name__)


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes | str) -> None:
    """Writes a file so that readers see the old content or the new one, and never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.tmp")
    try:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def file_lock(path: Path, what: str = "") -> Iterator[None]:
    """Held by one process at a time, and gone with it; `what` is named to the log when another one holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = False
    while True:
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    _log.warning("another process is making %s: waiting for it", what or path.parent.name)
                    told = True
                fcntl.flock(file, fcntl.LOCK_EX)
            # Who held it, or a clean-up, may have removed the file: then others meet at another one.
            if _is_at(path, file.fileno()):
                yield
                return


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock; its file is left as it is."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # two that look do not take each other for a holder
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def remove_lock(path: Path) -> bool:
    """Takes away the file of a lock that nobody holds; who waits for it just now locks a new one."""
    try:
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
