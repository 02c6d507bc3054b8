"""A table as a value: columns, cells that sort, bars beside numbers; and its CSV and Markdown.

The page draws it with page/templates/macros.html, a terminal with cli/console.py.
"""

import base64
import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asr_tv.report.systems import display_name
from asr_tv.safe_text import escaped, printable

PAGE_ONLY = 9
"""Priority of a column that only the page and its CSV have: bars, and details beyond what a text can hold."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet would take for the start of a formula."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar with an interval, in fractions of the scale, 0 to 1; ends beyond the scale are clipped."""

    value: float
    low: float | None = None
    high: float | None = None
    kind: str = "rival"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        number: the sort key and the CSV's value; None for text.
        more: further numbers for the CSV, one per name in the column's `more`.
        mark: a word the drawers know: better, worse, even, chosen, main.
        stored: what the CSV holds where `text` is a short form of it.
    """

    text: str
    number: float | None = None
    more: tuple[float | None, ...] = ()
    bar: Bar | None = None
    mark: str = ""
    stored: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A heading.

    Attributes:
        numeric: aligned to the right.
        more: the CSV's headings of a cell's further numbers, which replace its text.
        priority: 0 is always drawn; a terminal draws the others, lowest first, as far as its width allows.
        stored: the heading in the CSV where `title` is a short form of it.
    """

    title: str
    numeric: bool = False
    more: tuple[str, ...] = ()
    hint: str = ""
    priority: int = 1
    stored: str = ""


