"""The only cache: one folder per result, `<stage>/<key>/`, complete when its `record.json` is there.

The payload is written to a scratch folder beside it, then the record into that folder, then one rename. A
process killed half-way leaves the scratch folder, from which the same work can resume, and never a false hit.
"""

import copy
import errno
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Self

from asr_tv.errors import TryAgain, UserError
from asr_tv.store.checks import damage, find_problems, remember_intact
from asr_tv.store.durable import file_digest as file_digest
from asr_tv.store.durable import file_lock as file_lock
from asr_tv.store.durable import write_atomically as write_atomically
from asr_tv.store.payload import RECORD as RECORD
from asr_tv.store.records import Identity as Identity
from asr_tv.store.records import Produced as Produced
from asr_tv.store.records import Record as Record
from asr_tv.store.records import canonical_json as canonical_json
from asr_tv.store.records import new_row, read_row, record_from, row_text
from asr_tv.store.uses import note, turn_lock

_log = logging.getLogger(__name__)

TRASH = ".trash"
_SPARE_BYTES = 1 << 20


class Damaged(TryAgain):
    """An input of a stage is not what its record says; it has been removed from the store, to be made again."""


class Mirror(Protocol):
    """Single files of a store in a place that all machines reach; picklable, for worker processes."""

    def fetch(self, path: Path) -> bool:
        """Brings the file to this path below the store's root; False when the mirror does not have it."""

    def send(self, path: Path) -> None:
        """Copies the file at this path below the store's root to the mirror."""


