"""Kills at random points of every stage, resumes, and compares with an uninterrupted run.

    python benchmarks/crashes.py --kills 50                       # the whole method on fakes
    python benchmarks/crashes.py --kills 50 --work benchmark      # a leave-one-domain-out table on fakes
    python benchmarks/crashes.py --kills 8 --real                 # a slice of the real corpus, weights and voice
    python benchmarks/crashes.py --kills 12 --signals INT TERM    # Ctrl-C and a scheduler's stop
    python benchmarks/crashes.py --minutes 30                     # soak test: a new seed and store for every run

Reports what was lost, done twice or different; exit code 1 if anything was. Progress goes to standard error.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from asr_tv.testing.crashes import Crashes, Tally, Work, crash, fake_adapt, fake_benchmark, real_slice, summary

SIGNALS = {"KILL": signal.SIGKILL, "INT": signal.SIGINT, "TERM": signal.SIGTERM}
WORKS = {"adapt": fake_adapt, "benchmark": fake_benchmark, "slice": real_slice}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--minutes", type=float, help="in place of --kills: as many as that takes")
    parser.add_argument("--work", choices=("adapt", "benchmark"), default="adapt")
    parser.add_argument("--real", action="store_true", help="real weights, corpus and voice")
    parser.add_argument("--signals", nargs="+", choices=sorted(SIGNALS), default=["KILL"], help="sent in turn")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="asr-tv-crashes-"))
    try:
        work = WORKS["slice" if options.real else options.work](folder)
        if options.minutes is None:
            numbers = [SIGNALS[name] for name in options.signals]
            runs = folder / "runs"
            tally = crash(work, runs, kills=options.kills, seed=options.seed, say=say, signals=numbers)
        else:
            tally = soak(work, folder, options.minutes, options.seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(summary(tally)))
    sys.exit(bool(tally.problems))


def soak(work: Work, folder: Path, minutes: float, seed: int) -> Tally:
    """Runs with new seeds, each interrupted at up to twelve points, until the time is over."""
    tally, deadline = Tally(), time.monotonic() + 60 * minutes
    while time.monotonic() < deadline:
        seed += 1
        runs = folder / f"seed-{seed}"
        Crashes(work.reseeded(seed), runs, seed, say).break_one(tally, 12)
        shutil.rmtree(runs)
    return tally


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
