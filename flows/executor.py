"""Runs the graph's calls as Prefect tasks, one a stage; what the store already holds shows as Cached."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.states import Completed, State
from prefect.utilities.annotations import quote

from asr_tv.pipeline.executor import Call, Done
from asr_tv.progress import Progress, silent
from asr_tv.store import Record, Store


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="{label}")
def stage(label: str, call: Any, store: Path, progress: Any) -> "State[Record]":
    """One stage. The store is the only cache, so Prefect's own is off; a hit ends in a state named Cached."""
    record = call.stage(**call.arguments, store=Store(store), progress=progress)
    name = "Cached" if record.cached else "Completed"
    return Completed(name=name, message=f"{record.stage} {record.key}", data=record)


class PrefectExecutor:
    """The graph's executor inside a flow."""

    def __init__(self, store: Path, progress: Progress = silent) -> None:
        self._store = store
        self._progress = progress
        self.done: list[Done] = []

    def __call__(self, calls: Sequence[Call]) -> list[Record]:
        futures = [self._submit(call) for call in calls]
        records = [future.result() for future in futures]
        self.done += [Done(call.label, record) for call, record in zip(calls, records, strict=True)]
        return records

    def _submit(self, call: Call) -> PrefectFuture[Record]:
        # quote() keeps Prefect from walking through manifests of a hundred thousand rows.
        return stage.submit(call.label, quote(call), self._store, quote(self._progress))
