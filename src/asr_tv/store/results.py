"""The only cache: one folder a result, `<stage>/<key>/`, complete when its `record.json` is there.

The payload is written to a scratch folder beside it, then the record into that folder, then one rename. A
process killed half-way leaves the scratch folder, in which the same work can resume, and never a false hit.
"""

import copy
import errno
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self

from asr_tv.errors import DataError, TryAgain, UserError
from asr_tv.store.checks import Checked, damage
from asr_tv.store.durable import file_digest as file_digest
from asr_tv.store.durable import file_lock as file_lock
from asr_tv.store.durable import is_locked
from asr_tv.store.durable import write_atomically as write_atomically
from asr_tv.store.records import RECORD as RECORD
from asr_tv.store.records import Identity as Identity
from asr_tv.store.records import Produced as Produced
from asr_tv.store.records import Record as Record
from asr_tv.store.records import canonical_json as canonical_json
from asr_tv.store.records import new_row, read_row, record_from, row_text
from asr_tv.store.uses import in_turn, note

_log = logging.getLogger(__name__)

TRASH = ".trash"
_SPARE_BYTES = 1 << 20


class Damaged(TryAgain):
    """What a stage was about to read is not what its record says; it is out of the store, to be made again."""


def _nothing_to_check() -> None:
    return


class Mirror(Protocol):
    """Single files of a store in a place that all machines reach; picklable, for worker processes."""

    def fetch(self, path: Path) -> bool:
        """Brings the file to this path below the store's root; False when the mirror does not have it."""

    def send(self, path: Path) -> None:
        """Copies the file at this path below the store's root to the mirror."""


