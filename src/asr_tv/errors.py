"""The two errors that the user can mend; the command line prints them without a traceback and exits with 2."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from asr_tv.safe_text import redacted

Item = TypeVar("Item")
Result = TypeVar("Result")


class UserError(Exception):
    """A mistake in what the user gave, with every problem found and not only the first.

    Each problem is a line that names the file and line, the id, or the configuration path. Passwords in addresses are
    masked.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = tuple(map(redacted, (problems,) if isinstance(problems, str) else problems))
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type["UserError"], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)  # worker processes send it to their parent


class ConfigError(UserError):
    """The configuration, or an argument of a command, cannot be used."""


class DataError(UserError):
    """A text, manifest, recording, checkpoint or vector cannot be used."""


class TryAgain(DataError):
    """A passing trouble and not the input's fault: something did not answer or died, and another try may help."""


class RunFailed(Exception):
    """A run finished but broke a bound that its configuration sets; what it made is kept. Exit code 1."""


def map_all(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """`function` of every item, in their order.

    Raises:
        UserError: the problems of all items, with the type of the first error.
    """
    results: list[Result] = []
    errors: list[UserError] = []
    for item in items:
        try:
            results.append(function(item))
        except UserError as error:
            errors.append(error)
    if errors:
        raise type(errors[0])(problem for error in errors for problem in error.problems)
    return results


def gathered(*steps: Callable[[], Any]) -> list[Any]:
    """What each of the independent steps returns, in their order.

    Raises:
        UserError: the problems of all steps, as `map_all`.
    """
    return map_all(lambda step: step(), steps)


def shortened(lines: Sequence[str], most: int = 20) -> list[str]:
    """The first lines, and how many more there are."""
    rest = len(lines) - most
    return [*lines[:most], *([f"and {rest} more"] if rest > 0 else [])]


def tell_left_out(where: str, reason: str, names: Sequence[str]) -> None:
    """Says on standard error what is not used, how many and which, and why; silent where there is nothing to say."""
    if names:
        logging.getLogger(__name__).warning("%s: left out, %s: %d: %s", where, reason, len(names), listed(names))


def listed(names: Sequence[str], most: int = 10) -> str:
    """The first names, and how many more there are, on one line."""
    return ", ".join(shortened(names, most))
