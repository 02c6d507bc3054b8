"""How a stage reports progress without knowing who shows it: a terminal, a Prefect artifact, or nobody."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Called after each finished piece of work, with a note to show beside the line."""

    def __call__(self, done: int = 1, note: str = "") -> None: ...


class Progress(Protocol):
    """Opens one progress line, which ends with the context."""

    def __call__(self, label: str, total: int, unit: str) -> AbstractContextManager[Advance]: ...


@contextmanager
def silent(label: str, total: int, unit: str) -> Iterator[Advance]:  # noqa: ARG001 - the names are the protocol's
    """The progress of work that nobody watches."""
    yield lambda done=1, note="": None
