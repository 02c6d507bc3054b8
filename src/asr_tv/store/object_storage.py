"""A store on object storage, through fsspec: a local folder works as cache, the bucket is what all machines share.

A result's files are sent first, under the digest of the payload, and its record last and only once: readers see
a whole result or none. One machine at a time makes a result; it says so in a lease that it keeps renewing.
"""

import functools
import hashlib
import json
import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from asr_tv.errors import ConfigError, TryAgain
from asr_tv.store.durable import file_digest, write_atomically
from asr_tv.store.records import read_row
from asr_tv.store.results import RECORD, Identity, Mirror, Produced, Record, Store, throw_away

_log = logging.getLogger(__name__)

CACHE_VARIABLE = "ASR_TV_CACHE"
"""Environment variable: the folder for local copies; ~/.cache/asr-tv when not set."""
LEASE_SECONDS = 60.0
_POLL_SECONDS = 2.0
_BLOCK = 1 << 20
_GIVEN_UP = b"given up"  # content of a lease whose holder failed; the one with the next number is free


def open_store(location: str | Path, *, newer_than: float = 0.0) -> Store:
    """The store at a folder, or at an address such as s3://bucket/asr-tv, cached on this machine.

    Raises:
        ConfigError: an address of a kind whose package is not installed.
    """
    address = str(location)
    if "://" not in address:
        return Store(Path(address), newer_than=newer_than)
    root = Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/asr-tv").expanduser()
    cache = root / hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:16]
    return MirroredStore(cache, Bucket(address.rstrip("/"), cache.absolute()), newer_than=newer_than)


@functools.cache
def _file_system(address: str) -> tuple[Any, str]:
    import fsspec

    folders = {"auto_mkdir": True} if address.startswith(("file://", "local://")) else {}
    try:
        system, path = fsspec.core.url_to_fs(address, use_listings_cache=False, **folders)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"store {address}: {error}; for s3:// install asr-tv[object-storage]") from None
    return system, str(path)


@dataclass(frozen=True)
class Bucket:
    """Objects under an address; local paths below `root` have the same names there. Picklable."""

    address: str
    root: Path

    def fetch(self, path: Path) -> bool:
        return self.fetch_as(self._name(path), path)

    def fetch_as(self, name: str, path: Path) -> bool:
        """Brings the object to this path in one rename; False when it is not there."""
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._do(lambda system, at: system.get_file(at, str(temporary)), name)
            temporary.replace(path)
        except FileNotFoundError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def send(self, path: Path) -> None:
        self.send_as(path, self._name(path))

    def send_as(self, path: Path, name: str) -> None:
        self._do(lambda system, at: system.put_file(str(path), at), name)

    def read(self, name: str) -> bytes | None:
        with suppress(FileNotFoundError):
            return bytes(self._do(lambda system, at: system.cat_file(at), name))
        return None

    def download(self, name: str, to: BinaryIO, most: int) -> int | None:
        """Copies an object, but no more than `most` bytes and one; returns how many, None when it is not there."""

        def copy(system: Any, at: str) -> int:
            size = 0
            with system.open(at, "rb") as file:
                while size <= most and (block := file.read(min(_BLOCK, most + 1 - size))):
                    to.write(block)
                    size += len(block)
            return size

        try:
            return int(self._do(copy, name))
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes, *, only_new: bool = False) -> bool:
        """False when it must be new and is there already; of several at once one succeeds."""
        try:
            self._do(lambda system, at: _put(system, at, content, only_new), name)
        except FileExistsError:
            return False
        return True

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._do(lambda system, at: system.rm_file(at), name)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _do(self, action: Callable[[Any, str], Any], name: str) -> Any:
        system, base = _file_system(self.address)
        try:
            return action(system, f"{base}/{name}")
        except (FileNotFoundError, FileExistsError):
            raise
        except Exception as error:  # every file system has its own
            raise TryAgain(f"store {self.address}: {name}: {type(error).__name__}: {error}") from error


