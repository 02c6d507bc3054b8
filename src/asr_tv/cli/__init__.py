"""The command line: parsing and printing, nothing else. Heavy libraries are imported by the command that needs them."""

import logging
import os
import sys
from collections.abc import Iterable
from typing import NoReturn

import typer

from asr_tv.cli import adapt, benchmark, compare, corpus, doctor, exporting, gate, texts, tools, transcribing, vector
from asr_tv.cli.stopping import Stops, tell_stopped, terminable
from asr_tv.errors import RunFailed, UserError

app = typer.Typer(
    help="Adapt a speech recogniser to a new domain from text alone.\n\nExample: asr-tv adapt configs/demo.yaml",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("adapt")(adapt.adapt)
app.command("benchmark")(benchmark.benchmark)
app.command("synthesize")(tools.synthesize)
app.command("gate")(gate.gate)
app.command("finetune")(tools.finetune)
app.command("transcribe")(transcribing.transcribe)
app.command("score")(tools.score)
app.add_typer(vector.app, name="vector")
app.add_typer(corpus.app, name="corpus")
app.command("export")(exporting.export)
app.command("texts")(texts.texts)
app.command("report")(compare.report)
app.command("diff")(compare.diff)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """The program: a user's mistake is one message and exit code 2, with no traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # A progress bar of another library inside ours garbles the terminal.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    with terminable() as stops:
        _run(stops)


_INTERRUPTED = 130
"""What typer makes of Ctrl-C: 128 and the number of the signal."""


def _run(stops: Stops) -> None:
    try:
        app()
    except UserError as error:
        if stops.number is not None:  # the signal reached the workers first
            tell_stopped(stops)
        _refuse(error.problems)
    except RunFailed as failure:
        print(f"failed: {failure}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:  # a place where nothing can be written, a full disk
        if error.strerror is None:
            raise
        _refuse([f"{error.filename or 'writing'}: {error.strerror}"])
    except SystemExit as ending:
        if ending.code == _INTERRUPTED:
            tell_stopped(stops)
        raise


def _refuse(problems: Iterable[str]) -> NoReturn:
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    sys.exit(2)
