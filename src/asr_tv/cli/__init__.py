"""The command line: parsing and printing, nothing else. Heavy libraries are imported by the command that needs them."""

import codecs
import errno
import json
import logging
import os
import signal
import sys
from collections.abc import Iterable
from typing import NoReturn

import typer

from asr_tv.cli import adapt, biasing, compare, corpus, doctor, published, sequence, store, trying, vector
from asr_tv.cli import export as exporting
from asr_tv.cli import stages as tools
from asr_tv.cli import transcribe as transcribing
from asr_tv.cli.describing import ask, describe, probe
from asr_tv.cli.learning import stream, test_time
from asr_tv.cli.stopping import Stops, tell_stopped, terminable
from asr_tv.cli.writing import texts
from asr_tv.errors import RunFailed, UserError
from asr_tv.safe_text import printable, redacted

app = typer.Typer(
    help="Adapt a speech recogniser to a new domain from text alone.\n\nExample: asr-tv adapt configs/demo.yaml",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("adapt")(adapt.adapt)
app.command("benchmark")(adapt.benchmark)
app.command("sequence")(sequence.sequence)
app.command("synthesize")(tools.synthesize)
app.command("gate")(tools.gate)
app.command("finetune")(tools.finetune)
app.command("transcribe")(transcribing.transcribe)
app.command("score")(tools.score)
app.command("test-time")(test_time.adaptations)
app.command("stream")(stream.stream)
vector.app.command("push")(published.push)
vector.app.command("list")(published.list_)
vector.app.command("pull")(published.pull)
app.add_typer(vector.app, name="vector")
app.add_typer(corpus.app, name="corpus")
app.add_typer(store.app, name="store")
app.command("export")(exporting.export)
app.command("terms")(biasing.terms)
app.command("texts")(texts.texts)
app.command("report")(compare.report)
app.command("diff")(compare.diff)
app.command("try")(trying.try_models)
app.command("describe")(describe.describe)
app.command("probe")(probe.probe)
app.command("ask")(ask.ask)
app.command("doctor")(doctor.doctor)

_NO_ROOM = (
    "; what is finished is kept: make room (asr-tv store gc shows what can go), and the same command goes on from there"
)


def main() -> None:
    """The program: a user's mistake gives one message and exit code 2, without a traceback."""
    _escape_unprintable()
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # A progress bar of another library inside ours garbles the terminal.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    with terminable() as stops:
        _run(stops)


def _escape_unprintable() -> None:
    """Characters that standard output cannot encode are written as JSON writes them, so that JSON stays JSON."""

    def escape(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        return json.dumps(error.object[error.start : error.end])[1:-1], error.end

    codecs.register_error("asr-tv", escape)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="asr-tv")


def _run(stops: Stops) -> None:
    try:
        app()
    except UserError as error:
        if stops.number is not None:  # the signal reached the workers first
            tell_stopped(stops)
        _refuse(error.problems)
    except RunFailed as failure:
        print(f"failed: {printable(failure)}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:  # a place where nothing can be written, a full disk
        if error.strerror is None:
            raise
        advice = _NO_ROOM if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        _refuse([f"{error.filename or 'writing'}: {error.strerror}{advice}"])
    except SystemExit as ending:
        if ending.code == 128 + signal.SIGINT:  # how Typer ends after Ctrl-C
            tell_stopped(stops)
        raise


class _Lines(logging.Formatter):
    """Log lines without passwords, and without characters that a terminal obeys."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(redacted(super().format(record)))


def _refuse(problems: Iterable[str]) -> NoReturn:
    for problem in problems:
        print("error:", printable(problem.replace("\n", " "), keep=""), file=sys.stderr)
    sys.exit(2)
