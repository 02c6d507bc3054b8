"""What must be set before Prefect is imported, and how the library's log reaches the UI."""

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
"""The repository; deployments name files below it, in `configs/` and `flows/`."""

RUNS_URL = "ASR_TV_RUNS_URL"
"""Environment variable: address at which `runs/` is served; links to reports begin with it."""
STORE_URL = "ASR_TV_STORE_URL"
"""Environment variable: address at which the store is served; links to stages' files begin with it."""


def prepare() -> None:
    """Turns Prefect's telemetry off, and makes `flows` importable from a checkout."""
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    if str(HOME) not in sys.path:
        sys.path.insert(0, str(HOME))


def alone(command: str) -> None:
    """Runs a flow that was started as a script as `asr-tv COMMAND` if no server is configured, and then exits.

    A temporary server would cost seconds, and one more for every few stages, and nobody could look at it; set
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE=true for one.
    """
    if os.environ.get("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "").lower() in ("1", "true") or is_watched():
        return
    from asr_tv.cli import main

    sys.argv = ["asr-tv", command, *sys.argv[1:]]
    main()


def is_watched() -> bool:
    """Whether a server is configured, whose UI people can open."""
    from prefect.settings import get_current_settings

    return get_current_settings().api.url is not None


def from_command_line(flow: Callable[[str], object], example: str) -> None:
    """Runs a flow with the configuration named on the command line; the user's mistakes end with exit code 2."""
    from asr_tv.errors import UserError

    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(f"usage: python {sys.argv[0]} CONFIG\nexample: python {sys.argv[0]} {example}")
    try:
        flow(sys.argv[1])
    except UserError as error:
        print(*(f"error: {problem}" for problem in error.problems), sep="\n", file=sys.stderr)
        sys.exit(2)


def show_library_logs() -> None:
    """Sends the log of asr_tv to the run's page."""
    from prefect.logging.handlers import APILogHandler

    logger = logging.getLogger("asr_tv")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, APILogHandler) for handler in logger.handlers):
        handler = APILogHandler()
        handler.addFilter(_without_secrets)
        logger.addHandler(handler)
    logging.getLogger("prefect.task_runs").addFilter(_is_news)


def _without_secrets(record: logging.LogRecord) -> bool:
    """Removes the passwords of addresses from the line."""
    from asr_tv.safe_text import redacted

    record.msg, record.args = redacted(record.getMessage()), ()
    return True


def _is_news(record: logging.LogRecord) -> bool:
    """Drops the warning, made for each task, that a timeout waits for the current call; ours are short."""
    return not str(record.msg).startswith("Timeout of %s seconds configured")