class Store:
    """Results under one root folder, shared by any number of processes, also of machines that share the folder.

    Args:
        newer_than: results finished before this moment (seconds since the epoch) count as missing.
    """

    def __init__(self, root: Path, *, newer_than: float = 0.0) -> None:
        self.root = root.absolute()
        self.newer_than = newer_than
        self._check: Callable[[], None] | None = None

    @property
    def location(self) -> str:
        """What `asr_tv.store.object_storage.open_store` opens in another process."""
        return str(self.root)

    @property
    def mirror(self) -> Mirror | None:
        """A copy of single files of this store that other machines can reach, if there is one."""
        return None

    def remade_since(self, moment: float) -> Self:
        """The same store, in which results older than `moment` count as missing."""
        store = copy.copy(self)
        store.newer_than = moment
        return store

    def guarded(self, check: Callable[[], None]) -> Self:
        """The same store, which calls `check` before each execution: of a stage's inputs, right before their use."""
        store = copy.copy(self)
        store._check = check
        return store

    def find(self, identity: Identity) -> Record | None:
        """The finished result of this identity, noted as used; None where there is none or it is damaged."""
        if not self.root.is_dir():
            return None
        with turn_lock(self.root):
            note(self.root, f"{identity.stage}/{identity.key}")
            return self.recorded(identity.stage, identity.key)

    def recorded(self, stage: str, key: str) -> Record | None:
        """As `find`, by stage and key as a report keeps them, and without noting a use."""
        folder = self.root / stage / key
        try:
            if (folder / RECORD).stat().st_mtime < self.newer_than:
                return None
            row = read_row((folder / RECORD).read_bytes(), key)
            if problems := find_problems(_memo(folder), _files_of(folder, row)):
                raise ValueError(", ".join(problems[:3]))
            return record_from(row, folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s is damaged (%s): the result is computed again", folder, error)
            return None

    def fetched(self, stage: str, key: str) -> Record | None:
        """As `recorded`; where there is a mirror, a result that only the mirror has is brought here first."""
        return self.recorded(stage, key)

    def intact(self, memo: Path, files: dict[Path, str]) -> bool:
        """Whether files in the store that belong to a result have these digests; `memo` names the result's folder."""
        problems = find_problems(memo.with_name(f"{memo.name}.files"), ((str(f), f, d) for f, d in files.items()))
        for problem in problems[:3]:
            _log.warning("%s: made again", problem)
        return not problems

    def build(self, identity: Identity, produce: Callable[[Path], Produced]) -> Record:
        """The stored result, or the one that `produce` writes into the folder it is given.

        `produce` may find in its folder what an interrupted call with the same identity left there. A second
        process that wants the same result waits for the first and takes what it made.

        Raises:
            Damaged: an input of the stage is; see `guarded`.
            OSError: no room on the disk, or no permission to write; what is finished stays.
        """
        if (found := self.find(identity)) is not None:
            return found
        with result_lock(self.root, identity.stage, identity.key):
            with turn_lock(self.root):
                note(self.root, f"{identity.stage}/{identity.key}")
            if (found := self.find(identity)) is not None:
                return found
            return self._execute(identity, produce)

    def scratch(self, identity: Identity) -> Path:
        """Where an unfinished result is written; survives a kill, gone once the result is finished."""
        return self.root / identity.stage / f"{identity.key}.partial"

    def discard(self, stage: str, key: str) -> list[str]:
        """Removes a damaged result from the store; returns what was wrong with it, or nothing where it is whole."""
        folder = self.root / stage / key
        with result_lock(self.root, stage, key):
            if not folder.exists() or not (problems := result_problems(folder)):
                return []
            throw_away(self.root, folder)
            return problems

    def _execute(self, identity: Identity, produce: Callable[[Path], Produced]) -> Record:
        scratch, folder = self.scratch(identity), self._folder(identity)
        if scratch.exists() and not any(p.stat().st_mtime >= self.newer_than for p in scratch.rglob("*")):
            throw_away(self.root, scratch)
        scratch.mkdir(parents=True, exist_ok=True)
        for path in scratch.rglob(".*.tmp"):  # what `write_atomically` left in a process that was killed
            path.unlink()
        if self._check is not None:
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
        remember_intact(_memo(folder), _files_of(folder, row))
        return replace(record_from(row, folder), cached=False)

    def _folder(self, identity: Identity) -> Path:
        return self.root / identity.stage / identity.key


def lock_file(root: Path, stage: str, key: str) -> Path:
    """The lock of one result."""
    return root / stage / f"{key}.lock"


def result_lock(root: Path, stage: str, key: str) -> AbstractContextManager[None]:
    """Held by whoever makes a result or removes a damaged one."""
    return file_lock(lock_file(root, stage, key), f"making the same result, {stage} {key} (kept in {root})")


def _memo(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.checked")


def _files_of(folder: Path, row: Mapping[str, Any]) -> Iterator[tuple[str, Path, str]]:
    return ((name, folder / name, digest) for name, digest in row["files"].items())


def throw_away(root: Path, path: Path) -> None:
    """Moves something out of the store in one step, then deletes it; what a kill leaves of it is in the trash."""
    if (gone := to_trash(root, path)) is not None:
        delete(gone)


def delete(path: Path) -> None:
    """Deletes a file or folder, which may be gone already."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def to_trash(root: Path, path: Path) -> Path | None:
    """Moves something out of the store in one step; returns where it is now, or None where it was not there."""
    trash = root / TRASH
    trash.mkdir(exist_ok=True)
    try:
        return path.rename(trash / uuid.uuid4().hex)
    except FileNotFoundError:
        return None


def result_problems(folder: Path) -> list[str]:
    """What is wrong with a finished result; reads every byte of it."""
    try:
        row = read_row((folder / RECORD).read_bytes(), folder.name)
    except FileNotFoundError:
        return [f"{RECORD}: lost"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{RECORD}: {error}"]
    return damage(folder, row["files"])


@contextmanager
def _room_on(folder: Path) -> Iterator[None]:
    """Turns the errors that libraries have for a full disk into the ordinary one."""
    try:
        yield
    except (OSError, UserError):
        raise
    except Exception as error:
        full = "No space left on device" in str(error) or "os error 28" in str(error)
        if full or shutil.disk_usage(folder).free < _SPARE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise


def _payload_digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != RECORD)
    return {p.relative_to(folder).as_posix(): file_digest(p) for p in files}
