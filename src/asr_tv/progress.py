"""How a stage says how far it is, without knowing who listens: a terminal, a Prefect artifact, or nobody."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Called after each finished piece of work."""

    def __call__(self, done: int = 1, note: str = "") -> None: ...


class Progress(Protocol):
    """Opens one line of progress; the context ends it."""

    def __call__(self, label: str, total: int, unit: str) -> AbstractContextManager[Advance]: ...


@contextmanager
def silent(label: str, total: int, unit: str) -> Iterator[Advance]:  # noqa: ARG001 - the names are the protocol's
    """The progress of work that nobody watches."""
    yield _ignore


def _ignore(done: int = 1, note: str = "") -> None:  # noqa: ARG001 - the names are the protocol's
    return None
