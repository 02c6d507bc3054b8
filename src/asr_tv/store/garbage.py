"""Garbage collection: each thing that no run needs goes into the trash in one step and is deleted from there.

What a live, pinned or kept run has asked for is needed, with everything that this was made from.
"""

import json
import socket
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asr_tv.store.durable import is_locked, remove_lock
from asr_tv.store.inventory import CLIPS, Entry, Inventory, clip_file, named_in, planned_clips, scan, size_of
from asr_tv.store.results import TRASH, delete, lock_file, to_trash
from asr_tv.store.uses import ENTRY, Pin, Use, latest_starts, read_pins, read_uses, turn_lock

REPORT = "report.json"


@dataclass(frozen=True)
class Policy:
    """Which runs to keep, besides those that are pinned or going on.

    Attributes:
        keep_last: how many of the others, the last used first; None: all.
        older_than: seconds without use after which the others are forgotten; None: never.
        while_running: remove results although a live run could still ask for them.
        reports: folder of run folders, whose reports name their results; for runs that did not register.
    """

    keep_last: int | None = None
    older_than: float | None = None
    while_running: bool = False
    reports: Path | None = None


@dataclass(frozen=True)
class Claim:
    """The results that a run asked for or a pin holds; `why` they are kept, or None."""

    name: str
    why: str | None
    entries: frozenset[str]
    last: float
    live: bool = False
    folder: Path | None = None
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class CollectionPlan:
    """What a collection removes.

    Attributes:
        held_up_by: live runs, for which no result is removed; empty when nothing is in the way.
        side: locks, memos and registrations that belong to nothing.
        freed: bytes, including what is in the trash already.
    """

    inventory: Inventory
    claims: tuple[Claim, ...]
    held_up_by: tuple[str, ...]
    entries: tuple[Entry, ...]
    clips: tuple[str, ...]
    litter: tuple[Path, ...]
    side: tuple[Path, ...]
    freed: int


def claims_on(root: Path, policy: Policy) -> list[Claim]:
    """The claims of all runs, the last used first, and of all pins.

    Raises:
        DataError: a pin cannot be read.
    """
    pins = read_pins(root)
    runs = _registered(latest_starts(read_uses(root)))
    seen = {run.folder for run in runs if run.folder}
    runs += [run for run in _reported(policy.reports) if run.folder not in seen]
    runs.sort(key=lambda run: (-run.last, run.name))
    claims, kept = [], 0
    for run in runs:
        why = _reason(run, pins, policy, kept)
        kept += why in _COUNTED
        claims.append(replace(run, why=why))
    return [*claims, *(Claim(pin.what, "pinned", pin.entries, 0.0) for pin in pins)]


def plan(root: Path, policy: Policy) -> CollectionPlan:
    """What a collection would remove now."""
    inventory = scan(root)
    claims = claims_on(root, policy)
    live = tuple(claim.name for claim in claims if claim.live)
    held_up = () if policy.while_running else live
    needed, clips = _needed_by([claim for claim in claims if claim.why], inventory)
    unused = (entry for entry in inventory.entries if entry.name not in needed)
    # One that is being made may be so by a process that could not note its use.
    gone = () if held_up else tuple(e for e in unused if not is_locked(lock_file(root, e.stage, e.key)))
    spare = tuple(key for key in inventory.clips if key not in clips) if clips is not None and not held_up else ()
    litter = () if live else inventory.litter
    side = () if held_up else tuple(_orphans(inventory, gone))
    used = {file for claim in claims if claim.why for file in claim.files}
    files = (use.file for use in read_uses(root) if use.file not in used and not use.live)
    freed = inventory.trash + sum(e.size for e in gone) + sum(inventory.clips[key] for key in spare)
    freed += sum(map(size_of, litter))
    return CollectionPlan(inventory, tuple(claims), held_up, gone, spare, litter, (*side, *files), freed)


