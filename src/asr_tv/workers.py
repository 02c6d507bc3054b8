"""Pools of worker processes that end with their parent, however it ends."""

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
    """Without this, the workers of a killed parent wait for work for ever: each holds the queue's other end."""
    if (parent := parent_process()) is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


Argument = TypeVar("Argument")


Result = TypeVar("Result")


def in_advance(function: Callable[[Argument], Result], arguments: Iterable[Argument], threads: int) -> Iterator[Result]:
    """`function` of each argument in turn, at most twice `threads` of them made before they are asked for.

    An error of `function` is raised where its result is asked for. With no threads this is `map`.
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
