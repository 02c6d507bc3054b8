"""Whether files still hold what they held: hashed once, then recognised by their size, times and inode.

`damage` hashes every file again, whatever the file system says.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from asr_tv.store.durable import file_digest, write_atomically

_Row = list[int | str]
_SLACK_NS = 50_000_000
"""A file changed within a tick of the file system's clock after it was hashed keeps its times: it is hashed again."""

CHANGED = "other bytes than when it was written"

_unwritten: dict[Path, dict[str, _Row]] = {}
"""What this process remembers in place of memos that cannot be written."""


def find_problems(memo: Path, files: Iterable[tuple[str, Path, str]]) -> list[str]:
    """Problems of files (name for messages, path, sha256); what the file `memo` knows as intact is not read again."""
    checked = _Checked(memo)
    problems = [checked.problem(*file) for file in files]
    checked.keep()
    return [problem for problem in problems if problem]


def remember_intact(memo: Path, files: Iterable[tuple[str, Path, str]]) -> None:
    """Notes in `memo` that files have these digests: the caller has just hashed them."""
    checked = _Checked(memo)
    checked.learnt = {name: _row_of(file, digest) for name, file, digest in files}
    checked.keep()


class _Checked:
    def __init__(self, memo: Path) -> None:
        self._memo = memo
        self._rows: dict[str, _Row] = {}
        self._written_ns = 0
        self.learnt: dict[str, _Row] = {}
        with contextlib.suppress(OSError, ValueError):
            rows = json.loads(memo.read_text(encoding="utf-8"))
            if isinstance(rows, dict):
                self._rows, self._written_ns = rows, memo.stat().st_mtime_ns

    def problem(self, name: str, file: Path, digest: str) -> str | None:
        """As `file_problem`; hashed only where the memo does not know the file."""
        try:
            row = _row_of(file, digest)
        except OSError as error:
            return f"{name}: {_reason(error)}"
        known = self._rows.get(name) == row and int(row[2]) + _SLACK_NS < self._written_ns
        if known or _unwritten.get(self._memo, {}).get(name) == row:
            return None
        if (problem := file_problem(name, file, digest)) is not None:
            return problem
        if row == _row_of(file, digest):  # not changed while it was hashed
            self.learnt[name] = row
        return None

    def keep(self) -> None:
        """Writes what was learnt; a memo only saves time, so where it cannot be written this process remembers it."""
        if not self.learnt:
            return
        rows = self._rows | self.learnt
        try:
            write_atomically(self._memo, json.dumps(rows))
        except OSError:
            _unwritten[self._memo] = rows


def file_problem(name: str, file: Path, digest: str) -> str | None:
    """What is wrong with a file that should have this sha256, or None; reads all of it."""
    try:
        return None if file_digest(file) == digest else f"{name}: {CHANGED}"
    except OSError as error:
        return f"{name}: {_reason(error)}"


def damage(folder: Path, files: Mapping[str, str]) -> list[str]:
    """What is wrong with files, all of them read; `files`: name below the folder -> sha256."""
    problems = (file_problem(name, folder / name, digest) for name, digest in files.items())
    return [problem for problem in problems if problem]


def _reason(error: OSError) -> str:
    return "lost" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"


def _row_of(file: Path, digest: str) -> _Row:
    stat = os.stat(file)  # noqa: PTH116 - called for every file of a store
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, digest]
