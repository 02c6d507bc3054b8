"""Runs the graph's calls as Prefect tasks, one per stage; what the store already holds shows as Cached."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, is_dataclass, replace
from queue import SimpleQueue
from typing import Any
from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import concurrency
from prefect.futures import PrefectFuture
from prefect.states import Completed, State
from prefect.utilities.annotations import quote

from asr_tv.data.manifest import Manifest
from asr_tv.errors import DataError, TryAgain
from asr_tv.pipeline.execution.executor import Call, DoneList
from asr_tv.pipeline.execution.lookup import NotStored
from asr_tv.pipeline.execution.processes import Processes
from asr_tv.store.results import Record, Store
from asr_tv.synthesis.synthesize import shards, synthesize
from flows.artifacts import publish_stage
from flows.progress import ArtifactProgress
from flows.settings import TRAINING_LIMIT, is_watched

HOURS = {"checkpoint": 2, "corpus": 6, "synthesize": 24, "finetune": 48}
"""Timeout by kind of step; time spent waiting for another run that makes the same result counts."""
_OTHER_HOURS = 12
_LEASE_SECONDS = 60
_Key = tuple[str, str]
"""A record's stage and key."""


def _may_help(task: Any, run: Any, state: State[Any]) -> bool:
    """Whether to retry: not after bad input, which fails at once and says why."""
    return isinstance(state.result(raise_on_failure=False), TryAgain)


@task(
    cache_policy=NO_CACHE,
    persist_result=False,
    task_run_name="{label}",
    retries=2,
    retry_delay_seconds=[10, 60],
    retry_condition_fn=_may_help,
)
def stage(label: str, call: Any, executor: Any) -> "State[Record]":
    """Runs one stage. The store is the only cache, so Prefect's own is off; a hit ends in a state named Cached."""
    record = executor.run(call)
    if is_watched():
        publish_stage(executor.name, label, record)
    name = "Cached" if record.cached else "Completed"
    return Completed(name=name, message=f"{record.stage} {record.key}", data=record)


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="{label}", retries=2, retry_condition_fn=_may_help)
def shard(label: str, call: Any, executor: Any) -> "State[None]":
    """Speaks a part of the clips that a synthesis will need; problems with them are left for that stage to report."""
    try:
        record = executor.run(call)
    except TryAgain:
        raise
    except DataError as error:
        return Completed(name="NothingSpoken", message=str(error))
    return Completed(name="Cached" if record.cached else "Completed", message=f"{record.stage} {record.key}")


def inputs(value: Any) -> Iterator[Record]:
    """The records in a call's arguments: the inputs of its stage."""
    if isinstance(value, Record):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from inputs(item)
    elif is_dataclass(value) and not isinstance(value, Manifest | type):
        for field in fields(value):
            yield from inputs(getattr(value, field.name))


