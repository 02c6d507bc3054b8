"""Runs independent calls side by side, each in a process with its share of the cores.

Small models keep one core busy and share two badly: two fine-tunings side by side with a thread each do about
half as much again as one after the other with two threads.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from typing import Any

from asr_tv.errors import DataError, TryAgain
from asr_tv.pipeline.execution.events import show_in_thread, telling
from asr_tv.pipeline.execution.executor import Call, DoneList, Healing, Step
from asr_tv.pipeline.execution.lookup import LookupStore, NotStored
from asr_tv.pipeline.execution.refresh import Refresh
from asr_tv.progress import Progress, silent
from asr_tv.store.object_storage import open_store
from asr_tv.store.results import Record, Store
from asr_tv.workers import cores, open_pool


@dataclass
class Processes:
    """An executor with `jobs` worker processes, started when the first call is not in the store yet."""

    store: Store
    jobs: int
    progress: Progress = silent
    refresh: Refresh | None = None
    done: DoneList = field(default_factory=DoneList)
    _pool: ProcessPoolExecutor | None = None
    _events: Any = None
    _closed: bool = False
    _healing: Healing = field(default_factory=Healing)
    _starting: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._closed = True
        if self._pool is not None:
            if kind is not None:
                for process in list(self._pool._processes.values()):
                    process.terminate()
                self._events.cancel_join_thread()  # a terminated worker may hold its lock
            self._pool.shutdown(cancel_futures=True)
            self._events.put(None)

    def __call__(self, calls: Sequence[Call]) -> list[Record]:
        stores = [self._store_for(call) for call in calls]
        found = [self._stored(call, store) for call, store in zip(calls, stores, strict=True)]
        pending = [r or self._start(call, store) for call, store, r in zip(calls, stores, found, strict=True)]
        records = [
            self._healing.attempt(call, self._run_again, partial(self._result, entry, call, store))
            for call, store, entry in zip(calls, stores, pending, strict=True)
        ]
        if self.refresh is not None:
            for call, record in zip(calls, records, strict=True):
                self.refresh.made(call, record)
        self.done.note(calls, records)
        return records

    def run_one(self, call: Call) -> Record:
        """One call, from any thread; `done` is for the caller to keep."""
        record = self._healing.attempt(call, self._run_again)
        if self.refresh is not None:
            self.refresh.made(call, record)
        return record

    def _run_again(self, call: Call) -> Record:
        store = self._store_for(call)
        return self._stored(call, store) or self._result(self._start(call, store), call, store)

    def is_alone(self, step: Step) -> bool:
        """Whether nothing is to run beside it."""
        return step.alone

    def _store_for(self, call: Call) -> Store:
        return self.store if self.refresh is None else self.refresh.store_for(call, self.store)

    def _stored(self, call: Call, store: Store) -> Record | None:
        if self.is_alone(call.step):
            return None
        try:
            return call.run(LookupStore(store), silent)
        except NotStored:
            return None

    def _start(self, call: Call, store: Store) -> "Future[Record] | None":
        """The call in a worker; None where it is to run in this process, in its turn."""
        # With several jobs a single call goes to a worker, too: the number of threads moves the last bits of a
        # training, and must not depend on what happens to be left to do.
        if call.step.alone or self.jobs == 1:
            return None
        return self._workers().submit(_work, call, store.location, store.newer_than)

    def _result(self, entry: "Future[Record] | Record | None", call: Call, store: Store) -> Record:
        if entry is None:
            return call.run(store, self.progress)
        try:
            return entry.result() if isinstance(entry, Future) else entry
        except BrokenProcessPool as error:
            if self._closed:
                raise DataError("stopped, because another stage failed") from None
            self._pool = None
            raise TryAgain(
                "a worker process died, perhaps for want of memory; what is finished is kept: "
                "run again, with --set run.jobs=1 if it dies again"
            ) from error

    def _workers(self) -> ProcessPoolExecutor:
        with self._starting:
            if self._pool is None:
                self._events = get_context("spawn").Queue()
                show_in_thread(self._events.get, self.progress)
                self._pool = open_pool(self.jobs, _begin, self._events, max(1, cores() // self.jobs))
            return self._pool


_progress: Progress = silent
"""A worker process's own; set when it starts."""


def _begin(events: Any, threads: int) -> None:
    global _progress
    import torch

    torch.set_num_threads(threads)
    _progress = telling(events.put)


def _work(call: Call, store: str, newer_than: float) -> Record:
    return call.run(open_store(store, newer_than=newer_than), _progress)
