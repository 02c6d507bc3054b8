"""Who uses which results of a store: pins, and one small file per run or process, locked while that process lives.

Every use is noted before the result is looked for, so that a clean-up, which takes turns with that, knows of it.
"""

import atexit
import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_tv.errors import DataError
from asr_tv.store.durable import is_locked, write_atomically

_log = logging.getLogger(__name__)

RUNS, PINS, TURN = ".runs", ".pins", ".turn.lock"
ENTRY = re.compile(r"[\w.-]+/[0-9a-f]{24}")  # stage/key of a result
_FINISHED = "finished"


@dataclass(frozen=True)
class Use:
    """A run, or another process, and the results it asked for.

    Attributes:
        folder: of the run's output; None for a process outside a run.
        live: still running.
        last: when it last asked for a result, in seconds since the epoch by the file system's clock.
    """

    file: Path
    name: str
    folder: Path | None
    host: str
    finished: bool
    live: bool
    last: float
    entries: frozenset[str]


class _Registration:
    def __init__(self, file: Path, header: Mapping[str, Any]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._noted: set[str] = set()
        self.append(json.dumps(header))

    def note(self, entry: str) -> None:
        if entry not in self._noted:
            self.append(entry)
            self._noted.add(entry)

    def append(self, line: str) -> None:
        # A line that a full disk cut off must not run into the next one.
        data = f"\n{line}\n".encode()
        if os.write(self._descriptor, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.file))

    def close(self) -> None:
        os.close(self._descriptor)


_guard = threading.RLock()
_runs: dict[Path, list[_Registration]] = {}
_process: dict[Path, _Registration] = {}


@contextmanager
def turn_lock(root: Path, *, exclusive: bool = False) -> Iterator[None]:
    """Keeps users, who share it, apart from clean-ups, which hold it alone; no lock where nothing can be written."""
    try:
        if exclusive:
            root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(root / TURN, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        if exclusive or not _is_read_only(error):
            raise
        yield
        return
    try:
        kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if not exclusive:
                _log.warning("waiting for the garbage collection in %s to end", root)
            fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def note(root: Path, entry: str) -> None:
    """Notes that the runs of this process, or the process itself where it runs none, use a result."""
    with _guard:
        try:
            for registration in _runs.get(root) or [_process.get(root) or _register_process(root)]:
                registration.note(entry)
        except OSError as error:
            if not _is_read_only(error):
                raise


@contextmanager
def registered(root: Path, folder: Path, name: str) -> Iterator[None]:
    """While it lasts, what this process uses of the store is noted for that run, for which it stays noted."""
    try:
        registration: _Registration | None = _register_run(root, folder.absolute(), name)
    except OSError as error:
        if not _is_read_only(error):
            raise
        registration = None
    if registration is None:
        yield
        return
    try:
        yield
        registration.append(_FINISHED)
        _forget_earlier(registration.file)
    finally:
        with _guard:
            _runs[root].remove(registration)
        registration.close()


def read_uses(root: Path) -> list[Use]:
    """Every registered use, in the order of the files' names."""
    found = []
    for file in sorted((root / RUNS).glob("*.jsonl")):
        with contextlib.suppress(FileNotFoundError):  # ended meanwhile
            found.append(_read(file))
    return found


def latest_starts(uses: list[Use]) -> list[Use]:
    """The last finished start of each run and those after it, and whatever is live; `uses` in order of file name."""
    finished = dict(_start_of(use.file) for use in uses if use.folder is not None and use.finished)

    def counts(use: Use) -> bool:
        run, number = _start_of(use.file)
        return use.folder is not None and number >= finished.get(run, 0)

    return [use for use in uses if use.live or counts(use)]


def _register_run(root: Path, folder: Path, name: str) -> _Registration:
    run = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    with turn_lock(root), _guard:
        numbers = [_start_of(file)[1] for file in (root / RUNS).glob(f"{run}.*.jsonl")]
        for number in range(max(numbers, default=0) + 1, 1_000_000):
            try:
                file = root / RUNS / f"{run}.{number:06}.jsonl"
                registration = _Registration(file, {"run": str(folder), "name": name, "host": socket.gethostname()})
            except FileExistsError:
                continue
            _runs.setdefault(root, []).append(registration)
            return registration
    raise AssertionError(run)


def _register_process(root: Path) -> _Registration:
    header = {"name": f"process {os.getpid()}", "host": socket.gethostname()}
    _process[root] = _Registration(root / RUNS / f"process.{uuid.uuid4().hex}.jsonl", header)
    return _process[root]


def leave(root: Path) -> None:
    """Notes that this process no longer needs anything in a store; what its runs asked for stays noted for them."""
    with _guard:
        if (registration := _process.pop(root, None)) is not None:
            registration.file.unlink(missing_ok=True)
            registration.close()


@atexit.register
def _leave_all() -> None:
    for root in list(_process):
        leave(root)


def _forget_earlier(file: Path) -> None:
    run, number = _start_of(file)
    for other in file.parent.glob(f"{run}.*.jsonl"):
        if _start_of(other)[1] < number and not is_locked(other):
            other.unlink(missing_ok=True)


def _start_of(file: Path) -> tuple[str, int]:
    """The run's part of a registration's file name and the number of the start, 0 for a process."""
    run, _, number = file.name.removesuffix(".jsonl").partition(".")
    return run, int(number) if number.isdigit() else 0


def _read(file: Path) -> Use:
    live = is_locked(file)
    last = file.stat().st_mtime
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    header: dict[str, Any] = {}
    with contextlib.suppress(ValueError, StopIteration):
        header = json.loads(next(line for line in lines if line.startswith("{")))
    name, host, run = str(header.get("name", file.stem)), str(header.get("host", "")), header.get("run")
    folder = Path(run) if isinstance(run, str) else None
    entries = frozenset(line for line in lines if ENTRY.fullmatch(line))
    return Use(file, name, folder, host, _FINISHED in lines, live, last, entries)


def _is_read_only(error: OSError) -> bool:
    return isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError) or error.errno == errno.EROFS


@dataclass(frozen=True)
class Pin:
    """Results that stay whatever becomes of their run; `what` is stage/key or a run's folder."""

    what: str
    entries: frozenset[str]


def read_pins(root: Path) -> list[Pin]:
    """All pins.

    Raises:
        DataError: one cannot be read, so what it holds is unknown.
    """
    pins = []
    for file in sorted((root / PINS).glob("*.json")):
        try:
            row = json.loads(file.read_text(encoding="utf-8"))
            pins.append(Pin(str(row["what"]), frozenset(map(str, row["entries"]))))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file}: not a pin ({error}): delete it, and pin again what it held") from error
    return pins


def write_pin(root: Path, pin: Pin) -> None:
    """Writes a pin, replacing an earlier one on the same."""
    row = {"what": pin.what, "entries": sorted(pin.entries)}
    write_atomically(_pin_file(root, pin.what), json.dumps(row, indent=1, ensure_ascii=False) + "\n")


def remove_pin(root: Path, what: str) -> bool:
    """Removes a pin; returns whether there was one."""
    file = _pin_file(root, what)
    there = file.exists()
    file.unlink(missing_ok=True)
    return there


def _pin_file(root: Path, what: str) -> Path:
    return root / PINS / f"{hashlib.sha256(what.encode()).hexdigest()[:16]}.json"
