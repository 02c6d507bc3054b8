"""What every flow does around its graph: store, processes or cluster, and the final state."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import get_client, get_run_logger
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext
from prefect.states import Completed, Crashed, Failed, State

from asr_tv.errors import DataError
from asr_tv.pipeline.execution.cluster import AT_ONCE, Cluster
from asr_tv.pipeline.execution.processes import Processes
from asr_tv.pipeline.execution.refresh import Refresh
from asr_tv.pipeline.speech import divided
from asr_tv.runs.promotion import promote
from asr_tv.store.object_storage import open_store
from asr_tv.store.results import Store
from flows.artifacts import publish_report
from flows.executor import PrefectExecutor
from flows.settings import show_library_logs

MAX_STARTS = 5
"""A run that crashed this often is not started again: something kills it."""
NOTHING_NEW = "Cached"
"""The state of a run that executed nothing. The UI's lists leave out states whose names are not Prefect's own."""
NOT_PROMOTED = "the model is not promoted"
"""Start of the message of a run that failed because of its model; flows/automations.yaml matches it."""


@dataclass(frozen=True)
class Engine:
    """Where a flow's stages run.

    Attributes:
        address: of a Ray cluster, as `Cluster` takes it; empty for processes of this machine.
        training_cores: of each stage that trains a model or transcribes.
        training_gpus: share of a GPU that it takes, where the cluster has GPUs.
    """

    address: str = ""
    training_cores: int = 1
    training_gpus: float = 1.0

    def open(self, store: Store, jobs: int, refresh: Refresh) -> Processes:
        if not self.address:
            return Processes(store, jobs, refresh=refresh)
        return Cluster(
            store,
            AT_ONCE,
            refresh=refresh,
            address=self.address,
            cores=self.training_cores,
            gpus=self.training_gpus,
            divide=divided,
        )


@contextmanager
def executing(
    name: str, jobs: int, store: str, *, refresh: Sequence[str] = (), engine: Engine = Engine()
) -> Iterator[PrefectExecutor]:
    """The executor for a flow's graph; on exit, what the run has started ends too.

    Args:
        name: the run's name, part of the keys of its artifacts.
        jobs: number of processes, without a cluster.
        refresh: labels of stages to run again, with all that depend on them.

    Raises:
        DataError: this run crashed and was started again too often.
        ConfigError: the cluster or one of its nodes cannot be used.
    """
    show_library_logs()
    _take_up()
    again = Refresh(refresh, _asked_at())
    with engine.open(open_store(store), jobs, again) as runner:
        executor = PrefectExecutor(runner, name)
        yield executor
    again.require_matched([done.label for done in executor.done])


def counted(executor: PrefectExecutor) -> tuple[int, str]:
    """The number of stages executed, and a phrase with that and the number of cached ones."""
    executed = sum(not done.record.cached for done in executor.done)
    return executed, f"{executed} stages executed, {len(executor.done) - executed} cached"


def finished(
    executor: PrefectExecutor, report: dict[str, Any], folder: Path, broken: str | None
) -> State[dict[str, Any]]:
    """Promotes the run's model if it qualifies, publishes the report, and returns the run's final state.

    Args:
        broken: the bound of the configuration that the run broke, or None.
    """
    executed, stages = counted(executor)
    promotion = promote(folder, report, broken)
    publish_report(report, folder, promotion, stages)
    logger = get_run_logger()
    logger.info("%s; %s", stages, promotion.reason)
    logger.info(report["verdict"])
    if not promotion.promoted:
        return Failed(message=f"{NOT_PROMOTED}: {promotion.reason}")
    if not executed and not promotion.changed:
        return Completed(name=NOTHING_NEW, message=f"no new text or audio: {stages}, {promotion.reason}", data=report)
    return Completed(message=f"{stages}; {promotion.reason}", data=report)


def _this_run() -> FlowRun | None:
    context = FlowRunContext.get()
    return context.flow_run if context else None


def _asked_at() -> float:
    """When the flow run was created, in seconds since the epoch; the same moment for every restart."""
    run = _this_run()
    return run.created.timestamp() if run is not None and run.created is not None else time.time()


def _take_up() -> None:
    """For a restarted run: refuses one that crashed too often, and closes the tasks that crashed with it.

    Raises:
        DataError: it was started too often.
    """
    run = _this_run()
    if run is None or run.run_count <= 1:
        return
    if run.run_count > MAX_STARTS:
        raise DataError(
            f"lost {MAX_STARTS} times, each time with the machine or process that ran it: "
            "look for what kills it (memory, most often) before you start it again; finished stages are kept"
        )
    open_states = TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING]))
    with get_client(sync_client=True) as client:
        for lost in client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])),
            task_run_filter=TaskRunFilter(state=open_states),
        ):
            client.set_task_run_state(lost.id, Crashed(message="lost with the process that ran it"), force=True)
