"""Stores that find results and make none, and an executor over them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from asr_tv.pipeline.execution.executor import Call, Done, Step
from asr_tv.progress import silent
from asr_tv.store.results import Identity, Mirror, Produced, Record, Store


class NotStored(Exception):
    """Raised by a store that only looks up; names the stage."""


class LookupStore(Store):
    """Finds another store's results and makes none; with `counts`, what is found counts as used from now on."""

    def __init__(self, store: Store, *, counts: bool = True) -> None:
        super().__init__(store.root, newer_than=store.newer_than)
        self._store, self._counts = store, counts

    @property
    def mirror(self) -> Mirror | None:
        return self._store.mirror

    def find(self, identity: Identity) -> Record | None:
        return self._store.find(identity) if self._counts else self._store.recorded(identity.stage, identity.key)

    def build(self, identity: Identity, produce: Callable[[Path], Produced]) -> Record:  # noqa: ARG002
        if (found := self.find(identity)) is None:
            raise NotStored(identity.stage)
        return found


class Missing(Exception):
    """The graph cannot go on: the steps that it waits for."""


class Walk:
    """An executor that takes what is stored, and raises `Missing` where the graph asks for something that is not."""

    def __init__(self, store: Store) -> None:
        self.store = LookupStore(store, counts=False)
        self.done: list[Done] = []

    def __call__(self, calls: Sequence[Call]) -> list[Record]:
        missing: list[Step] = []
        records = []
        for call in calls:
            try:
                records.append(self._found(call))
                self.done.append(Done(call.step, records[-1]))
            except NotStored:
                missing.append(call.step)
        if missing:
            raise Missing(*missing)
        return records

    def _found(self, call: Call) -> Record:
        # A model that is not stored would be looked for on the network.
        if call.step.kind == "checkpoint" and not (self.store.root / "checkpoint").is_dir():
            raise NotStored("checkpoint")
        return call.run(self.store, silent)
