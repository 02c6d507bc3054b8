"""Runs calls on the nodes of a Ray cluster, which places them by what they need and repeats those of a lost node.

What reads the flow's own files stays in this process; all that a node must have is the package and the store.
"""

import contextlib
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from asr_tv.errors import ConfigError, DataError, TryAgain
from asr_tv.pipeline.execution.events import Event, show_in_thread
from asr_tv.pipeline.execution.executor import Call, Kind, Step
from asr_tv.pipeline.execution.nodes import Home, execute, home_of
from asr_tv.pipeline.execution.processes import Processes
from asr_tv.progress import Advance
from asr_tv.store.results import Record, Store

LOCAL = "ray"
"""The address of the cluster of this machine, which is started if there is none."""
AT_ONCE = 64
"""Calls handed over to Ray at a time; those beyond its resources wait in its queue."""
HERE: frozenset[Kind] = frozenset({"checkpoint", "corpus", "noise"})
"""These read files, packages or addresses that the configuration names, and copy what they find into the store."""
MODELS: frozenset[Kind] = frozenset(
    {"context start", "finetune", "internal lm", "judge", "sweep", "text only", "transcribe"}
)
"""These run a model, and take the share of a GPU and the cores that the flow was given; all others take one core."""
_REMOTE = re.compile(r"ray://(?P<host>[^/:]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
_RETRIES = 2
_CONNECT_SECONDS = 10.0
_CANCEL_SECONDS = 30.0
_SEEN_SECONDS = 90.0
"""An NFS client that has looked for a file before may for a minute go on to believe that it is not there."""


@dataclass
class Cluster(Processes):
    """An executor over a cluster. As a context it is connected, and all its nodes are checked.

    Attributes:
        address: ray://HOST:PORT, or `LOCAL`.
        cores: of each call that runs a model; also its number of threads.
        gpus: share of a GPU that it takes, if the cluster has any.
        divide: the parts of a call, of which there need be no more than so many, to be run before it on the nodes;
            the call itself then finds in this process what they made. Nothing for a call that is not to be divided.
    """

    address: str = LOCAL
    cores: int = 1
    gpus: float = 1.0
    divide: Callable[[Call, int], Sequence[Call]] = lambda call, most: ()
    _ray: Any = None
    _home: Home | None = None
    _mail: Any = None
    _showing: threading.Thread = field(default_factory=threading.Thread)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _sent: dict[Future[Record], Any] = field(default_factory=dict)

    def __enter__(self) -> "Cluster":
        self._ray = _connected(self.address)
        try:
            self._home = home_of(self.store)
            self._check_nodes()
            from ray.util.queue import Queue

            self._mail = Queue(actor_options={"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1})
            self._showing = show_in_thread(self._next_event, self._line)
        except BaseException:
            self._ray.shutdown()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._closed = True
        self._stopping.set()
        sent = dict(self._sent)
        for reference in sent.values():
            with contextlib.suppress(Exception):
                self._ray.cancel(reference, force=True)
        wait(sent, _CANCEL_SECONDS)
        self._showing.join(_CANCEL_SECONDS)
        self._ray.shutdown()

    def _line(self, label: str, total: int, unit: str) -> AbstractContextManager[Advance]:
        return self.progress(label, total, unit)  # which is set after the cluster is connected

    def is_alone(self, step: Step) -> bool:  # noqa: ARG002 - the nodes have cores of their own
        return False

    def _start(self, call: Call, store: Store) -> "Future[Record] | None":
        if call.step.kind in HERE:
            return None
        parts = self.divide(call, self._slots())
        if not parts:
            return self._send(call, store)
        with self.progress(call.label, len(parts), "parts") as advance:
            for future in [self._send(part, store) for part in parts]:
                try:
                    self._answer(future)
                except TryAgain:
                    raise
                except DataError:  # the call itself meets the same problem, and reports it in full
                    pass
                advance()
        return None

    def _result(self, entry: "Future[Record] | Record | None", call: Call, store: Store) -> Record:
        if not isinstance(entry, Future):
            return super()._result(entry, call, store)
        made = self._answer(entry)
        deadline = time.monotonic() + _SEEN_SECONDS
        while (here := store.fetched(made.stage, made.key)) is None:
            if time.monotonic() > deadline:
                raise DataError(f"{call.label}: made on a node, but {made.stage} {made.key} is not in {store.location}")
            time.sleep(0.5)
        return replace(here, cached=made.cached)

    def _send(self, call: Call, store: Store) -> "Future[Record]":
        remote = self._ray.remote(_execute).options(name=call.label, max_retries=_RETRIES, **self.resources(call.step))
        threads = self.cores if self._runs_model(call.step) else 1
        reference = remote.remote(call, self._home, store.newer_than, threads, self._mail)
        future: Future[Record] = reference.future()
        self._sent[future] = reference
        future.add_done_callback(lambda done: self._sent.pop(done, None))
        return future

    def _answer(self, future: "Future[Record]") -> Record:
        errors = self._ray.exceptions
        try:
            return future.result()
        except errors.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from None
        except (errors.RayError, ConnectionError) as error:
            if self._closed:
                raise DataError("stopped, because another stage failed") from None
            told = " ".join(str(error).split())[:300]
            raise TryAgain(
                f"lost {1 + _RETRIES} times with the node or process that ran it, or the cluster {self.address} is "
                f"gone: look for what kills it (memory, most often); what is finished is kept: {told}"
            ) from error

    def resources(self, step: Step) -> dict[str, float]:
        """What a step takes of a node, as Ray names it."""
        if not self._runs_model(step):
            return {"num_cpus": 1}
        gpus = self.gpus if step.options.device != "cpu" and self._total("GPU") else 0
        return {"num_cpus": self.cores, "num_gpus": gpus}

    def _runs_model(self, step: Step) -> bool:
        return step.kind in MODELS or step.alone

    def _slots(self) -> int:
        return max(1, int(self._total("CPU")))

    def _total(self, resource: str) -> float:
        return float(self._ray.cluster_resources().get(resource, 0))

    def _nodes(self) -> list[Mapping[str, Any]]:
        """Those that can run a stage; a head without cores runs none."""
        return [node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]

    def _check_nodes(self) -> None:
        """Raises ConfigError with the problems of all nodes."""
        nodes = self._nodes()
        asked = {f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}": self._look_at(node) for node in nodes}
        problems = [
            f"engine {self.address}: node {name} {told}" for name, ref in asked.items() if (told := self._told(ref))
        ]
        gpus = self.gpus if self._total("GPU") else 0
        if not any(n["Resources"]["CPU"] >= self.cores and n["Resources"].get("GPU", 0) >= gpus for n in nodes):
            what = f"{self.cores} cores" + (f" and {gpus:g} of a GPU" if gpus else "")
            problems.append(f"engine {self.address}: none of its {len(nodes)} nodes has {what}, as a training takes")
        if problems:
            raise ConfigError(problems)

    def _look_at(self, node: Mapping[str, Any]) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        return self._ray.remote(_inspection()).options(num_cpus=0, scheduling_strategy=there).remote(self._home_row())

    def _home_row(self) -> dict[str, str]:
        assert self._home is not None  # nosec B101 - for the type checker
        return asdict(self._home)

    def _told(self, reference: Any) -> str | None:
        try:
            told: str | None = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return f"does not answer: {' '.join(str(error).split())[:300]}"
        return told

    def _next_event(self) -> Event | None:
        from ray.util.queue import Empty

        while not self._stopping.is_set():
            try:
                return Event(**self._mail.get(timeout=1))
            except Empty:
                pass
            except (self._ray.exceptions.RayError, ConnectionError):  # its node is lost: Ray starts it elsewhere
                self._stopping.wait(1)
        return None


def _execute(call: Call, home: Home, newer_than: float, threads: int, mail: Any) -> Record:
    # Not waited for: progress must not hold up or end a training. As a dictionary, since a head may lack the package.
    return execute(call, home, newer_than, threads, lambda event: mail.actor.put_nowait.remote(asdict(event)))


def _inspection() -> Callable[[dict[str, str]], str | None]:
    """A function that is sent by value, and so can tell of a node that it lacks the package."""

    def inspect(row: dict[str, str]) -> str | None:
        try:
            from asr_tv.pipeline.execution.nodes import Home, misfit
        except ImportError as error:
            return f"has no asr-tv, or another version of it: {error}"
        return misfit(Home(**row))

    return inspect


def _connected(address: str) -> Any:
    """Ray's module, connected.

    Raises:
        ConfigError: not an address, nothing listens there, or Ray is not installed or another version.
    """
    remote = _REMOTE.fullmatch(address)
    if remote is None and address != LOCAL:
        raise ConfigError(
            f"engine {address!r}: expected ray://HOST:PORT, such as ray://10.0.0.1:10001, or {LOCAL} for the cluster "
            "of this machine"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise ConfigError(f'engine {address}: Ray is not installed: pip install "asr-tv[ray]"') from None
    try:
        if remote is not None:  # Ray itself would try for half a minute
            socket.create_connection((remote["host"].strip("[]"), int(remote["port"])), _CONNECT_SECONDS).close()
        ray.init(address if remote is not None else None, log_to_driver=False, logging_level=logging.WARNING)
    except Exception as error:  # Ray raises whatever went wrong
        told = " ".join(str(error).split())[:300]
        raise ConfigError(f"engine {address}: cannot be reached, start it with ray start: {told}") from error
    return ray