@dataclass(frozen=True)
class Table:
    """A table: each row has one cell per column. `cut` rows were left out; `note` says what the rows share."""

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    cut: int = 0
    note: str = ""

    @property
    def csv(self) -> str:
        """The table as CSV: numbers unrounded, and no cell that a spreadsheet would run."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        headings = [name for column in self.columns for name in (column.more or (column.stored or column.title,))]
        writer.writerow(map(_inert, headings))
        for row in self.rows:
            writer.writerow([v for column, cell in zip(self.columns, row, strict=True) for v in _values(column, cell)])
        return out.getvalue()

    @property
    def csv_data(self) -> str:
        """The CSV as a data URI."""
        return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(self.csv.encode()).decode()}"

    @property
    def text_columns(self) -> tuple[int, ...]:
        """Positions of the columns that a text can show, which Markdown and terminals draw."""
        return tuple(n for n, column in enumerate(self.columns) if column.priority < PAGE_ONLY)


def _values(column: Column, cell: Cell) -> Sequence[str]:
    if column.more:
        numbers = cell.more or (None,) * len(column.more)
        return ["" if number is None else f"{number:.6g}" for number in numbers]
    if cell.number is not None:
        return [f"{cell.number:.6g}"]
    return [_inert(cell.stored or cell.text)]


def _inert(text: str) -> str:
    """Text that a spreadsheet takes for text, also behind the spaces that it skips, and that a terminal shows."""
    shown = printable(text.replace("\r", " "), keep="\n\t")
    return f"'{shown}" if shown.lstrip(" \u00a0").startswith(_FORMULA) and len(shown) > 1 else shown


def as_markdown(table: Table | None, most_rows: int = 40, cell_limit: int | None = 80) -> str:
    """The table as Markdown, every cell escaped; rows beyond `most_rows` are counted and not shown."""
    if table is None:
        return "None."
    columns = [table.columns[n] for n in table.text_columns]
    lines = [
        [escaped(column.title, limit=cell_limit) for column in columns],
        ["--:" if column.numeric else "---" for column in columns],
        *([escaped(_marked(row[n]), limit=cell_limit) for n in table.text_columns] for row in table.rows[:most_rows]),
    ]
    drawn = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    left_out = table.cut + max(0, len(table.rows) - most_rows)
    return f"{drawn}\n\n{left_out} more in report.json." if left_out else drawn


def _marked(cell: Cell) -> str:
    return f"{cell.text} *" if cell.mark == "chosen" else cell.text


Field = tuple[Column, Callable[[Any], Cell]]
"""A column, and what makes its cell from a row of the report."""


def table(
    id: str, caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], most: int = 400, note: str = ""
) -> Table | None:
    """The table, cut to `most` rows; None without any row."""
    if not rows:
        return None
    return Table(id, caption, tuple(columns), tuple(tuple(row) for row in rows[:most]), max(0, len(rows) - most), note)


def build(
    id: str, caption: str, rows: Iterable[Any], fields: Sequence[Field], most: int = 400, note: str = ""
) -> Table | None:
    """A table of one line per row and one column per field; None without any row."""
    cells = [[cell(row) for _, cell in fields] for row in rows]
    return table(id, caption, [column for column, _ in fields], cells, most, note)


def field(title: str, cell: Callable[[Any], Cell], numeric: bool = False, **more: Any) -> Field:
    """A column whose cells a function makes; `more` are further attributes of the column."""
    return Column(title, numeric, **more), cell


def at(*path: str) -> Callable[[Any], Any]:
    """A function that finds what a row has under a path of keys, None where it has none."""

    def found(row: Any) -> Any:
        for key in path:
            row = None if row is None else row.get(key)
        return row

    return found


def words(title: str, *path: str, **more: Any) -> Field:
    """A column of texts; the path is the title by default, as in the columns below."""
    find = at(*(path or (title,)))
    return field(title, lambda row: text(find(row)), **more)


def count(title: str, *path: str, **more: Any) -> Field:
    """A column of counts."""
    find = at(*(path or (title,)))
    return field(title, lambda row: whole(find(row)), numeric=True, **more)


def rate(title: str, *path: str, **more: Any) -> Field:
    """A column of rates in percent."""
    find = at(*(path or (title,)))
    return field(title, lambda row: percent(find(row)), numeric=True, **more)


def number(title: str, *path: str, form: str = "g", **more: Any) -> Field:
    """A column of plain numbers, written as `form` has it."""
    find = at(*(path or (title,)))
    return field(title, lambda row: plain(find(row), form), numeric=True, **more)


def interval(name: str, *path: str) -> Field:
    """The column of a rate's interval, whose ends a row has under a path; `name` is the rate's in the CSV."""
    ends, find = (f"{name} low", f"{name} high"), at(*path)

    def cell(row: Any) -> Cell:
        found = find(row)
        return percent_span(found["ci_low"], found["ci_high"])

    return field("interval", cell, numeric=True, more=ends)


def difference(
    of: Callable[[Any], Mapping[str, Any] | None],
    rival: str = "",
    hint: str = "",
    verdict: str = "adapted is",
    priority: int = 1,
    cells: Callable[[Mapping[str, Any] | None], Sequence[Cell]] | None = None,
) -> list[Field]:
    """A difference in points, its interval and its verdict, of what `of` finds for a row; a rival is named if given."""
    title, stored = (f"adapted minus {name}" if rival else "difference" for name in (display_name(rival), rival))
    ends = tuple(f"{rival or 'difference'} {end}" for end in ("low", "high"))
    columns = (
        Column(title, True, hint=hint, priority=priority, stored=stored),
        Column("its interval", True, more=ends, priority=priority),
        Column(verdict, priority=max(priority, 2)),
    )
    made = cells or difference_cells
    return [(column, lambda row, n=n: made(of(row))[n]) for n, column in enumerate(columns)]  # type: ignore[misc]


def text(value: object, mark: str = "") -> Cell:
    """A cell of text; a dash for None."""
    return Cell("–" if value is None else str(value), mark=mark)


def system(name: str, coef: float | None = None, mark: str = "") -> Cell:
    """A cell that names a system: its display name, and in the CSV the name that report.json has."""
    suffix = "" if coef is None else f" (c = {coef:g})"
    return Cell(display_name(name) + suffix, mark=mark, stored=name + suffix)


def whole(value: int | None) -> Cell:
    """A cell of a count."""
    return plain(value, ",")


def plain(value: float | None, form: str = "g") -> Cell:
    """A cell of a number."""
    return Cell("–") if value is None else Cell(f"{value:{form}}".replace(",", "\u202f"), number=value)


def with_ends(
    row: Mapping[str, Any], key: str, form: str, *, scale: float = 1.0, unit: str = "", unknown: str = "–"
) -> Cell:
    """A cell of a number with its interval, `ci_low` to `ci_high`, where that is known."""
    value, ends = row[key], (row["ci_low"], row["ci_high"])
    if value is None:
        return Cell(unknown, more=(None, None, None))
    between = "" if None in ends else f" ({scale * ends[0]:{form}} to {scale * ends[1]:{form}})"
    return Cell(f"{scale * value:{form}}{between}{unit}", number=scale * value, more=(value, *ends))


def percent(rate: float | None) -> Cell:
    """A cell of a rate, in percent with one digit."""
    return Cell("–") if rate is None else Cell(f"{100 * rate:.1f}", number=100 * rate)


def percent_span(low: float | None, high: float | None, with_sign: bool = False) -> Cell:
    """A cell of an interval of rates, or of their difference; sorts by its middle."""
    if low is None or high is None:
        return Cell("unknown", more=(None, None))
    ends = (signed(end) if with_sign else f"{100 * end:.1f}" for end in (low, high))
    return Cell(" to ".join(ends), number=50 * (low + high), more=(100 * low, 100 * high))


def difference_cells(row: Mapping[str, Any] | None) -> list[Cell]:
    """A difference of rates in percentage points, its interval and its verdict; blank where nothing was compared."""
    if row is None:
        return [Cell("–"), Cell("", more=(None, None)), Cell("")]
    value, verdict = row["difference"], row["verdict"]
    sign = {"better": "▼ ", "worse": "▲ "}.get(verdict, "≈ ")  # more than a colour
    return [
        Cell("–") if value is None else Cell(signed(value), number=100 * value),
        percent_span(row["ci_low"], row["ci_high"], with_sign=True),
        Cell(sign + verdict, mark=MARKS.get(verdict, "")),
    ]


def signed(value: float) -> str:
    """Percentage points with a sign that is not a hyphen."""
    return f"{100 * value:+.1f}".replace("-", "\u2212")


MARKS = {"better": "better", "worse": "worse", "no difference shown": "even"}
