"""The only cache: one folder a result, `<stage>/<key>/`, complete when its `record.json` is there.

The payload is written to a scratch folder beside it, then the record into that folder, then one rename. A
process killed half-way leaves the scratch folder, in which the same work can resume, and never a false hit.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, TypeVar

from asr_tv.errors import DataError
from asr_tv.manifest import ManifestRef

_log = logging.getLogger(__name__)

RECORD = "record.json"
Kind = TypeVar("Kind")
_PACKAGES = ("asr-tv", "torch", "transformers", "openai-whisper", "piper-tts", "jiwer", "numpy")


@dataclass(frozen=True)
class Identity:
    """What decides a result, and so its key: nothing of how or where it is computed.

    Attributes:
        stage: the stage's name, also the folder's.
        version: raised by hand whenever the stage's output changes for the same inputs.
        parameters: the configuration values that change the result, JSON-able.
        inputs: role of each input record -> its digest.
        seed: of every random draw in the stage.
    """

    stage: str
    version: int
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    @property
    def key(self) -> str:
        """sha256 of the canonical JSON of all parts, cut to 24 hexadecimal digits."""
        return hashlib.sha256(canonical_json(asdict(self)).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Record:
    """A finished result. `digest` is of the payload, so equal payloads are equal inputs downstream.

    Attributes:
        reads: every manifest whose audio or text the stage read; the ledger is made of these.
        details: what the stage counted, JSON-able.
        cached: found in the store by this call, not executed; not part of the file.
    """

    stage: str
    key: str
    path: Path
    digest: str
    reads: tuple[ManifestRef, ...]
    details: Mapping[str, Any]
    seconds: float
    cached: bool


@dataclass(frozen=True)
class Produced:
    """What a stage's function returns: what it read and what it counted. Its payload is in the folder it was given."""

    reads: tuple[ManifestRef, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text in every process."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no canonical form")


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes | str) -> None:
    """Writes a file so that readers see the old content or the new one, and never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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

    @property
    def location(self) -> str:
        """What `asr_tv.object_storage.open_store` opens in another process."""
        return str(self.root)

    @property
    def mirror(self) -> Mirror | None:
        """Where single files of this store are kept besides, for other machines."""
        return None

    def remade_since(self, moment: float) -> "Store":
        """The same store, in which results older than `moment` count as missing."""
        return Store(self.root, newer_than=moment)

    def find(self, identity: Identity) -> Record | None:
        """The finished result of this identity, or None when there is none or it is incomplete."""
        return self.recorded(identity.stage, identity.key)

    def recorded(self, stage: str, key: str) -> Record | None:
        """The finished result under a stage's name and a key that a report or record keeps, or None as `find`."""
        folder = self.root / stage / key
        try:
            if (folder / RECORD).stat().st_mtime < self.newer_than:
                return None
            row = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            if row["key"] != key:
                raise ValueError(f"of another result, {row['key']}")
            return _record_from(row, folder)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            _log.warning("%s is not a valid record (%s): the result is computed again", folder / RECORD, error)
            return None

    def build(self, identity: Identity, produce: Callable[[Path], Produced]) -> Record:
        """The stored result, or the one that `produce` writes into the folder it is given.

        `produce` may find in its folder what an interrupted call with the same identity left there. A second
        process that wants the same result waits for the first and takes what it made; the lock goes with the
        process that holds it.
        """
        if (found := self.find(identity)) is not None:
            return found
        with self._locked(identity):
            if (found := self.find(identity)) is not None:
                return found
            return self._execute(identity, produce)

    def busy(self, identity: Identity) -> bool:
        """Whether another process is making this result right now."""
        try:
            with self._lock_file(identity).open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def scratch(self, identity: Identity) -> Path:
        """Where an unfinished result is written; survives a kill, gone once the result is finished."""
        return self.root / identity.stage / f"{identity.key}.partial"

    def _execute(self, identity: Identity, produce: Callable[[Path], Produced]) -> Record:
        scratch, folder = self.scratch(identity), self._folder(identity)
        if scratch.exists() and not _holds_newer(scratch, self.newer_than):
            shutil.rmtree(scratch)
        scratch.mkdir(parents=True, exist_ok=True)
        _remove_half_written(scratch)
        start = time.perf_counter()
        produced = produce(scratch)
        row = _row(identity, produced, _payload_digests(scratch), time.perf_counter() - start)
        write_atomically(scratch / RECORD, json.dumps(row, indent=1, ensure_ascii=False, default=_plain))
        if folder.exists():  # an invalid result: find() has refused it under this lock
            shutil.rmtree(folder)
        scratch.replace(folder)
        record = _record_from(row, folder)
        return Record(**{**vars(record), "cached": False})

    def _folder(self, identity: Identity) -> Path:
        return self.root / identity.stage / identity.key

    def _lock_file(self, identity: Identity) -> Path:
        return self.root / identity.stage / f"{identity.key}.lock"

    @contextmanager
    def _locked(self, identity: Identity) -> Iterator[None]:
        with file_lock(self._lock_file(identity), f"{identity.stage} {identity.key}"):
            yield


