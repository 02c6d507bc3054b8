"""Kills a run at random points of all its stages, resumes it each time, and compares it with an unbroken run."""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from asr_tv.config.parsing import with_overrides
from asr_tv.progress import Advance
from asr_tv.store.results import RECORD, file_digest
from asr_tv.store.uses import RUNS
from asr_tv.testing.runs import SLICE, fake_values

_BEGIN, _END = "the start", "the outputs"  # points before the first stage and after the last one
_PATIENCE = 600.0
_REPORTS = {"report.json": ("systems", "verdict", "selection"), "benchmark.json": ("tables",)}
"""Report of each command -> what in it must be the same in every run."""
_VOLATILE = (RECORD, *_REPORTS, "report.md", "report.html", "benchmark.md", "README.md")
"""Files that tell how long something took or what was cached."""


@dataclass(frozen=True)
class Work:
    """A command that is run repeatedly: `asr-tv COMMAND CONFIG`."""

    command: str
    config: Path

    def reseeded(self, seed: int) -> "Work":
        """The same with another seed, in a file of its own."""
        values = json.loads(self.config.read_text(encoding="utf-8")) | {"seed": seed}
        return _work(self.command, values, self.config.with_name(f"{self.config.stem}-{seed}.yaml"))


def fake_adapt(folder: Path) -> Work:
    """The whole method on fakes."""
    settings = {"selection.starts": ["pretrained", "source_mixed"], "selection.augmentation": [True]}
    return _work("adapt", with_overrides(fake_values(folder), settings), folder / "adapt.yaml")


def fake_benchmark(folder: Path) -> Work:
    """A leave-one-domain-out table on fakes: one target, one kind of vector."""
    recipe = {"start": "pretrained", "augmentation": False, "scaling_coef": 0.5}
    grid = {"starts": ["pretrained"], "augmentation": [False], "scaling_coefs": [0.5]}
    values = fake_values(folder) | {
        "name": "table",
        "selection": {"method": "fixed", "fixed": recipe, **grid},
        "benchmark": {"targets": ["travel"], "vectors": ["pooled"]},
    }
    del values["target"]
    return _work("benchmark", values, folder / "benchmark.yaml")


def real_slice(folder: Path) -> Work:
    """The whole method on real weights, recordings and a real voice, as the end-to-end test runs it."""
    (folder / "slice.yaml").write_text(SLICE, encoding="utf-8")
    return Work("adapt", folder / "slice.yaml")


def _work(command: str, values: Mapping[str, Any], file: Path) -> Work:
    file.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML
    return Work(command, file)


class Place:
    """Where a run keeps everything."""

    def __init__(self, root: Path) -> None:
        self.root, self.store, self.out, self.progress = root, root / "store", root / "out", root / "progress.jsonl"

    def records(self) -> dict[str, dict[str, Any]]:
        """stage/key -> record of each finished result, in the order in which they were finished."""
        files = [f for f in self.store.glob("*/*/" + RECORD) if not f.parent.name.endswith(".partial")]
        files.sort(key=lambda f: f.stat().st_mtime_ns)
        return {f"{f.parent.parent.name}/{f.parent.name}": json.loads(f.read_text(encoding="utf-8")) for f in files}

    def finished(self) -> dict[Path, tuple[int, int]]:
        """File of a finished result or clip -> what changes when it is written again."""
        results = [p for name in self.records() for p in (self.store / name).rglob("*") if p.is_file()]
        clips = [p for s in self.store.glob("clips/*/*.json") for p in (s, s.with_suffix(".flac"))]
        return {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in (*results, *clips)}

    def epochs(self) -> dict[str, int]:
        """Key -> number of finished epochs of each unfinished fine-tuning."""
        kept = [f.parent for f in self.store.glob("finetune/*.partial/epoch-*/losses.json")]
        return dict(sorted((f.parent.name.removesuffix(".partial"), int(f.name.partition("-")[2])) for f in kept))

    def files(self) -> dict[str, str]:
        """Name -> digest of everything that must be the same in every run; "" for volatile files."""
        found = sorted(p for top in (self.store, self.out) for p in top.rglob("*") if p.is_file() or p.is_symlink())
        # The store's memos and notes of use are each run's own.
        found = [p for p in found if p.suffix not in (".checked", ".files") and p.parent.name != RUNS]
        return {
            p.relative_to(self.root).as_posix(): "" if p.name in _VOLATILE or not p.is_file() else file_digest(p)
            for p in found
        }

    def result(self) -> list[Any]:
        return [self._report()[key] for name, keys in _REPORTS.items() if (self.out / name).exists() for key in keys]

    def first_steps(self) -> dict[str, int]:
        """Label -> first step of each progress line of the last process."""
        steps: dict[str, int] = {}
        for line in self.progress.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # cut off by the kill
                row = json.loads(line)
                steps.setdefault(row["label"], row["done"])
        return steps

    def labels(self) -> dict[str, str]:
        return {row["key"]: row["label"] for row in self._report()["stages"]}

    def _report(self) -> Any:
        file = next(self.out / name for name in _REPORTS if (self.out / name).exists())
        return json.loads(file.read_text(encoding="utf-8"))


