"""Kills a run at random points of all its stages, lets it go on each time, and compares it with an unbroken one."""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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

BEGIN, END = "the start", "the outputs"
"""Points before the first stage and after the last one."""
_PATIENCE = 600.0
_SECONDS_AROUND = 0.3
_REMEMBERED = frozenset({".checked", ".files"})
_VOLATILE = (RECORD, "report.json", "report.md", "report.html", "benchmark.json", "benchmark.md", "README.md")
"""Files that tell how long something took or what was cached."""


@dataclass(frozen=True)
class Work:
    """A command that is run again and again: `asr-tv COMMAND CONFIG`."""

    command: str
    config: Path

    def reseeded(self, seed: int) -> "Work":
        """The same with another seed, in a file of its own."""
        values = json.loads(self.config.read_text(encoding="utf-8")) | {"seed": seed}
        return _written(self.command, values, self.config.with_name(f"{self.config.stem}-{seed}.yaml"))


def fake_adapt(folder: Path) -> Work:
    """The whole method on fakes."""
    settings = {"selection.starts": ["pretrained", "source_mixed"], "selection.augmentation": [True]}
    return _written("adapt", with_overrides(fake_values(folder), settings), folder / "adapt.yaml")


def fake_benchmark(folder: Path) -> Work:
    """A leave-one-domain-out table on fakes: one target, one kind of vector."""
    fixed = {"start": "pretrained", "augmentation": False, "scaling_coef": 0.5}
    values = fake_values(folder) | {
        "name": "table",
        "selection": {"method": "fixed", "starts": ["pretrained"], "augmentation": [False], "scaling_coefs": [0.5]},
        "benchmark": {"targets": ["travel"], "vectors": ["pooled"]},
    }
    del values["target"]
    values["selection"]["fixed"] = fixed
    return _written("benchmark", values, folder / "benchmark.yaml")


def real_slice(folder: Path) -> Work:
    """The whole method on real weights, recordings and a real voice, as the end-to-end test runs it."""
    (folder / "slice.yaml").write_text(SLICE, encoding="utf-8")
    return Work("adapt", folder / "slice.yaml")


def _written(command: str, values: Mapping[str, Any], file: Path) -> Work:
    file.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML
    return Work(command, file)


@dataclass(frozen=True)
class Place:
    """Where a run keeps everything."""

    root: Path

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def out(self) -> Path:
        return self.root / "out"

    def records(self) -> dict[str, dict[str, Any]]:
        """Finished results by "stage/key", in the order in which they were finished."""
        files = [f for f in self.store.glob("*/*/" + RECORD) if not f.parent.name.endswith(".partial")]
        files.sort(key=lambda f: f.stat().st_mtime_ns)
        return {f"{f.parent.parent.name}/{f.parent.name}": json.loads(f.read_text(encoding="utf-8")) for f in files}

    def finished(self) -> dict[Path, tuple[int, int]]:
        """Files of finished results and clips, with what changes when they are written again."""
        results = [p for name in self.records() for p in (self.store / name).rglob("*") if p.is_file()]
        clips = [p for s in self.store.glob("clips/*/*.json") for p in (s, s.with_suffix(".flac"))]
        return {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in (*results, *clips)}

    def epochs(self) -> dict[str, int]:
        """Finished epochs of each unfinished fine-tuning, by key."""
        kept = (f.parent for f in self.store.glob("finetune/*.partial/epoch-*/losses.json"))
        numbers = [(f.parent.name.removesuffix(".partial"), int(f.name.partition("-")[2])) for f in kept]
        return {key: max(n for k, n in numbers if k == key) for key, _ in numbers}

    def files(self) -> dict[str, str]:
        """Digest by name of everything that should be the same in every run; of volatile files only the name.

        What the store remembers of files it has checked and of who used them is each run's own.
        """
        found = sorted(p for top in (self.store, self.out) for p in top.rglob("*") if p.is_file() or p.is_symlink())
        found = [p for p in found if p.suffix not in _REMEMBERED and p.parent.name != RUNS]
        return {
            p.relative_to(self.root).as_posix(): "" if p.name in _VOLATILE or not p.is_file() else file_digest(p)
            for p in found
        }

    def result(self) -> Any:
        """What the report says, without how long it took."""
        for name, keys in (("report.json", ("systems", "verdict", "selection")), ("benchmark.json", ("tables",))):
            if (self.out / name).exists():
                report = json.loads((self.out / name).read_text(encoding="utf-8"))
                return [report[key] for key in keys]
        return None

    def labels(self) -> dict[str, str]:
        """Key -> label of the run's stages."""
        file = next(f for f in (self.out / "report.json", self.out / "benchmark.json") if f.exists())
        return {row["key"]: row["label"] for row in json.loads(file.read_text(encoding="utf-8"))["stages"]}


