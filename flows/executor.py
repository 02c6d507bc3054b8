"""Runs the graph's calls as Prefect tasks, one per stage; what the store already holds shows as Cached."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from queue import SimpleQueue
from typing import Any
from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.states import Completed, State
from prefect.utilities.annotations import quote

from asr_tv.data.manifest import Manifest
from asr_tv.errors import TryAgain
from asr_tv.pipeline.execution.cluster import Cluster
from asr_tv.pipeline.execution.executor import Call, DoneList
from asr_tv.pipeline.execution.processes import Processes
from asr_tv.store.results import Record, Store
from flows.artifacts import publish_stage
from flows.progress import ArtifactProgress
from flows.settings import is_watched

HOURS = {"checkpoint": 2, "corpus": 6, "synthesize": 24, "finetune": 48}
"""Timeout by kind of step, where no cluster queues it; waiting for another run that makes the same result counts."""
_OTHER_HOURS = 12
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

    Args:
        runner: makes the records: in this process, in `jobs` processes, or on a cluster.
        name: the run's name, part of the keys of its artifacts.
    """

    def __init__(self, runner: Processes, name: str) -> None:
        self.name = name
        self.done = DoneList()
        self._made: dict[_Key, PrefectFuture[Any]] = {}
        self._before: dict[_Key, set[_Key]] = {}
        self._runner = runner
        self._progress = ArtifactProgress(name)
        runner.progress = self._progress

    def __call__(self, calls: Sequence[Call]) -> list[Record]:
        """Runs as many calls at once as the runner has room for."""
        waiting, running = [*range(len(calls))], dict[UUID, int]()
        ended: SimpleQueue[PrefectFuture[Any]] = SimpleQueue()
        records: list[Any] = [None] * len(calls)
        while waiting or running:
            while waiting and self._has_room([calls[number] for number in running.values()], calls[waiting[0]]):
                future = self._submit(calls[waiting[0]])
                running[future.task_run_id] = waiting.pop(0)
                future.add_done_callback(ended.put)
            future = ended.get()
            number = running.pop(future.task_run_id)
            record = records[number] = future.result()
            self._made[record.stage, record.key] = future
            self._before[record.stage, record.key] = self._behind(calls[number])
        self.done.note(calls, records)
        return records

    @property
    def store(self) -> Store:
        """Where the records are."""
        return self._runner.store

    def run(self, call: Call) -> Record:
        """Makes the call's record, inside a task."""
        self._progress.remember(call.step)
        return self._runner.run_one(call)

    def _has_room(self, running: Sequence[Call], following: Call) -> bool:
        alone = any(self._runner.is_alone(call.step) for call in [*running, following])
        return not running or (len(running) < self._runner.jobs and not alone)

    def _submit(self, call: Call) -> PrefectFuture[Any]:
        hours = None if isinstance(self._runner, Cluster) else HOURS.get(call.step.kind, _OTHER_HOURS)
        # No tags: Prefect asks its server for a slot of each, which can fail on SQLite and is retried 2 s later.
        run = stage.with_options(timeout_seconds=hours and 3600 * hours)
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