@dataclass
class Tally:
    """Kills by stage, broken runs that finished in the end, and every difference from an unbroken run."""

    kills: Counter[str] = field(default_factory=Counter)
    completions: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def killed(self) -> int:
        return sum(self.kills.values())


class Crashes:
    """A piece of work, its unbroken run, and any number of broken runs.

    `signals` are sent in turn; at the start and while outputs are written it is always SIGKILL.
    """

    def __init__(
        self,
        work: Work,
        root: Path,
        seed: int,
        say: Callable[[str], None] = lambda line: None,
        signals: Sequence[signal.Signals] = (signal.SIGKILL,),
    ) -> None:
        self._work, self._root, self._rng, self._say = work, root, random.Random(seed), say
        self._signals = cycle(signals)
        self._number = 0
        self.unbroken = Place(root / "unbroken")
        started = time.monotonic()
        if (code := self._finish(self.unbroken)) != 0:
            raise RuntimeError(f"the unbroken run ended with exit code {code}")
        self.seconds = time.monotonic() - started
        self._records = self.unbroken.records()

    def break_one(self, tally: Tally, most: int) -> None:
        """Kills one run at up to `most` points, at most once per kind of stage, and then lets it finish."""
        self._number += 1
        place = Place(self._root / f"broken-{self._number}")
        for point in self._points(tally, most):
            with self._checked(place, tally):
                self._kill(place, point, tally)
        with self._checked(place, tally):
            code = self._finish(place)
        tally.problems += [f"{place.root.name}: exit code {code}"] if code else self._differences(place)
        tally.completions += 1
        self._say(f"{place.root.name} finished after {tally.killed} kills in all; problems: {len(tally.problems)}")

    def _points(self, tally: Tally, most: int) -> list[str]:
        """One result per kind of stage, of those with fewest kills so far, in the order of the run."""
        points = [*self._records, _BEGIN, _END]
        stages = list(dict.fromkeys(map(_stage_of, points)))
        self._rng.shuffle(stages)
        stages.sort(key=lambda stage: tally.kills[stage])
        chosen = {self._rng.choice([p for p in points if _stage_of(p) == stage]) for stage in stages[:most]}
        return sorted(chosen, key=[_BEGIN, *self._records, _END].index)

    def _kill(self, place: Place, point: str, tally: Tally) -> None:
        process = _start(self._work, place)
        self._await(place, point, process)
        around = self._records[point]["seconds"] * 1.1 if point in self._records else 0.3
        time.sleep(self._rng.uniform(0, around + 0.005))
        if process.is_alive() and process.pid is not None:
            number = signal.SIGKILL if point in (_BEGIN, _END) else next(self._signals)
            os.kill(process.pid, number)
            tally.kills[_stage_of(point)] += 1
            self._say(f"{number.name} in {self.unbroken.labels().get(point.partition('/')[2], point)}")
            process.join(_PATIENCE)
            tally.problems += [] if number == signal.SIGKILL else _badly_stopped(place, process.exitcode, number)
        process.join()

    def _await(self, place: Place, point: str, process: ForkServerProcess) -> None:
        last = list(self._records)[-1]
        scratch, result = place.store / f"{point}.partial", place.store / (last if point == _END else point) / RECORD
        deadline = time.monotonic() + _PATIENCE
        while point != _BEGIN and not (scratch.exists() or result.exists()):
            if not process.is_alive() or time.monotonic() > deadline:
                return
            time.sleep(0.001)

    def _finish(self, place: Place) -> int | None:
        process = _start(self._work, place)
        process.join(_PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
        return process.exitcode

    @contextmanager
    def _checked(self, place: Place, tally: Tally) -> Iterator[None]:
        """For one process of a run, which must not redo what was finished before."""
        finished, epochs = place.finished(), place.epochs()
        yield
        after, steps = place.finished(), place.first_steps()
        for path, written in finished.items():
            if after.get(path) != written:
                tally.problems.append(f"{path}: was finished, and was written again or is gone")
        for key, count in epochs.items():
            label, size = self.unbroken.labels()[key], self._records[f"finetune/{key}"]["details"]["clips_per_epoch"]
            if (step := steps.get(label)) is not None and step != count * size:
                tally.problems.append(f"{label}: {count} epochs were finished; it went on after {step}, {size} each")

    def _differences(self, place: Place) -> Iterator[str]:
        """How a completed run differs from the unbroken one, in names, bytes, digests and what the report says."""
        ours, theirs = place.files(), self.unbroken.files()
        yield from (f"{place.root.name}: {name} is litter" for name in sorted(ours.keys() - theirs.keys()))
        yield from (f"{place.root.name}: {name} is missing" for name in sorted(theirs.keys() - ours.keys()))
        yield from (f"{place.root.name}: {n} differs" for n in ours if n in theirs and ours[n] != theirs[n])
        records = place.records()
        for name, record in self._records.items():
            if name in records and records[name]["digest"] != record["digest"]:
                yield f"{place.root.name}: the digest of {name} differs"
        if place.result() != self.unbroken.result():
            yield f"{place.root.name}: the report says something else"


def _badly_stopped(place: Place, code: int | None, number: signal.Signals) -> Iterator[str]:
    if code != 128 + number:
        yield f"{place.root.name}: exit code {code} after {number.name}"
    said = (place.root / "said.txt").read_text(encoding="utf-8").splitlines()
    words = (f"kept in {place.store}: ", "stopped; what is finished is kept, ")
    if not all(line.startswith(start) for line, start in zip(said[-2:], words, strict=True)):
        yield f"{place.root.name}: said after {number.name}: {said[-2:]}"
    if any("Traceback" in line for line in said):
        yield f"{place.root.name}: a traceback after {number.name}"


def _stage_of(point: str) -> str:
    return point.partition("/")[0]


def _start(work: Work, place: Place) -> ForkServerProcess:
    """Runs the command in a process that has already loaded its libraries."""
    place.root.mkdir(parents=True, exist_ok=True)
    place.progress.write_text("", encoding="utf-8")
    context = get_context("forkserver")
    context.set_forkserver_preload(["transformers", "accelerate", "asr_tv.runs.run", __name__])
    process = context.Process(target=_run, args=(work, place))
    process.start()
    return process


def _run(work: Work, place: Place) -> None:
    from asr_tv.cli import console, main
    from asr_tv.testing.speech import use_fake_engine

    use_fake_engine()
    # A shell makes what it starts in the background, and its children, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    progress = place.progress.open("w", encoding="utf-8")
    console.progress_for = lambda **_: _progress_into(progress)
    sys.stdout = sys.stderr = (place.root / "said.txt").open("a", encoding="utf-8")
    sys.argv = ["asr-tv", work.command, str(work.config), "--store", str(place.store), "--out", str(place.out)]
    main()


def _progress_into(file: Any) -> Any:
    @contextmanager
    def progress(label: str, *_: Any) -> Iterator[Advance]:
        def advance(done: int = 1, note: str = "") -> None:  # noqa: ARG001 - the names are the protocol's
            print(json.dumps({"label": label, "done": done}), file=file, flush=True)

        yield advance

    return progress


def crash(
    work: Work,
    root: Path,
    *,
    kills: int,
    seed: int,
    say: Callable[[str], None] = lambda line: None,
    signals: Sequence[signal.Signals] = (signal.SIGKILL,),
) -> Tally:
    """A number of kills, in as many broken runs as it takes.

    Raises:
        RuntimeError: the unbroken run fails, or runs end before they can be killed.
    """
    tally, crashes = Tally(), Crashes(work, root, seed, say, signals)
    say(f"unbroken: {len(crashes._records)} results in {crashes.seconds:.1f} s")
    while tally.killed < kills:
        before = tally.killed
        crashes.break_one(tally, min(kills - tally.killed, 12))
        if tally.killed == before:
            raise RuntimeError("no process lived long enough to be killed")
    return tally


def summary(tally: Tally) -> list[str]:
    """Lines for a terminal."""
    by_stage = ", ".join(f"{stage} {count}" for stage, count in sorted(tally.kills.items()))
    ended = f"{tally.completions} runs completed, {len(tally.problems)} differences"
    return [f"{tally.killed} kills ({by_stage}), {ended}", *tally.problems]
