"""Running a stage again, and everything that reads what it makes, although the store has their results."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest
from asr_tv.errors import ConfigError
from asr_tv.pipeline.execution.executor import Call, Kind, Step
from asr_tv.pipeline.execution.inputs import leaves
from asr_tv.store.payload import MANIFEST
from asr_tv.store.results import RECORD, Record, Store


def asked_now(root: Path) -> float:
    """A moment after everything that is in a store, also where a clock has gone back since."""
    stored = (record.stat().st_mtime for record in root.glob(f"*/*/{RECORD}"))
    return max(time.time(), max(stored, default=0.0) + 0.001)


class Refresh:
    """Chooses each call's store: results from before `since` do not count for the wanted calls and those after them.

    Because a result made since counts, an interrupted refresh goes on where it stopped.

    Args:
        wanted: labels as the report lists them, "finetune source_real", or their first words, "finetune".
        since: the moment the refresh was asked for, in seconds since the epoch.

    Raises:
        ConfigError: no stage begins so.
    """

    def __init__(self, wanted: Sequence[str], since: float) -> None:
        kinds: tuple[str, ...] = get_args(Kind)
        self._wanted = {label: _named(label, kinds) for label in wanted}
        if unknown := [label for label, found in self._wanted.items() if found is None]:
            names = ", ".join(kinds)
            raise ConfigError(f"--refresh {label!r}: no stage begins so; stages: {names}" for label in unknown)
        self._since = since
        self._matched: set[str] = set()
        self._remade: set[Path] = set()
        self._remade_inputs: set[str] = set()

    def store_for(self, call: Call, store: Store) -> Store:
        """The store to run this call with."""
        return store.remade_since(self._since) if self._applies(call) else store

    def made(self, call: Call, record: Record) -> None:
        """Remembers what a refreshed call made, so that its readers are known."""
        if self._applies(call):
            self._remade.add(record.path)
            self._remade_inputs.update(_inputs_in(record))

    def require_matched(self, labels: Sequence[str]) -> None:
        """Once a run is over.

        Raises:
            ConfigError: a wanted label was none of the run's.
        """
        missing = [label for label in self._wanted if label not in self._matched]
        if missing:
            known = ", ".join(dict.fromkeys(labels))
            raise ConfigError(f"--refresh {label!r}: this run has no such stage; it has: {known}" for label in missing)

    def _applies(self, call: Call) -> bool:
        asked = [label for label, named in self._wanted.items() if named and _is_meant(call.step, *named)]
        self._matched.update(asked)
        return bool(asked) or any(self._is_remade(value) for value in leaves(call.arguments))

    def _is_remade(self, value: Any) -> bool:
        if isinstance(value, Record):
            return value.path in self._remade
        return isinstance(value, Manifest) and any((u.audio or u.text) in self._remade_inputs for u in value)


def _named(label: str, kinds: Sequence[str]) -> tuple[str, str] | None:
    """Kind and first words of the subject that a user wrote; of a kind its first word is enough."""
    for kind in sorted(kinds, key=len, reverse=True):
        if label == kind or label.startswith(f"{kind} "):
            return kind, label[len(kind) + 1 :]
    first = [kind for kind in kinds if kind.partition(" ")[0] == label]
    return (first[0], "") if first else None


def _is_meant(step: Step, kind: str, subject: str) -> bool:
    return step.kind == kind and f"{step.name} ".startswith(f"{subject} " if subject else "")


def _inputs_in(record: Record) -> Iterator[str]:
    """What tells a reader of a record's manifest: its recordings; of a corpus also the sentences, which are spoken."""
    if not (record.path / MANIFEST).exists():
        return
    for utterance in stored_manifest(record):
        yield str(utterance.audio)
        if utterance.origin == "real":
            yield utterance.text
