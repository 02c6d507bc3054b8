"""Several machines for one run: further runs of the same graph over the same store, each on a worker of its own.

No call is sent between machines and nothing is unpickled: a helper reads the same configuration, builds the same graph,
and takes what no other run is making. The lock of a helper that dies is released with it, and another run takes over.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from prefect import get_client, get_run_logger
from prefect.context import FlowRunContext
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled

from asr_tv.errors import ConfigError

ASSIST = "assist/any"
_LOOK_SECONDS = 5.0


class LeaderEnded(Exception):
    """The run that asked for help is over."""


@contextmanager
def helping(count: int, parameters: Mapping[str, Any]) -> Iterator[None]:
    """Asks for `count` helpers, and at the end cancels those that no worker has taken.

    Raises:
        ConfigError: the deployment that runs helpers does not exist.
    """
    if not count:
        yield
        return
    context = FlowRunContext.get()
    assert context is not None  # nosec B101 - for the type checker
    assert context.flow_run is not None  # nosec B101 - for the type checker
    leader = context.flow_run.id
    runs = [_ask(number, leader, parameters) for number in range(1, count + 1)]
    try:
        yield
    finally:
        _take_back(runs)


def _ask(number: int, leader: UUID, parameters: Mapping[str, Any]) -> UUID:
    try:
        run = run_deployment(
            ASSIST,
            parameters={**parameters, "leader": str(leader)},
            flow_run_name=f"helper {number}",
            timeout=0,
            idempotency_key=f"{leader}-helper-{number}",  # a restarted leader finds its helpers
            as_subflow=False,
            tags=[f"leader:{leader}"],
        )
    except ObjectNotFound:
        raise ConfigError(f"helpers: there is no deployment {ASSIST}; python flows/deploy.py makes it") from None
    get_run_logger().info("asked for helper %d: flow run %s", number, run.id)
    return run.id


def _take_back(runs: list[UUID]) -> None:
    with get_client(sync_client=True) as client:
        for run in runs:
            state = client.read_flow_run(run).state
            if state is not None and state.is_scheduled():
                client.set_flow_run_state(
                    run, Cancelled(message="no worker took it before the run was over"), force=True
                )


def until_ended(leader: UUID) -> Callable[[], None]:
    """A check that raises LeaderEnded once the leader's run is over; a crashed one is restarted, so it is not over."""
    last = 0.0

    def look() -> None:
        nonlocal last
        if time.monotonic() - last < _LOOK_SECONDS:
            return
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(leader).state
        if state is not None and state.is_final() and not state.is_crashed():
            raise LeaderEnded
        last = time.monotonic()

    return look