class Store:
    """Results under one root folder, shared by any number of processes, also of machines that share the folder.

    Args:
        newer_than: results finished before this moment (seconds since the epoch) are not taken but made again.
    """

    def __init__(self, root: Path, *, newer_than: float = 0.0) -> None:
        self.root = root.absolute()
        self.newer_than = newer_than
        self._check: Callable[[], None] = _nothing_to_check

    @property
    def location(self) -> str:
        """What `asr_tv.store.object_storage.open_store` opens in another process."""
        return str(self.root)

    @property
    def mirror(self) -> Mirror | None:
        """Where single files of this store are kept besides, for other machines."""
        return None

    def remade_since(self, moment: float) -> Self:
        """The same store, in which results older than `moment` count as missing."""
        again = copy.copy(self)
        again.newer_than = moment
        return again

    def guarded(self, check: Callable[[], None]) -> Self:
        """The same store, which calls `check` before it executes anything: a stage's inputs, right before their use."""
        again = copy.copy(self)
        again._check = check
        return again

    def find(self, identity: Identity) -> Record | None:
        """The finished result of this identity, or None when there is none, or it is incomplete or damaged.

        It counts as used from now on.
        """
        if not self.root.is_dir():
            return None
        with in_turn(self.root):
            note(self.root, f"{identity.stage}/{identity.key}")
            return self.recorded(identity.stage, identity.key)

    def recorded(self, stage: str, key: str) -> Record | None:
        """The finished result under a stage's name and a key that a report or record keeps, or None as `find`."""
        folder = self.root / stage / key
        try:
            if (folder / RECORD).stat().st_mtime < self.newer_than:
                return None
            row = read_row((folder / RECORD).read_bytes(), key)
            if problems := self._problems(folder, row["files"]):
                raise ValueError(", ".join(problems[:3]))
            return record_from(row, folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s is damaged (%s): the result is computed again", folder, error)
            return None

    def intact(self, memo: Path, files: dict[Path, str]) -> bool:
        """Whether files in the store that belong to a result have these digests; `memo` names the result's folder."""
        checked = Checked(memo.with_name(f"{memo.name}.files"))
        problems = [checked.problem(str(file), file, digest) for file, digest in files.items()]
        checked.keep()
        for problem in [problem for problem in problems if problem][:3]:
            _log.warning("%s: made again", problem)
        return not any(problems)

    def build(self, identity: Identity, produce: Callable[[Path], Produced]) -> Record:
        """The stored result, or the one that `produce` writes into the folder it is given.

        `produce` may find in its folder what an interrupted call with the same identity left there. A second
        process that wants the same result waits for the first and takes what it made; the lock goes with the
        process that holds it.

        Raises:
            Damaged: an input of the stage is; see `guarded`.
            OSError: there is no room left, or no leave to write; what is finished stays.
        """
        if (found := self.find(identity)) is not None:
            return found
        with self._locked(identity):
            with in_turn(self.root):
                note(self.root, f"{identity.stage}/{identity.key}")
            if (found := self.find(identity)) is not None:
                return found
            return self._execute(identity, produce)

    def busy(self, identity: Identity) -> bool:
        """Whether another process is making this result right now."""
        return is_locked(self._lock_file(identity))

    def scratch(self, identity: Identity) -> Path:
        """Where an unfinished result is written; survives a kill, gone once the result is finished."""
        return self.root / identity.stage / f"{identity.key}.partial"

    def discard(self, stage: str, key: str) -> list[str]:
        """Takes a result that is damaged out of the store; what was wrong with it, or nothing where it is whole."""
        folder = self.root / stage / key
        with file_lock(folder.with_name(f"{key}.lock"), f"{stage} {key}"):
            if not folder.exists() or not (problems := result_problems(folder)):
                return []
            throw_away(self.root, folder)
            return problems

    def _execute(self, identity: Identity, produce: Callable[[Path], Produced]) -> Record:
        scratch, folder = self.scratch(identity), self._folder(identity)
        if scratch.exists() and not _holds_newer(scratch, self.newer_than):
            throw_away(self.root, scratch)
        scratch.mkdir(parents=True, exist_ok=True)
        _remove_half_written(scratch)
        self._check()
        start = time.perf_counter()
        with _room_on(scratch):
            produced = produce(scratch)
        row = new_row(identity, produced, _payload_digests(scratch), time.perf_counter() - start)
        write_atomically(scratch / RECORD, row_text(row))
        if self.newer_than:  # whatever the clock says, it was made since
            os.utime(scratch / RECORD, (max(self.newer_than, time.time()),) * 2)
        if folder.exists():  # an invalid result: find() has refused it under this lock
            throw_away(self.root, folder)
        scratch.replace(folder)
        self._learn(folder, row["files"])
        return Record(**{**vars(record_from(row, folder)), "cached": False})

    def _problems(self, folder: Path, files: dict[str, str]) -> list[str]:
        checked = Checked(_memo(folder))
        problems = [checked.problem(name, folder / name, digest) for name, digest in files.items()]
        checked.keep()
        return [problem for problem in problems if problem]

    def _learn(self, folder: Path, files: dict[str, str]) -> None:
        checked = Checked(_memo(folder))
        for name, digest in files.items():
            checked.learn(name, folder / name, digest)
        checked.keep()

    def _folder(self, identity: Identity) -> Path:
        return self.root / identity.stage / identity.key

    def _lock_file(self, identity: Identity) -> Path:
        return self.root / identity.stage / f"{identity.key}.lock"

    @contextmanager
    def _locked(self, identity: Identity) -> Iterator[None]:
        with file_lock(self._lock_file(identity), f"{identity.stage} {identity.key}"):
            yield


def _memo(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.checked")


def throw_away(root: Path, path: Path) -> None:
    """Takes something out of the store in one step, then deletes it; what a kill leaves of it is in the trash."""
    if (gone := to_trash(root, path)) is None:
        return
    if gone.is_dir():
        shutil.rmtree(gone, ignore_errors=True)
    else:
        gone.unlink(missing_ok=True)


def to_trash(root: Path, path: Path) -> Path | None:
    """Takes something out of the store in one step; where it is now, or None where it was not there."""
    trash = root / TRASH
    trash.mkdir(exist_ok=True)
    try:
        return path.rename(trash / uuid.uuid4().hex)
    except FileNotFoundError:
        return None


def result_problems(folder: Path) -> list[str]:
    """What is wrong with a finished result, every byte of it read."""
    try:
        row = read_row((folder / RECORD).read_bytes(), folder.name)
    except FileNotFoundError:
        return [f"{RECORD}: lost"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{RECORD}: {error}"]
    return damage(folder, row["files"])


@contextmanager
def _room_on(folder: Path) -> Iterator[None]:
    """Libraries have errors of their own for a full disk; they become the ordinary one."""
    try:
        yield
    except (OSError, UserError):
        raise
    except Exception as error:
        full = "No space left on device" in str(error) or "os error 28" in str(error)
        if full or shutil.disk_usage(folder).free < _SPARE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise


def _holds_newer(folder: Path, moment: float) -> bool:
    return any(path.stat().st_mtime >= moment for path in folder.rglob("*"))


def _remove_half_written(folder: Path) -> None:
    """Takes away what `write_atomically` left in a process that was killed."""
    for path in folder.rglob(".*.tmp"):
        path.unlink()


def _payload_digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != RECORD)
    return {p.relative_to(folder).as_posix(): file_digest(p) for p in files}


def verify(record: Record) -> None:
    """Reads the payload again and compares its digests with the record's.

    Raises:
        DataError: every file that changed or vanished since it was written.
    """
    if changed := damage(record.path, json.loads((record.path / RECORD).read_text(encoding="utf-8"))["files"]):
        raise DataError(f"{record.path}: changed since it was written: {', '.join(changed)}")
