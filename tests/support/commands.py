"""What the tests of the command line share: a finished command, and files to run it on."""

import contextlib
import functools
import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile


@dataclass(frozen=True)
class Done:
    """One command: its exit code, standard output, and the lines on standard error."""

    code: int
    out: str
    lines: list[str]

    @property
    def problems(self) -> list[str]:
        """What it refused, once it is clear that it did so properly."""
        assert self.code == 2
        assert self.out == ""
        assert all(line.startswith("error: ") for line in self.lines), self.lines
        return [line.removeprefix("error: ") for line in self.lines]

    @property
    def row(self) -> dict[str, Any]:
        """What `--json` printed; NaN and infinity are not JSON."""
        assert self.code == 0, self.lines
        row: dict[str, Any] = json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        return row


Command = Callable[..., Done]


def record(path: Path, seconds: float = 1.0, rate: int = 16_000) -> Path:
    wave = np.random.default_rng(round(seconds * 1000)).standard_normal(round(seconds * rate)) * 0.1
    soundfile.write(path, wave, rate)
    return path


def write_rows(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@functools.cache
def program() -> Any:
    """The command line, which Typer would build anew for each call."""
    from typer.main import get_command

    from asr_tv.cli import app

    return get_command(app)


def run_here(*arguments: object) -> int:
    """The program in this process, as its command line starts it; returns the exit code."""
    from asr_tv import cli

    handlers = logging.getLogger().handlers[:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # as the program sets them where they are not set
        patch.setenv("TRANSFORMERS_VERBOSITY", "error")
        patch.setattr(sys, "argv", ["asr-tv", *map(str, arguments)])
        patch.setattr(cli, "app", program())
        with pytest.raises(SystemExit) as ending:
            cli.main()
    logging.getLogger().handlers[:] = handlers
    return int(ending.value.code or 0)


def adapt_slice(folder: Path) -> dict[str, Any]:
    """Runs slice.yaml of the folder, one stage at a time; returns the report.

    The libraries are loaded already, which takes a process and its workers seven seconds each.
    """
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = run_here("adapt", folder / "slice.yaml", "--set", "run.jobs=1", *_into(folder))
    assert code == 0
    report: dict[str, Any] = json.loads(printed.getvalue())
    return report


def adapt_slice_again(folder: Path) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, "-c", "from asr_tv.cli import main; main()", "adapt", str(folder / "slice.yaml")]
    done = subprocess.run([*command, *_into(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _into(folder: Path) -> list[str]:
    return ["--store", str(folder / "store"), "--out", str(folder / "out"), "--json", "--quiet"]
