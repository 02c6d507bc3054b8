"""Pools of worker processes that end with their parent, and of threads that work ahead."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import connection, get_context, parent_process
from typing import Any, TypeVar


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_pool(count: int, start: Callable[..., None], *arguments: Any) -> ProcessPoolExecutor:
    """A pool whose processes each call `start(*arguments)` first.

    Spawned, not forked: the parent may hold threads and a GPU.
    """
    return ProcessPoolExecutor(count, get_context("spawn"), _start, (start, arguments))


def _start(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the pool
    threading.Thread(target=_die_with_parent, daemon=True).start()
    start(*arguments)


def _die_with_parent() -> None:
    """Otherwise the workers of a killed parent wait for work forever, since each holds the other end of the queue."""
    if (parent := parent_process()) is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


Argument = TypeVar("Argument")
Result = TypeVar("Result")


def prefetch(function: Callable[[Argument], Result], arguments: Iterable[Argument], threads: int) -> Iterator[Result]:
    """Yields `function` of each argument in order, computed by `threads` threads at most twice as many results ahead.

    An error is raised when its result is due. With 0 threads this is `map`.
    """
    if threads < 1:
        yield from map(function, arguments)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for argument in arguments:
                waiting.append(pool.submit(function, argument))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
