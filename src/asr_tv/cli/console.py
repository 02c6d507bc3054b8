"""The terminal: progress bars for people, plain lines for logs, nothing with --quiet."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from asr_tv.progress import Advance, Progress, silent
from asr_tv.safe_text import printable

console = Console(stderr=True, highlight=False, markup=False, emoji=False)
"""Messages and progress; results go to standard output, so that `--json` can be piped."""

_PLAIN_SECONDS = 30.0
"""A log gets a line of progress at most this often."""


def progress_for(*, quiet: bool) -> Progress:
    """Bars on a terminal, a line now and then in a log, nothing when quiet."""
    if quiet:
        return silent
    return _Bars() if console.is_terminal else _lines


class _Bars:
    """Any number of bars on one display: a terminal bears only one display at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._display: Bars | None = None
        self._open = 0

    @contextmanager
    def __call__(self, label: str, total: int, unit: str) -> Iterator[Advance]:
        bars = self._enter()
        task = bars.add_task(printable(label, keep=""), total=total, note="", unit=unit)

        def advance(done: int = 1, note: str = "") -> None:
            bars.update(task, advance=done, note=note)

        try:
            yield advance
        finally:
            self._leave()

    def _enter(self) -> Bars:
        with self._lock:
            if self._display is None:
                self._display = Bars(*_columns(), console=console)
                self._display.start()
            self._open += 1
            return self._display

    def _leave(self) -> None:
        with self._lock:
            self._open -= 1
            if not self._open and self._display is not None:
                self._display.stop()
                self._display = None


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )


@contextmanager
def _lines(label: str, total: int, unit: str) -> Iterator[Advance]:
    start = last = time.monotonic()
    count, label = 0, printable(label, keep="")

    def advance(done: int = 1, note: str = "") -> None:
        nonlocal count, last
        count += done
        now = time.monotonic()
        if now - last >= _PLAIN_SECONDS and count:
            last = now
            left = (now - start) / count * (total - count)
            print(f"{label}: {count}/{total} {unit}, {left:.0f} s left {note}".rstrip(), file=sys.stderr, flush=True)

    yield advance
    print(f"{label}: {count} {unit} in {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
