"""The package's source as the tests of the house read it: modules, their rooms, and who imports whom."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "asr_tv"
SOURCE = ROOT / "src" / PACKAGE

FLOORS: tuple[tuple[str, ...], ...] = (
    ("config", "store"),
    ("audio", "text"),
    ("data",),
    ("models", "pipeline.execution", "describing"),
    ("vectors",),
    ("training", "decoding"),
    ("scoring",),
    ("synthesis", "report", "streaming"),
    ("pipeline",),
    ("runs",),
    ("cli",),
    ("testing",),
)
"""Rooms from the ground up: a room uses itself, the ground and lower rooms, never one of its own floor."""

ROOMS = {room: floor for floor, rooms in enumerate(FLOORS, 1) for room in rooms}
GROUND = 0


@cache
def modules() -> dict[str, Path]:
    """Name below the package -> file; the package itself is ""."""
    dotted = {".".join(file.relative_to(SOURCE).with_suffix("").parts): file for file in sorted(SOURCE.rglob("*.py"))}
    return {name.removesuffix("__init__").rstrip("."): file for name, file in dotted.items()}


NAMES = [name for name in modules() if name]


def room_of(name: str) -> str | None:
    """The room a module is in; None for the ground."""
    for room in sorted(ROOMS, key=len, reverse=True):
        if name == room or name.startswith(f"{room}."):
            return room
    assert "." not in name, f"{name}: in no room of tests/support/source_tree.py"
    return None


def floor_of(name: str) -> int:
    room = room_of(name)
    return GROUND if room is None else ROOMS[room]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def imported(path: Path, *, loading_only: bool = False) -> tuple[str, ...]:
    """Absolute names that a file imports, `a.b` for both `import a.b` and `from a import b`, wherever they stand.

    Args:
        loading_only: leave out what functions import when they are called.
    """
    return tuple(_imported(path, loading_only))


def _imported(path: Path, loading_only: bool) -> Iterator[str]:
    tree = parsed(path)
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    inner = {id(node) for function in functions for node in ast.walk(function)} if loading_only else set()
    for node in ast.walk(tree):
        if id(node) in inner:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def own_imports(name: str) -> frozenset[str]:
    """The package's own modules that a module imports."""
    found = set()
    for target in imported(modules()[name]):
        if target == PACKAGE or target.startswith(f"{PACKAGE}."):
            inside = target.removeprefix(PACKAGE).lstrip(".")
            found.add(inside if inside in modules() else inside.rpartition(".")[0])
    return frozenset(found - {name})