class PrefectExecutor:
    """The graph's executor inside a flow.

    Runs that share a store share the work: each takes the calls that no other run is making, and waits for the rest at
    the end.

    Args:
        runner: makes the records, in this process or in `jobs` processes.
        name: the run's name, part of the keys of its artifacts.
        shards: number of parts each synthesis is divided into, for other machines to take; 1 for one machine.
        shared: other runs are working on the same calls.
        last_first: starts with the last call, so as to meet the other runs late.
        go_on: called before each call; raises to end the run.
    """

    def __init__(
        self,
        runner: Processes,
        name: str,
        *,
        shards: int = 1,
        shared: bool = False,
        last_first: bool = False,
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.done = DoneList()
        self._made: dict[_Key, PrefectFuture[Any]] = {}
        self._before: dict[_Key, set[_Key]] = {}
        self._runner = runner
        self._progress = ArtifactProgress(name)
        self._shards = shards
        self._shared = shared or shards > 1
        self._last_first = last_first
        self._go_on = go_on
        runner.progress = self._progress

    def __call__(self, calls: Sequence[Call]) -> list[Record]:
        if self._shards > 1:
            self._work(shard, [part for call in calls for part in self._parts(call)])
        records = self._work(stage, calls)
        self.done.note(calls, records)
        return records

    @property
    def store(self) -> Store:
        """Where the records are."""
        return self._runner.store

    def run(self, call: Call) -> Record:
        """Makes the call's record, inside a task; waits for the concurrency limit of trainings if there is one."""
        self._progress.remember(call.step)
        with self._turn(call):
            return self._runner.run_one(call)

    def _turn(self, call: Call) -> AbstractContextManager[None]:
        limit = os.environ.get(TRAINING_LIMIT)
        if limit is None or call.step.kind != "finetune" or self._is_stored(call):
            return nullcontext()
        return concurrency(limit, occupy=1, lease_duration=_LEASE_SECONDS, strict=True)

    def _is_stored(self, call: Call) -> bool:
        try:
            self._runner.look_up(call)
        except NotStored:
            return False
        return True

    def _parts(self, call: Call) -> list[Call]:
        """The shards of a synthesis that is not in the store; none for other calls."""
        if call.stage is not synthesize or self._is_stored(call):
            return []
        parts = shards(call.arguments["texts"], self._shards)
        return [
            replace(
                call,
                step=replace(call.step, subject=f"{call.step.subject}, shard {number} of {len(parts)}"),
                arguments={**call.arguments, "texts": part},
            )
            for number, part in enumerate(parts, 1)
        ]

    def _work(self, kind: Any, calls: Sequence[Call]) -> list[Any]:
        """Runs as many calls at once as the runner has processes; returns their records in the order of the calls."""
        waiting = [*range(len(calls))][:: -1 if self._last_first else 1]
        running: dict[UUID, int] = {}
        ended: SimpleQueue[PrefectFuture[Any]] = SimpleQueue()
        records: list[Any] = [None] * len(calls)
        while waiting or running:
            while waiting and self._has_room(calls, [*running.values()]):
                self._go_on()
                number = self._next(calls, waiting)
                if calls[number].step.alone and running:
                    break
                waiting.remove(number)
                future = self._submit(kind, calls[number])
                running[future.task_run_id] = number
                future.add_done_callback(ended.put)
            future = ended.get()
            number = running.pop(future.task_run_id)
            record = records[number] = future.result()
            if record is not None:
                self._made[record.stage, record.key] = future
                self._before[record.stage, record.key] = self._behind(calls[number])
        return records

    def _has_room(self, calls: Sequence[Call], running: Sequence[int]) -> bool:
        return len(running) < self._runner.jobs and not any(calls[number].step.alone for number in running)

    def _next(self, calls: Sequence[Call], waiting: Sequence[int]) -> int:
        """The first call that no other run is making; if all are being made, the first."""
        if not self._shared:
            return waiting[0]
        return next((number for number in waiting if not self._is_busy(calls[number])), waiting[0])

    def _is_busy(self, call: Call) -> bool:
        try:
            self._runner.look_up(call)
        except NotStored as missing:
            return missing.busy
        return False

    def _submit(self, kind: Any, call: Call) -> PrefectFuture[Any]:
        hours = HOURS.get(call.step.kind, _OTHER_HOURS)
        # No tags: Prefect asks its server for a slot of each, which can fail on SQLite and is retried 2 s later.
        run = kind.with_options(timeout_seconds=3600 * hours)
        # quote() keeps Prefect from searching manifests of a hundred thousand rows.
        future: PrefectFuture[Any] = run.submit(call.label, quote(call), quote(self), wait_for=self._arrows(call))
        return future

    def _arrows(self, call: Call) -> list[PrefectFuture[Any]]:
        """The finished tasks from which the graph in the UI draws arrows: the direct inputs of the call."""
        given = {(record.stage, record.key) for record in inputs(call.arguments)} & self._made.keys()
        further = set().union(*(self._before[each] for each in given))
        return [future for each, future in self._made.items() if each in given - further]

    def _behind(self, call: Call) -> set[_Key]:
        """All records that the call depends on, through any number of stages."""
        given = {(record.stage, record.key) for record in inputs(call.arguments)}
        return given.union(*(self._before.get(each, ()) for each in given))
