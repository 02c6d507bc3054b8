"""What decides a result, what is known of a finished one, and its record.json, every byte of which is checked."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

_PACKAGES = ("asr-tv", "torch", "transformers", "openai-whisper", "piper-tts", "jiwer", "numpy")
_IDENTITY = ("stage", "version", "parameters", "inputs", "seed")
_FIELDS = frozenset((*_IDENTITY, "key", "digest", "files", "reads", "details", "seconds", "packages"))
_CHECK = "check"
"""sha256 of the rest of the record; records from before there was one are checked by key and digest alone."""
_ADDED = frozenset((_CHECK, "finished"))
"""Not covered by the check; `finished` is added by a store on object storage."""

Purpose = Literal["model", "choice", "scoring", "topline"]
"""What a stage serves in a run: the adapted model, the choice of recipe, the final scoring, a declared topline."""


@dataclass(frozen=True, slots=True)
class ManifestRef:
    """What a record keeps of a manifest that its stage read: enough to detect a leak without the manifest."""

    name: str
    digest: str
    utterances: int
    domains: tuple[str, ...]
    splits: tuple[str, ...]
    origins: tuple[str, ...]


@dataclass(frozen=True)
class Identity:
    """What decides a result and so its key, and nothing of how or where it is computed.

    Attributes:
        version: raised by hand whenever the stage's output changes for the same inputs.
        parameters: the configuration values that change the result; serialisable as JSON.
        inputs: role of each input -> its digest.
    """

    stage: str
    version: int
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    @property
    def key(self) -> str:
        """sha256 of the canonical JSON of all parts, cut to 24 hexadecimal digits."""
        return _sha256(asdict(self))[:24]


@dataclass(frozen=True)
class Record:
    """A finished result. `digest` is of the payload, so equal payloads are equal inputs downstream.

    Attributes:
        reads: every manifest whose audio or text the stage read; the ledger is built from these.
        details: what the stage counted; serialisable as JSON.
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


def _sha256(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def new_row(identity: Identity, produced: Produced, files: Mapping[str, str], seconds: float) -> dict[str, Any]:
    """The content of a result's record.json; `files`: name below its folder -> sha256."""
    row = {
        **asdict(identity),
        "key": identity.key,
        "digest": _sha256(files),
        "files": files,
        "reads": [asdict(ref) for ref in produced.reads],
        "details": produced.details,
        "seconds": round(seconds, 3),
        "packages": _versions(),
    }
    written: dict[str, Any] = json.loads(json.dumps(row, ensure_ascii=False, default=_plain))
    return written | {_CHECK: _sha256(written)}


def row_text(row: Mapping[str, Any]) -> str:
    """A record.json, for people to read as well."""
    return json.dumps(row, indent=1, ensure_ascii=False)


def read_row(text: str | bytes, key: str | None = None) -> dict[str, Any]:
    """The content of a record, which must belong to the result of this key.

    Raises:
        ValueError: it has changed since it was written, or belongs to another result.
    """
    try:
        row = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(row, dict):
        raise ValueError("not an object")
    names = row.keys() - _ADDED
    if names != _FIELDS:
        raise ValueError(f"fields lost or unknown: {', '.join(sorted(names ^ _FIELDS))}")
    if key is not None and row["key"] != key:
        raise ValueError(f"belongs to another result, {row['key']}")
    if _CHECK in row and row[_CHECK] != _sha256({name: row[name] for name in names}):
        raise ValueError("changed since it was written")
    if row["key"] != _sha256({name: row[name] for name in _IDENTITY})[:24]:
        raise ValueError("its key is not that of its parts")
    if row["digest"] != _sha256(row["files"]):
        raise ValueError("its digest is not that of its files")
    _require_shape(row)
    return row


def _require_shape(row: Mapping[str, Any]) -> None:
    """Whoever forges a record can forge its digests: file names must stay below the folder, values have their types."""
    kinds = {"stage": str, "key": str, "digest": str, "files": dict, "details": dict, "reads": list}
    wrong = [name for name, kind in kinds.items() if not isinstance(row[name], kind)]
    if wrong or not isinstance(row["seconds"], int | float):
        raise ValueError(f"of the wrong type: {', '.join(wrong) or 'seconds'}")
    for name, digest in row["files"].items():
        if not name or "\0" in name or name.startswith("/") or ".." in name.split("/") or not isinstance(digest, str):
            raise ValueError(f"{name!r:.80} cannot be a file of a result")
    try:
        for ref in row["reads"]:
            _ref_from(ref)
    except (KeyError, TypeError) as error:
        raise ValueError(f"reads is malformed: {error}") from None


def record_from(row: Mapping[str, Any], folder: Path) -> Record:
    """The record of a row that `read_row` accepted, found in this folder."""
    kept = {name: row[name] for name in ("stage", "key", "digest", "details", "seconds")}
    return Record(**kept, path=folder, reads=tuple(map(_ref_from, row["reads"])), cached=True)


def _ref_from(row: Mapping[str, Any]) -> ManifestRef:
    lists = {key: tuple(row[key]) for key in ("domains", "splits", "origins")}
    return ManifestRef(name=row["name"], digest=row["digest"], utterances=row["utterances"], **lists)


@cache
def _versions() -> dict[str, str]:
    installed = {}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            installed[package] = metadata.version(package)
    return installed
