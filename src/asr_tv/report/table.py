"""What a table of the page is: cells that sort, bars beside numbers, and the CSV behind it."""

import base64
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from asr_tv.safe_text import printable

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet would take for the start of a formula."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar with an interval, all in shares of the scale, 0 to 1; ends beyond the scale are cut."""

    value: float
    low: float | None = None
    high: float | None = None
    kind: str = "rival"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        number: what it sorts by and what the CSV holds; None for text.
        more: further numbers of the CSV, as many as the column has names for.
        mark: a word the page's style knows: better, worse, even, chosen, main.
    """

    text: str
    number: float | None = None
    more: tuple[float | None, ...] = ()
    bar: Bar | None = None
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A heading. `more` names the CSV's columns of a cell's further numbers, in place of its text."""

    title: str
    numeric: bool = False
    more: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the page; rows have a cell a column."""

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    cut: int = 0

    @property
    def csv(self) -> str:
        """The table as CSV, numbers unrounded, no cell that a spreadsheet would run."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([_inert(name) for column in self.columns for name in (column.more or (column.title,))])
        for row in self.rows:
            writer.writerow([v for column, cell in zip(self.columns, row, strict=True) for v in _values(column, cell)])
        return out.getvalue()

    @property
    def csv_data(self) -> str:
        """The CSV as a data URI."""
        return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(self.csv.encode()).decode()}"


def _values(column: Column, cell: Cell) -> Sequence[str]:
    if column.more:
        numbers = cell.more or (None,) * len(column.more)
        return ["" if number is None else f"{number:.6g}" for number in numbers]
    if cell.number is not None:
        return [f"{cell.number:.6g}"]
    return [_inert(cell.text)]


def _inert(text: str) -> str:
    """Text that a spreadsheet takes for text, also behind the spaces that it passes over, and a terminal, too."""
    shown = printable(text.replace("\r", " "), keep="\n\t")
    return f"'{shown}" if shown.lstrip(" \u00a0").startswith(_FORMULA) and len(shown) > 1 else shown


def table(
    id: str, caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], most: int = 400
) -> Table | None:
    """The table, cut to so many rows; None without any row."""
    if not rows:
        return None
    return Table(id, caption, tuple(columns), tuple(tuple(row) for row in rows[:most]), max(0, len(rows) - most))


def text(value: object, mark: str = "") -> Cell:
    """A cell of text; a dash for nothing."""
    return Cell("–" if value is None else str(value), mark=mark)


def whole(value: int | None) -> Cell:
    """A cell of a count."""
    return Cell("–") if value is None else Cell(f"{value:,}".replace(",", "\u202f"), number=float(value))


def percent(rate: float | None, bar: Bar | None = None) -> Cell:
    """A cell of a rate, in percent with one digit."""
    return Cell("–", bar=bar) if rate is None else Cell(f"{100 * rate:.1f}", number=100 * rate, bar=bar)


def percent_span(low: float | None, high: float | None) -> Cell:
    """A cell of an interval of rates; sorts by its middle."""
    if low is None or high is None:
        return Cell("unknown", more=(None, None))
    return Cell(f"{100 * low:.1f} to {100 * high:.1f}", number=50 * (low + high), more=(100 * low, 100 * high))


def point(value: float | None) -> Cell:
    """A cell of a difference of rates, in percentage points with its sign."""
    return Cell("–") if value is None else Cell(signed(value), number=100 * value)


def point_span(low: float | None, high: float | None) -> Cell:
    """A cell of an interval of a difference."""
    if low is None or high is None:
        return Cell("unknown", more=(None, None))
    return Cell(f"{signed(low)} to {signed(high)}", number=50 * (low + high), more=(100 * low, 100 * high))


def signed(value: float) -> str:
    """Percentage points with a sign that is not a hyphen."""
    return f"{100 * value:+.1f}".replace("-", "\u2212")


MARKS = {"better": "better", "worse": "worse", "no difference shown": "even"}


def judged(verdict: str) -> Cell:
    """A cell of a verdict, marked by more than a colour."""
    sign = {"better": "▼ ", "worse": "▲ "}.get(verdict, "≈ ")
    return Cell(sign + verdict, mark=MARKS.get(verdict, ""))
