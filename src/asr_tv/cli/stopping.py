"""Stopping a command by Ctrl-C or SIGTERM: one way out, and a message that says what is kept."""

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from asr_tv.safe_text import counted
from asr_tv.store.results import RECORD


class Stops:
    """Which signal asked this process to end, if one did: both SIGTERM and Ctrl-C raise KeyboardInterrupt."""

    number: int | None = None

    def asked(self, number: int, _: FrameType | None) -> NoReturn:
        """The handler of SIGTERM, which schedulers send."""
        self.number = number
        raise KeyboardInterrupt


@contextmanager
def terminable() -> Iterator[Stops]:
    """Let SIGTERM end the process as Ctrl-C does: workers are ended, and a message says what is kept."""
    stops = Stops()
    before = signal.signal(signal.SIGTERM, stops.asked)
    try:
        yield stops
    finally:
        signal.signal(signal.SIGTERM, before)


def tell_stopped(stops: Stops) -> NoReturn:
    """Say how to continue, and exit with 128 plus the number of the signal, as shells do."""
    command = shlex.join(["asr-tv", *sys.argv[1:]])
    print(f"stopped; what is finished is kept, and the same command goes on from there: {command}", file=sys.stderr)
    sys.exit(128 + (stops.number or signal.SIGINT))


@contextmanager
def telling_what_is_kept(root: Path) -> Iterator[None]:
    """If the work is interrupted, say what of it the store under `root` holds."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"kept in {root}: {kept(root)}", file=sys.stderr)
        raise


def kept(root: Path) -> str:
    """What a store holds, finished and half done, in words."""
    results = sum(not f.parent.name.endswith(".partial") for f in root.glob(f"*/*/{RECORD}"))
    clips = sum(1 for _ in root.glob("clips/*/*.json"))
    epochs = [f.parent for f in root.glob("finetune/*.partial/epoch-*/losses.json")]
    half = f", {len({f.parent for f in epochs})} unfinished fine-tunings up to their last whole epoch" if epochs else ""
    return f"{counted(results, 'finished result')}, {counted(clips, 'clip')}{half}"