def _put(system: Any, at: str, content: bytes, only_new: bool) -> None:
    if "file" not in system.protocol:
        system.pipe_file(at, content, mode="create" if only_new else "overwrite")
        return
    # fsspec looks first and writes then, and two machines on a shared folder both find nothing; a link is one step.
    path = Path(at)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(content)
        if only_new:
            os.link(temporary, path)
        else:
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class MirroredStore(Store):
    """A local store whose results are shared through a bucket."""

    def __init__(self, root: Path, bucket: Bucket, *, newer_than: float = 0.0) -> None:
        super().__init__(root, newer_than=newer_than)
        self._bucket = bucket

    @property
    def location(self) -> str:
        return self._bucket.address

    @property
    def mirror(self) -> Mirror:
        return self._bucket

    def find(self, identity: Identity) -> Record | None:
        if (found := super().find(identity)) is not None:
            return found
        row = self._shared(identity)
        return None if row is None else self._bring(identity, row)

    def busy(self, identity: Identity) -> bool:
        if super().busy(identity):
            return True
        number, lease = 0, self._bucket.read(_lease(identity, 0))
        while lease == _GIVEN_UP:
            number += 1
            lease = self._bucket.read(_lease(identity, number))
        return lease is not None

    def _execute(self, identity: Identity, produce: Callable[[Path], Produced]) -> Record:
        with self._leased(identity):
            if (found := self.find(identity)) is not None:
                return found
            return self._share(identity, super()._execute(identity, produce))

    def _shared(self, identity: Identity) -> dict[str, Any] | None:
        """The record in the bucket, unless it is damaged or too old; `finished` is the moment it was made."""
        if (content := self._bucket.read(_record(identity))) is None:
            return None
        try:
            row = read_row(content, identity.key)
            usable = row["finished"] >= self.newer_than
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("%s in %s is not a valid record (%s)", _record(identity), self.location, error)
            return None
        return row if usable else None

    def _bring(self, identity: Identity, row: Mapping[str, Any]) -> Record | None:
        """Copies a shared result here, checked against its digests; None when something of it is lost."""
        folder = self._folder(identity)
        temporary = folder.with_name(f"{folder.name}.fetched-{uuid.uuid4().hex}")
        try:
            for name, digest in row["files"].items():
                file = temporary / name
                if not self._bucket.fetch_as(f"{_payload(identity, row)}/{name}", file) or file_digest(file) != digest:
                    _log.warning("%s: %s of %s is lost or damaged: made again", self.location, name, folder.name)
                    return None
            write_atomically(temporary / RECORD, json.dumps(row, indent=1, ensure_ascii=False))
            os.utime(temporary / RECORD, (row["finished"], row["finished"]))
            if folder.exists() and super().find(identity) is None:
                throw_away(self.root, folder)
            if not folder.exists():
                temporary.replace(folder)
            return super().find(identity)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _share(self, identity: Identity, record: Record) -> Record:
        row = json.loads((record.path / RECORD).read_text(encoding="utf-8"))
        row["finished"] = (record.path / RECORD).stat().st_mtime
        for name in row["files"]:
            self._bucket.send_as(record.path / name, f"{_payload(identity, row)}/{name}")
        self._bucket.write(_record(identity), json.dumps(row, ensure_ascii=False).encode())
        return record

    @contextmanager
    def _leased(self, identity: Identity) -> Iterator[None]:
        """Waits until no other machine makes this result, or what it makes is there, or it has stopped renewing."""
        owner = uuid.uuid4().hex
        number = self._take(identity, owner)
        if number is None:
            yield  # made meanwhile: there is nothing left to protect
            return
        stop = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(_lease(identity, number), owner, stop), daemon=True)
        renewing.start()
        try:
            try:
                yield
            finally:
                stop.set()
                renewing.join()
        except BaseException:
            # Not removed: who has just found an earlier one silent would take its number, and be beside another.
            self._bucket.write(_lease(identity, number), _GIVEN_UP)
            raise
        for each in range(number + 1):
            self._bucket.remove(_lease(identity, each))

    def _take(self, identity: Identity, owner: str) -> int | None:
        """Waits for the lease and returns its number, or None where the result is there.

        A lease is taken over by creating the one with the next number, which one of several succeeds in; whoever comes
        late to it finds it fresh.
        """
        number, seen, since = 0, None, time.monotonic()
        while not self._bucket.write(_lease(identity, number), f"{owner} 0".encode(), only_new=True):
            if self._shared(identity) is not None:
                return None
            lease = self._bucket.read(_lease(identity, number))
            if lease is None:  # the result was shared and is gone again
                number, seen, since = 0, None, time.monotonic()
            elif lease == _GIVEN_UP:
                number, seen, since = number + 1, lease, time.monotonic()
                continue
            elif lease != seen:
                if seen is None:
                    _log.warning("another machine is making %s %s: waiting for it", identity.stage, identity.key)
                seen, since = lease, time.monotonic()
            # By this machine's clock alone, and one that does not go back: nothing is said of whether clocks agree.
            elif time.monotonic() - since > LEASE_SECONDS:
                _log.warning("who was making %s %s does not answer: taking over", identity.stage, identity.key)
                number, since = number + 1, time.monotonic()
                continue
            time.sleep(_POLL_SECONDS)
        return number

    def _renew(self, name: str, owner: str, stop: threading.Event) -> None:
        count = 0
        while not stop.wait(LEASE_SECONDS / 4):
            count += 1
            try:
                self._bucket.write(name, f"{owner} {count}".encode())
            except TryAgain as error:
                _log.warning("the lease could not be renewed: %s", error)


def _record(identity: Identity) -> str:
    return f"{identity.stage}/{identity.key}/{RECORD}"


def _lease(identity: Identity, number: int) -> str:
    return f"{identity.stage}/{identity.key}/lease" + (f"-{number}" if number else "")


def _payload(identity: Identity, row: Mapping[str, Any]) -> str:
    return f"{identity.stage}/{identity.key}/{row['digest']}"