@dataclass
class Toll:
    """What the kills came to.

    Attributes:
        kills: stage -> how many processes were killed while they were in it.
        completions: broken runs that came to their end.
        problems: every difference from an unbroken run; empty is what is promised.
    """

    kills: Counter[str] = field(default_factory=Counter)
    completions: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def killed(self) -> int:
        return sum(self.kills.values())


class Crashes:
    """One piece of work, its unbroken run, and any number of broken ones.

    Args:
        root: a folder for all runs.
        say: told of each kill and each completion.
        signals: sent in turn; at the start and while outputs are written always SIGKILL.
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

    def break_one(self, toll: Toll, most: int) -> Place:
        """Kills one run at up to `most` points, at most one in each kind of stage; then it may finish."""
        self._number += 1
        place = Place(self._root / f"broken-{self._number}")
        for point in self._points(toll, most):
            before = self._before(place)
            self._kill(place, point, toll)
            toll.problems += self._redone(place, *before)
        before = self._before(place)
        code = self._finish(place)
        toll.problems += self._redone(place, *before)
        toll.problems += [f"{place.root.name}: exit code {code}"] if code else self._differences(place)
        toll.completions += 1
        self._say(f"{place.root.name} finished after {toll.killed} kills in all; problems: {len(toll.problems)}")
        return place

    def _points(self, toll: Toll, most: int) -> list[str]:
        """One result of each kind of stage, those with fewest kills so far, in the order of the run."""
        names = list(self._records)
        stages = [*dict.fromkeys(name.partition("/")[0] for name in names), BEGIN, END]
        self._rng.shuffle(stages)
        stages.sort(key=lambda stage: toll.kills[stage])
        chosen = {
            self._rng.choice([n for n in [*names, BEGIN, END] if n.partition("/")[0] == s]) for s in stages[:most]
        }
        return sorted(chosen, key=lambda point: [BEGIN, *names, END].index(point))

    def _kill(self, place: Place, point: str, toll: Toll) -> None:
        process = start(self._work, place, self._log(place))
        self._await(place, point, process)
        around = self._records[point]["seconds"] * 1.1 if point in self._records else _SECONDS_AROUND
        time.sleep(self._rng.uniform(0, around + 0.005))
        if process.is_alive() and process.pid is not None:
            number = signal.SIGKILL if point in (BEGIN, END) else next(self._signals)
            os.kill(process.pid, number)
            toll.kills[point.partition("/")[0]] += 1
            self._say(f"{number.name} in {self._named(point)}")
            process.join(_PATIENCE)
            toll.problems += [] if number == signal.SIGKILL else _badly_stopped(place, process.exitcode, number)
        process.join()

    def _named(self, point: str) -> str:
        return self.unbroken.labels().get(point.partition("/")[2], point)

    def _await(self, place: Place, point: str, process: ForkServerProcess) -> None:
        last = list(self._records)[-1]
        scratch, result = place.store / f"{point}.partial", place.store / (last if point == END else point) / RECORD
        deadline = time.monotonic() + _PATIENCE
        while point != BEGIN and not (scratch.exists() or result.exists()):
            if not process.is_alive() or time.monotonic() > deadline:
                return
            time.sleep(0.001)

    def _finish(self, place: Place) -> int | None:
        process = start(self._work, place, self._log(place))
        process.join(_PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
        return process.exitcode

    def _log(self, place: Place) -> Path:
        place.root.mkdir(parents=True, exist_ok=True)
        log = place.root / f"progress-{len(list(place.root.glob('progress-*')))}.jsonl"
        log.touch()
        return log

    def _before(self, place: Place) -> tuple[dict[Path, tuple[int, int]], dict[str, int]]:
        return place.finished(), place.epochs()

    def _redone(
        self, place: Place, finished: Mapping[Path, tuple[int, int]], epochs: Mapping[str, int]
    ) -> Iterator[str]:
        """What the last process did although it had been done before."""
        after = place.finished()
        for path, written in finished.items():
            if after.get(path) != written:
                yield f"{path}: was finished, and was written again or is gone"
        labels = self.unbroken.labels() if epochs else {}
        newest = max(place.root.glob("progress-*"), key=lambda f: int(f.stem.partition("-")[2]))
        told = first_steps(newest)
        for key, count in epochs.items():
            utterances = self._records[f"finetune/{key}"]["details"]["utterances"]
            if (step := told.get(labels[key])) is not None and step != count * utterances:
                yield f"{labels[key]}: {count} epochs were finished, and it went on after {step} of {utterances} each"

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
    """What is wrong with the last words of a command that was asked to end."""
    if code != 128 + number:
        yield f"{place.root.name}: exit code {code} after {number.name}"
    said = (place.root / "said.txt").read_text(encoding="utf-8").splitlines()
    words = (f"kept in {place.store}: ", "stopped; what is finished is kept, ")
    if not all(line.startswith(start) for line, start in zip(said[-2:], words, strict=True)):
        yield f"{place.root.name}: said after {number.name}: {said[-2:]}"
    if any("Traceback" in line for line in said):
        yield f"{place.root.name}: a traceback after {number.name}"


def start(work: Work, place: Place, log: Path) -> ForkServerProcess:
    """Runs the command in a process that has its libraries loaded already."""
    context = get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    process = context.Process(target=_run, args=(work, place, log))
    process.start()
    return process


_PRELOADED = ("transformers", "accelerate", "asr_tv.runs.run", __name__)


def _run(work: Work, place: Place, log: Path) -> None:
    from asr_tv.cli import console, main
    from asr_tv.testing.speech import use_fake_engine

    use_fake_engine()
    # A shell that starts something in the background lets it ignore Ctrl-C, and its children, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    notes = log.open("w", encoding="utf-8")
    console.progress_for = lambda **_: _noted(notes)
    sys.stdout = sys.stderr = (place.root / "said.txt").open("a", encoding="utf-8")
    command = [work.command, str(work.config), "--store", str(place.store), "--out", str(place.out)]
    sys.argv = ["asr-tv", *command]
    main()


def _noted(file: Any) -> Any:
    """Progress as lines of a file: label, total, and each step."""

    @contextmanager
    def progress(label: str, total: int, _: str) -> Iterator[Advance]:
        def advance(done: int = 1, note: str = "") -> None:  # noqa: ARG001 - the names are the protocol's
            print(json.dumps({"label": label, "total": total, "done": done}), file=file, flush=True)

        yield advance

    return progress


def first_steps(log: Path) -> dict[str, int]:
    """The first step of each line of progress that a process told of."""
    steps: dict[str, int] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # cut by the kill
        steps.setdefault(row["label"], row["done"])
    return steps


def crash(
    work: Work,
    root: Path,
    *,
    kills: int,
    seed: int,
    say: Callable[[str], None] = lambda line: None,
    signals: Sequence[signal.Signals] = (signal.SIGKILL,),
) -> Toll:
    """So many kills, in as many broken runs as that takes.

    Raises:
        RuntimeError: the unbroken run fails, or runs end before they can be killed.
    """
    toll, crashes = Toll(), Crashes(work, root, seed, say, signals)
    say(f"unbroken: {len(crashes._records)} results in {crashes.seconds:.1f} s")
    while toll.killed < kills:
        before = toll.killed
        crashes.break_one(toll, min(kills - toll.killed, 12))
        if toll.killed == before:
            raise RuntimeError("no process lived long enough to be killed")
    return toll


def summary(toll: Toll) -> Sequence[str]:
    """Lines for a terminal."""
    by_stage = ", ".join(f"{stage} {count}" for stage, count in sorted(toll.kills.items()))
    return [
        f"{toll.killed} kills ({by_stage}), {toll.completions} runs completed, {len(toll.problems)} differences",
        *toll.problems,
    ]
