"""The terminal: progress bars for people, plain lines for logs, nothing with --quiet; and tables as wide as it is."""

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table as Grid
from rich.text import Text

from asr_tv.progress import Advance, Progress, silent
from asr_tv.report.table import Field, Table, build
from asr_tv.safe_text import printable

console = Console(stderr=True, highlight=False, markup=False, emoji=False)
"""Messages and progress; results go to standard output, so that `--json` can be piped."""

_PLAIN_SECONDS = 30.0  # between two lines of progress in a log
_GAP = 2  # spaces between two columns of a table
_SHORT_HEADING = 10  # a heading up to this width stays on one line
_STYLES = {"better": "green", "worse": "red", "main": "bold", "chosen": "bold"}
_PLAIN = str.maketrans({"→": "->", "−": "-", "–": "-", "▼": "", "▲": "", "≈": "", "\u202f": " "})


def print_text(text: str) -> None:
    """Print text on standard output, wrapped between words."""
    _output().print(Text(_legible(text)))


def print_tables(*tables: Table | None) -> None:
    """Print tables on standard output: the columns that matter most, as many as its width holds.

    A name is wrapped between words and never cut inside one, unless the word alone is wider than the terminal.
    """
    left_out: dict[str, None] = {}
    for table in tables:
        if table is not None:
            widths = _widths(table, _output().width)
            left_out |= dict.fromkeys(table.columns[n].title for n in table.text_columns if n not in widths)
            _print_table(table, widths)
    if left_out:
        print_text(f"Columns too wide for this terminal: {'; '.join(left_out)}.\n")


def print_rows(rows: Sequence[Any], fields: Sequence[Field]) -> None:
    """Print one line per row, with all columns at any width."""
    print_tables(build("", "", rows, [(replace(column, priority=0), cell) for column, cell in fields], most=len(rows)))


def _output(width: int | None = None) -> Console:
    return Console(width=width, highlight=False, markup=False, emoji=False)


def _legible(text: str, keep: str = "\n") -> str:
    """The text without what a terminal obeys, and without characters that its encoding lacks."""
    shown, encoding = printable(text, keep=keep), _output().encoding
    return shown if encoding.startswith("utf") else shown.translate(_PLAIN).encode(encoding, "replace").decode(encoding)


def _widths(table: Table, width: int) -> dict[int, int]:
    """The positions of the columns to draw, in the table's order, and the width of each.

    Columns of priority 0 are always drawn: where even those are too wide, their cells wrap, the widest first.
    """
    natural = {n: max(_widest(_texts(table, n)), _heading_width(table, n)) for n in table.text_columns}
    chosen: dict[int, int] = {}
    for n in sorted(natural, key=lambda n: table.columns[n].priority):
        needed = sum(chosen.values()) + natural[n] + _GAP * len(chosen)
        if needed > width and table.columns[n].priority > 0:
            break
        chosen[n] = natural[n]
    excess = sum(chosen.values()) + _GAP * (len(chosen) - 1) - width
    for n in sorted(chosen, key=lambda n: -chosen[n]):
        words = [word for text in _texts(table, n) for word in text.split()]
        cut = max(0, min(excess, chosen[n] - max(_widest(words), _heading_width(table, n))))
        chosen[n], excess = chosen[n] - cut, excess - cut
    return dict(sorted(chosen.items()))


def _heading_width(table: Table, n: int) -> int:
    heading = _legible(table.columns[n].title)
    return cell_len(heading) if cell_len(heading) <= _SHORT_HEADING else _widest(heading.split())


def _texts(table: Table, n: int) -> list[str]:
    return [_legible(row[n].text, keep="") for row in table.rows]


def _widest(texts: Sequence[str]) -> int:
    return max((cell_len(text) for text in texts), default=1) or 1


def _print_table(table: Table, widths: Mapping[int, int]) -> None:
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
    for n, width in widths.items():
        column = table.columns[n]
        justify: JustifyMethod = "right" if column.numeric else "left"
        grid.add_column(Text(_legible(column.title)), justify=justify, width=width, overflow="fold")
    for row in table.rows:
        grid.add_row(*(Text(_legible(row[n].text, keep=""), style=_STYLES.get(row[n].mark, "")) for n in widths))
    for line, style in ((table.caption, "bold"), (table.note, "")):
        if line:
            _output().print(Text(_legible(line, keep=""), style=style))
    needed = sum(widths.values()) + _GAP * len(widths)
    _output(max(needed, _output().width)).print(grid)
    print_text(f"{table.cut} more rows\n" if table.cut else "")


def progress_for(*, quiet: bool) -> Progress:
    """Bars on a terminal, an occasional line in a log, nothing when quiet."""
    if quiet:
        return silent
    return _Bars() if console.is_terminal else _lines


class _Bars:
    """Any number of bars on one display, since a terminal holds only one at a time."""

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
                self._display = Bars(
                    TextColumn("{task.description}", markup=False),
                    BarColumn(bar_width=30),
                    MofNCompleteColumn(),
                    TextColumn("{task.fields[unit]}", markup=False),
                    TimeElapsedColumn(),
                    TimeRemainingColumn(),
                    TextColumn("{task.fields[note]}", markup=False),
                    console=console,
                )
                self._display.start()
            self._open += 1
            return self._display

    def _leave(self) -> None:
        with self._lock:
            self._open -= 1
            if not self._open and self._display is not None:
                self._display.stop()
                self._display = None


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
