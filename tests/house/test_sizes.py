"""How large a thing may be, and that it says what it is."""

import ast

import pytest
from source_tree import modules, parsed


class TestSizes:
    @pytest.mark.parametrize("name", modules())
    def test_names_lengths_and_docstrings(self, name: str) -> None:
        path = modules()[name]
        lines = path.read_text(encoding="utf-8").splitlines()
        banned = {"utils", "util", "common", "helpers", "helper", "base", "misc"}
        assert not banned & set(name.split("."))
        assert len(lines) < 400
        docstring = ast.get_docstring(parsed(path))
        assert docstring, "no docstring"
        assert sum(bool(line.strip()) for line in docstring.splitlines()) <= 3

    @pytest.mark.parametrize("name", modules())
    def test_no_function_has_more_than_60_lines_of_code(self, name: str) -> None:
        path = modules()[name]
        lines = path.read_text(encoding="utf-8").splitlines()
        functions = [n for n in ast.walk(parsed(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        assert {f.name: count for f in functions if (count := code_lines(f, lines)) > 60} == {}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """Lines of a function that are neither blank, nor a comment, nor its docstring."""
    numbers = set(range(function.lineno, (function.end_lineno or 0) + 1))
    if ast.get_docstring(function) is not None:
        numbers -= set(range(function.body[0].lineno, (function.body[0].end_lineno or 0) + 1))
    return sum(bool(text := lines[n - 1].strip()) and not text.startswith("#") for n in numbers)


def test_code_lines_counts_code() -> None:
    text = 'def f():\n    """Doc.\n\n    More.\n    """\n    # why\n\n    x = 1\n    return x\n'
    function = ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert code_lines(function, text.splitlines()) == 3
