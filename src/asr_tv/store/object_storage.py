"""A store on object storage, through fsspec: a local folder works as cache, the bucket is what all machines share.

A result's files are sent first, under the digest of the payload, and its record last: readers see a whole result or
none. Two machines that make the same result at once both send it, and either is as good.
"""

import functools
import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
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
_BLOCK = 1 << 20


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

    def write(self, name: str, content: bytes) -> None:
        self._do(lambda system, at: _put(system, at, content), name)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _do(self, action: Callable[[Any, str], Any], name: str) -> Any:
        system, base = _file_system(self.address)
        try:
            return action(system, f"{base}/{name}")
        except FileNotFoundError:
            raise
        except Exception as error:  # every file system has its own
            raise TryAgain(f"store {self.address}: {name}: {type(error).__name__}: {error}") from error


def _put(system: Any, at: str, content: bytes) -> None:
    if "file" in system.protocol:  # fsspec writes a file in place, where others would read a part of it
        write_atomically(Path(at), content)
    else:
        system.pipe_file(at, content)


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
        return super().find(identity) if self._bring(identity.stage, identity.key) else None

    def fetched(self, stage: str, key: str) -> Record | None:
        if (found := self.recorded(stage, key)) is not None:
            return found
        return self.recorded(stage, key) if self._bring(stage, key) else None

    def _execute(self, identity: Identity, produce: Callable[[Path], Produced]) -> Record:
        return self._share(super()._execute(identity, produce))

    def _shared(self, stage: str, key: str) -> dict[str, Any] | None:
        """The record in the bucket, unless it is damaged or too old; `finished` is the moment it was made."""
        if (content := self._bucket.read(_record(stage, key))) is None:
            return None
        try:
            row = read_row(content, key)
            usable = row["finished"] >= self.newer_than
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("%s in %s is not a valid record (%s)", _record(stage, key), self.location, error)
            return None
        return row if usable else None

    def _bring(self, stage: str, key: str) -> bool:
        """Copies a shared result here, checked against its digests; False when it, or something of it, is not there."""
        if (row := self._shared(stage, key)) is None:
            return False
        folder = self.root / stage / key
        temporary = folder.with_name(f"{key}.fetched-{uuid.uuid4().hex}")
        try:
            for name, digest in row["files"].items():
                file = temporary / name
                if not self._bucket.fetch_as(f"{_payload(row)}/{name}", file) or file_digest(file) != digest:
                    _log.warning("%s: %s of %s is lost or damaged: made again", self.location, name, key)
                    return False
            write_atomically(temporary / RECORD, json.dumps(row, indent=1, ensure_ascii=False))
            os.utime(temporary / RECORD, (row["finished"], row["finished"]))
            if folder.exists() and self.recorded(stage, key) is None:
                throw_away(self.root, folder)
            if not folder.exists():
                temporary.replace(folder)
            return True
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _share(self, record: Record) -> Record:
        row = json.loads((record.path / RECORD).read_text(encoding="utf-8"))
        row["finished"] = (record.path / RECORD).stat().st_mtime
        for name in row["files"]:
            self._bucket.send_as(record.path / name, f"{_payload(row)}/{name}")
        self._bucket.write(_record(record.stage, record.key), json.dumps(row, ensure_ascii=False).encode())
        return record


def _record(stage: str, key: str) -> str:
    return f"{stage}/{key}/{RECORD}"


def _payload(row: Mapping[str, Any]) -> str:
    return f"{row['stage']}/{row['key']}/{row['digest']}"
