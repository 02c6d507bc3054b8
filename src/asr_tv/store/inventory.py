"""What lies in a store (results, unfinished ones, clips, litter) and whether every byte is what it was."""

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_tv.progress import Progress, silent
from asr_tv.store.checks import CHANGED
from asr_tv.store.durable import file_digest
from asr_tv.store.payload import MANIFEST, PLAN, RECORD
from asr_tv.store.records import read_row
from asr_tv.store.results import TRASH, result_lock, result_problems, throw_away

CLIPS = "clips"
_PARTIAL = ".partial"
_KEY = re.compile(r"[0-9a-f]{24}")
_CLIP = re.compile(r"[0-9a-f]{32}")
_BESIDE = (".lock", ".checked", ".files")


@dataclass(frozen=True)
class Entry:
    """A result, or an unfinished one.

    Attributes:
        modified: seconds since the epoch.
        digest: of its payload; None for an unfinished or damaged one.
        inputs: digests of what it was made from.
    """

    stage: str
    key: str
    path: Path
    size: int
    modified: float
    finished: bool
    digest: str | None = None
    inputs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """stage/key, as runs and pins refer to it."""
        return f"{self.stage}/{self.key}"


@dataclass(frozen=True)
class Inventory:
    """A store at one moment.

    Attributes:
        clips: key -> bytes, of the clip with its sidecar.
        beside: stage/key -> its locks and memos.
        litter: what killed processes left half-written.
        trash: bytes that are no longer part of the store.
    """

    root: Path
    entries: tuple[Entry, ...]
    clips: Mapping[str, int]
    beside: Mapping[str, tuple[Path, ...]]
    litter: tuple[Path, ...]
    trash: int


@dataclass(frozen=True)
class Damage:
    """A result or clip that is not what it was, with each of its problems."""

    stage: str
    key: str
    path: Path
    problems: tuple[str, ...]


def scan(root: Path) -> Inventory:
    """Lists everything in a store; of the payload it looks only at sizes."""
    entries: list[Entry] = []
    beside: dict[str, tuple[Path, ...]] = {}
    litter: list[Path] = []
    for path in sorted(root.glob("[!.]*/*")):
        stage, key = path.parent.name, path.name[:24]
        if stage == CLIPS:
            continue
        if path.is_dir() and path.name in (key, f"{key}{_PARTIAL}") and _KEY.fullmatch(key):
            with contextlib.suppress(FileNotFoundError):  # finished or removed meanwhile
                entries.append(_entry(stage, key, path))
        elif path.suffix in _BESIDE and _KEY.fullmatch(path.stem):
            beside[f"{stage}/{key}"] = (*beside.get(f"{stage}/{key}", ()), path)
        elif path.name.endswith(".tmp") or ".fetched-" in path.name:
            litter.append(path)
    litter += list((root / CLIPS).glob("*/.*.tmp"))
    trash = sum(size_of(path) for path in (root / TRASH).glob("*"))
    return Inventory(root, tuple(entries), _clip_sizes(root), beside, tuple(litter), trash)


def clip_file(root: Path, key: str) -> Path:
    """Where a clip lies; its sidecar has the suffix .json."""
    return root / CLIPS / key[:2] / f"{key}.flac"


def named_in(entry: Entry, root: Path) -> Iterator[tuple[str, str, str]]:
    """(stage, key, digest) of each recording in the store that a result's manifest names; a clip's stage is "clips"."""
    manifest = entry.path / MANIFEST
    if not manifest.is_file():
        return
    for line in manifest.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            row = json.loads(line)
            path = Path(os.path.normpath(entry.path / row["audio"]))
            if path.is_relative_to(root):
                stage, key, *inside = path.relative_to(root).parts
                yield (stage, key if stage != CLIPS else Path(inside[0]).stem, str(row.get("audio_digest")))


def planned_clips(entry: Entry) -> set[str] | None:
    """Keys of the clips that an unfinished synthesis is speaking; None where that is not known."""
    try:
        lines = (entry.path / PLAN).read_text(encoding="utf-8").splitlines()
        return {str(json.loads(line)["clip"]) for line in lines}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def verify_store(root: Path, progress: Progress = silent) -> Iterator[Damage]:
    """Reads every byte of every clip and result; yields those that are not what they were."""
    inventory = scan(root)
    results = [entry for entry in inventory.entries if entry.finished]
    digests: dict[str, str] = {}
    with progress("verify", len(inventory.clips) + len(results), "results and clips") as advance:
        for key in inventory.clips:
            if problems := _clip_problems(root, key, digests):
                yield Damage(CLIPS, key, clip_file(root, key), problems)
            advance()
        for entry in results:
            if problems := _problems(entry, root, digests):
                yield Damage(entry.stage, entry.key, entry.path, problems)
            advance()


def repair(root: Path, found: Damage) -> bool:
    """Removes what is damaged from the store, so that the next run makes it again; False when it has been mended."""
    if found.stage == CLIPS:
        if not _clip_problems(root, found.key, {}):
            return False
        throw_away(root, found.path.with_suffix(".json"))
        throw_away(root, found.path)
        return True
    with result_lock(root, found.stage, found.key):
        if not found.path.exists() or not _problems(_entry(found.stage, found.key, found.path), root, {}):
            return False
        throw_away(root, found.path)
    return True


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    total = 0
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            total += 0 if file.is_dir() else file.stat().st_size
    return total


def _entry(stage: str, key: str, path: Path) -> Entry:
    finished = not path.name.endswith(_PARTIAL)
    record = path / RECORD
    row: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        row = read_row(record.read_bytes(), key) if finished else {}
    inputs = tuple(map(str, row.get("inputs", {}).values()))
    modified = (record if record.exists() else path).stat().st_mtime
    return Entry(stage, key, path, size_of(path), modified, finished, row.get("digest"), inputs)


def _clip_sizes(root: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for path in sorted((root / CLIPS).glob("*/*")):
        if path.suffix in (".flac", ".json") and _CLIP.fullmatch(path.stem):
            sizes[path.stem] = sizes.get(path.stem, 0) + size_of(path)
    return sizes


def _clip_problems(root: Path, key: str, digests: dict[str, str]) -> tuple[str, ...]:
    """What is wrong with a clip and its sidecar; a clip without one is unfinished, not damaged."""
    file = clip_file(root, key)
    sidecar = file.with_suffix(".json")
    try:
        row = json.loads(sidecar.read_text(encoding="utf-8"))
        expected = row["sha256"]
        digests[key] = file_digest(file)
    except FileNotFoundError:
        return (f"{file.name}: lost",) if sidecar.exists() else ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        return (f"{sidecar.name}: cannot be read: {error}",)
    return () if digests[key] == expected else (f"{file.name}: {CHANGED}",)


def _problems(entry: Entry, root: Path, digests: dict[str, str]) -> tuple[str, ...]:
    problems = result_problems(entry.path)
    if problems and not entry.path.exists():  # removed or replaced meanwhile
        return ()
    for stage, key, digest in named_in(entry, root):
        if stage == CLIPS and key not in digests:
            with contextlib.suppress(OSError):
                digests[key] = file_digest(clip_file(root, key))
        if stage == CLIPS and digests.get(key) != digest:
            problems.append(f"clip {key}: lost, or not the one that was spoken for it")
    return tuple(problems)


def age(entry: Entry) -> float:
    """Seconds since it was finished; 0 where the clock has gone back since."""
    return max(0.0, time.time() - entry.modified)
