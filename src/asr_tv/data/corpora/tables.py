"""Rows of CSV files as people make them: any usual delimiter, no cell more or fewer than the header has."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from asr_tv.errors import DataError

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def read_table(text: str, path: Path, needed: str) -> tuple[list[tuple[int, dict[str, str]]], list[tuple[int, str]]]:
    """Line number and cells by column of every row, and the problem of each other one.

    The delimiter is the one that makes `needed` a column. A row is a problem if it has another number of cells than
    the header, or a cell of several lines, which a quote that is not closed makes.

    Raises:
        DataError: no such column, or one that stands twice.
        csv.Error: a quote that is not closed up to the end of the file, or a cell that is too long.
    """
    header, delimiter = _header(text, path, needed)
    rows: list[tuple[int, dict[str, str]]] = []
    problems = []
    for number, cells in islice(_cells(text, delimiter), 1, None):
        if any("\n" in cell or "\r" in cell for cell in cells):
            problems.append((number, "a cell of several lines: a quote in it is not closed"))
        elif len(cells) != len(header):
            hint = f"; put a cell that holds {_DELIMITERS[delimiter]} in quotes" if len(cells) > len(header) else ""
            problems.append((number, f"{len(header)} columns, the row has {len(cells)}{hint}"))
        else:
            rows.append((number, dict(zip(header, cells, strict=True))))
    return rows, problems


def _header(text: str, path: Path, needed: str) -> tuple[list[str], str]:
    for delimiter in _DELIMITERS:
        _, cells = next(_cells(text, delimiter), (0, []))
        header = [cell.strip() for cell in cells]
        if needed in header:
            if twice := [name for name, count in Counter(header).items() if count > 1]:
                raise DataError(f"{path}: columns that stand twice: {', '.join(twice)}")
            return header, delimiter
    first = text.partition("\n")[0]
    raise DataError(f"{path}: no column {needed} between {', '.join(_DELIMITERS.values())}; it begins: {first:.80}")


def _cells(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each line that is not blank, the header first."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    yield from ((reader.line_num, row) for row in reader if any(cell.strip() for cell in row))