@contextmanager
def file_lock(path: Path, what: str = "") -> Iterator[None]:
    """Held by one process at a time, and gone with it; `what` is named to the log when another one holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("another process is making %s: waiting for it", what or path.parent.name)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _holds_newer(folder: Path, moment: float) -> bool:
    return any(path.stat().st_mtime >= moment for path in folder.rglob("*"))


def _remove_half_written(folder: Path) -> None:
    """Takes away what `write_atomically` left in a process that was killed."""
    for path in folder.rglob(".*.tmp"):
        path.unlink()


def _payload_digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != RECORD)
    return {p.relative_to(folder).as_posix(): file_digest(p) for p in files}


def _row(identity: Identity, produced: Produced, files: Mapping[str, str], seconds: float) -> dict[str, Any]:
    return {
        **asdict(identity),
        "key": identity.key,
        "digest": hashlib.sha256(canonical_json(files).encode()).hexdigest(),
        "files": files,
        "reads": [asdict(ref) for ref in produced.reads],
        "details": produced.details,
        "seconds": round(seconds, 3),
        "packages": _versions(),
    }


def _versions() -> dict[str, str]:
    installed = {}
    for package in _PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def _record_from(row: Mapping[str, Any], folder: Path) -> Record:
    missing = [name for name in payload_files(row) if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"lost {', '.join(missing[:3])}")
    return Record(
        stage=_kind_of(str, row["stage"]),
        key=_kind_of(str, row["key"]),
        path=folder,
        digest=_kind_of(str, row["digest"]),
        reads=tuple(_ref_from(ref) for ref in row["reads"]),
        details=_kind_of(dict, row["details"]),
        seconds=float(row["seconds"]),
        cached=True,
    )


def payload_files(row: Mapping[str, Any]) -> Mapping[str, str]:
    """The files of a record and their digests.

    Raises:
        ValueError: a name that leads out of the result's folder; TypeError: no such mapping.
    """
    files = _kind_of(dict, row["files"])
    for name, digest in files.items():
        if _kind_of(str, digest) and (not name or "\0" in name or name.startswith("/") or ".." in name.split("/")):
            raise ValueError(f"{name!r:.80} is no file of a result")
    return files


def _kind_of(kind: type[Kind], value: Any) -> Kind:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r:.80} is no {kind.__name__}")
    return value


def _ref_from(row: Mapping[str, Any]) -> ManifestRef:
    lists = {key: tuple(row[key]) for key in ("domains", "splits", "origins")}
    return ManifestRef(name=row["name"], digest=row["digest"], utterances=row["utterances"], **lists)


def verify(record: Record) -> None:
    """Reads the payload again and compares its digests with the record's.

    Raises:
        DataError: every file that changed or vanished since it was written.
    """
    row = json.loads((record.path / RECORD).read_text(encoding="utf-8"))
    actual = _payload_digests(record.path)
    changed = [name for name, digest in row["files"].items() if actual.get(name) != digest]
    if changed:
        raise DataError(f"{record.path}: changed since it was written: {', '.join(changed)}")
