"""Progress of a stage that runs in another process, as small events on their way to the process that shows it."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from asr_tv.progress import Advance, Progress


@dataclass(frozen=True)
class Event:
    """What a stage tells of its progress; `total` is given when a line opens, `done` is None when it ends."""

    line: str
    label: str = ""
    unit: str = ""
    total: int | None = None
    done: int | None = None
    note: str = ""


def telling(put: Callable[[Event], Any], seconds: float = 0.0) -> Progress:
    """A progress whose events go to `put`, and those that only advance a line at most once in so many seconds."""

    @contextmanager
    def progress(label: str, total: int, unit: str) -> Iterator[Advance]:
        line, waiting, last = uuid.uuid4().hex, 0, time.monotonic()
        put(Event(line, label, unit, total=total))

        def advance(done: int = 1, note: str = "") -> None:
            nonlocal waiting, last
            waiting += done
            if time.monotonic() - last >= seconds:
                put(Event(line, done=waiting, note=note))
                waiting, last = 0, time.monotonic()

        try:
            yield advance
        finally:
            if waiting:
                put(Event(line, done=waiting))
            put(Event(line))

    return progress


def show_in_thread(get: Callable[[], Event | None], progress: Progress) -> threading.Thread:
    """Starts a thread that shows the events until there is None."""
    thread = threading.Thread(target=_show, args=(get, progress), daemon=True)
    thread.start()
    return thread


def _show(get: Callable[[], Event | None], progress: Progress) -> None:
    lines: dict[str, tuple[ExitStack, Advance]] = {}
    while (event := get()) is not None:
        if event.total is not None:
            stack = ExitStack()
            lines[event.line] = stack, stack.enter_context(progress(event.label, event.total, event.unit))
        elif event.line not in lines:
            continue
        elif event.done is None:
            lines.pop(event.line)[0].close()
        else:
            lines[event.line][1](event.done, event.note)
