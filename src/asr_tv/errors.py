"""The two errors that are the user's to mend; the command line prints them without a traceback and exits 2."""

from collections.abc import Callable, Iterable
from typing import Any

from asr_tv.safe_text import redacted


class UserError(Exception):
    """A mistake in what the user gave, with every problem found and not only the first.

    Args:
        problems: one line each, naming the file and line, the id, or the configuration path. Passwords in addresses
            are taken out.
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
    """Of the moment and not of the input: something did not answer or died, and another try may help."""


class RunFailed(Exception):
    """A run came to its end and broke a bound that its configuration sets; what it made is kept. Exit code 1."""


def gathered(*steps: Callable[[], Any]) -> list[Any]:
    """What each of the independent steps returns, in their order.

    Raises:
        UserError: the problems of all of them, as the kind of the first.
    """
    results: list[Any] = []
    errors: list[UserError] = []
    for step in steps:
        try:
            results.append(step())
        except UserError as error:
            errors.append(error)
    if errors:
        raise type(errors[0])(problem for error in errors for problem in error.problems)
    return results