def collect(root: Path, policy: Policy) -> CollectionPlan:
    """Removes what `plan` names. Nobody notes a use meanwhile: a run that starts waits, and finds what is left."""
    with turn_lock(root, exclusive=True):
        todo = plan(root, policy)
        for path in _paths(todo):
            if path.suffix == ".lock":
                remove_lock(path)
            else:
                to_trash(root, path)
    for path in (root / TRASH).glob("*"):  # also what a killed collection left
        delete(path)
    return todo


def _needed_by(kept: Sequence[Claim], inventory: Inventory) -> tuple[set[str], set[str] | None]:
    """Names of results and keys of clips that are needed, with all they were made from; clips None: all may be."""
    by_name: dict[str, list[Entry]] = defaultdict(list)
    by_digest: dict[str | None, list[str]] = defaultdict(list)
    for entry in inventory.entries:
        by_name[entry.name].append(entry)
        by_digest[entry.digest].append(entry.name)
    needed: set[str] = set()
    clips: set[str] | None = set()
    waiting = [name for claim in kept for name in claim.entries]
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        for entry in by_name[name]:
            waiting += [maker for digest in entry.inputs for maker in by_digest[digest]]
            for stage, key, _ in named_in(entry, inventory.root):
                if stage != CLIPS:
                    waiting.append(f"{stage}/{key}")
                elif clips is not None:
                    clips.add(key)
            if not entry.finished and entry.stage == "synthesize":
                spoken = planned_clips(entry)
                clips = None if clips is None or spoken is None else clips | spoken
    return needed, clips


_COUNTED = ("its folder is there", "of another machine", "its report is there")


def _reason(run: Claim, pins: Sequence[Pin], policy: Policy, kept: int) -> str | None:
    if run.live:
        return "going on"
    if run.folder is not None and any(pin.what == str(run.folder) for pin in pins):
        return "pinned"
    if policy.keep_last is not None and kept >= policy.keep_last:
        return None
    if policy.older_than is not None and time.time() - run.last > policy.older_than:
        return None
    return run.why


def _registered(uses: Sequence[Use]) -> list[Claim]:
    """One claim per run folder; processes outside a run are kept while they live."""
    found: dict[str, Claim] = {}
    for use in uses:
        name = str(use.folder) if use.folder else use.name
        known = found.get(name, Claim(name, None, frozenset(), 0.0, folder=use.folder))
        entries, files = known.entries | use.entries, (*known.files, use.file)
        last, live = max(known.last, use.last), known.live or use.live
        found[name] = Claim(name, _why_kept(use), entries, last, live, use.folder, files)
    return list(found.values())


def _why_kept(use: Use) -> str | None:
    if use.folder is None:
        return None
    if use.host != socket.gethostname():
        return "of another machine"  # its folder may exist there
    return "its folder is there" if use.folder.exists() else None


def _reported(folder: Path | None) -> Iterator[Claim]:
    for report in sorted(folder.glob(f"*/{REPORT}")) if folder is not None else ():
        if entries := reported_entries(report):
            run = report.parent.absolute()
            yield Claim(str(run), "its report is there", entries, report.stat().st_mtime, folder=run)


def reported_entries(report: Path) -> frozenset[str]:
    """The results that a run's report.json lists; none where the file is not a report."""
    try:
        rows: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["stages"]
        names = frozenset(f"{row['name']}/{row['key']}" for row in rows)
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()
    return frozenset(name for name in names if ENTRY.fullmatch(name))


def _orphans(inventory: Inventory, gone: Sequence[Entry]) -> Iterator[Path]:
    left = {entry.path for entry in inventory.entries} - {entry.path for entry in gone}
    there = {f"{path.parent.name}/{path.name[:24]}" for path in left}
    for name, files in inventory.beside.items():
        lock = inventory.root / f"{name}.lock"
        if name not in there and not is_locked(lock):
            yield from files


def _paths(todo: CollectionPlan) -> Iterator[Path]:
    """In an order such that a kill at any point leaves no manifest that names removed clips."""
    yield from (entry.path for entry in todo.entries)
    for key in todo.clips:
        file = clip_file(todo.inventory.root, key)
        yield from (file.with_suffix(".json"), file)
    yield from (*todo.litter, *todo.side)
