"""What runs the graph's calls. The graph hands over calls that do not depend on each other and waits for records."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, Protocol

from asr_tv.config.run import RunOptions
from asr_tv.errors import TryAgain
from asr_tv.pipeline.execution.inputs import check_inputs
from asr_tv.progress import Progress, silent
from asr_tv.store.records import Purpose
from asr_tv.store.results import Damaged, Record, Store
from asr_tv.store.runtime import Runtime

_log = logging.getLogger(__name__)

Kind = Literal[
    "checkpoint",
    "corpus",
    "noise",
    "synthesize",
    "judge",
    "gate",
    "context start",
    "finetune",
    "vector",
    "mean vector",
    "average",
    "compare",
    "adapt",
    "transcribe",
    "sweep",
    "score",
    "ngram",
    "internal lm",
    "text only",
    "describe",
    "published",
    "write",
]

DEFAULT_OPTIONS = RunOptions()


@dataclass(frozen=True)
class Step:
    """What a call is.

    Attributes:
        subject: what it makes or reads: "source_real".
        test: the name of the recordings it is scored on, where it is: "target".
        fold: the source domain that plays the target, in a fold.
        run: which run of a table it belongs to: "travel, seed 17"; empty for a run of its own.
        options: how to run it; never part of a key.
        alone: not to be run beside other calls, because it spreads its work by itself.
    """

    kind: Kind
    subject: str = ""
    test: str = ""
    fold: str = ""
    run: str = ""
    purpose: Purpose = "model"
    options: RunOptions = DEFAULT_OPTIONS
    alone: bool = False

    @property
    def name(self) -> str:
        """All but its kind: "adapted on target", "source_real (fold services)"."""
        on = f"on {self.test}" if self.test else ""
        notes = ", ".join(filter(None, (self.run, f"fold {self.fold}" if self.fold else "")))
        return " ".join(filter(None, (self.subject, on, f"({notes})" if notes else "")))

    @property
    def label(self) -> str:
        """What people read: "finetune source_real"."""
        return f"{self.kind} {self.name}".rstrip()


P = ParamSpec("P")


@dataclass(frozen=True)
class Call:
    """A step with its stage and arguments by name, all of which can be sent to another process."""

    step: Step
    stage: Callable[..., Record]
    arguments: Mapping[str, Any]

    @property
    def label(self) -> str:
        return self.step.label

    def run(self, store: Store, progress: Progress) -> Record:
        """The call's record.

        Raises:
            Damaged: something that the stage was about to read.
        """
        guarded = store.guarded(partial(check_inputs, self.arguments, store))
        how = self.step.options
        runtime = Runtime(guarded, progress, self.label, how.device, how.eval_batch_size, workers=how.workers)
        return self.stage(runtime, **self.arguments)


def call(step: Step, stage: Callable[Concatenate[Runtime, P], Record], *args: P.args, **kwargs: P.kwargs) -> Call:
    """The stage with everything but its runtime, which an executor gives it."""
    bound = signature(stage).bind(None, *args, **kwargs).arguments
    return Call(step, stage, dict(list(bound.items())[1:]))


@dataclass(frozen=True)
class Done:
    """A step and its record, in the order of the graph."""

    step: Step
    record: Record

    @property
    def label(self) -> str:
        return self.step.label


class DoneList(list[Done]):
    """What was run so far, each result once under each label that asked for it."""

    def __init__(self) -> None:
        super().__init__()
        self._known: set[tuple[str, str]] = set()

    def note(self, calls: Sequence[Call], records: Sequence[Record]) -> None:
        """Appends what is new."""
        for call, record in zip(calls, records, strict=True):
            if (call.label, record.key) not in self._known:
                self.append(Done(call.step, record))
                self._known.add((call.label, record.key))


class Executor(Protocol):
    """Runs independent calls, in any order or all at once, and returns their records in the order given."""

    def __call__(self, calls: Sequence[Call]) -> list[Record]: ...

    @property
    def done(self) -> Sequence[Done]:
        """Everything run so far, each result once."""
        ...

    @property
    def store(self) -> Store:
        """Where the records are."""
        ...


_ATTEMPTS = 4


class Healing:
    """Remembers a run's calls, so that what turns out damaged later is made again, and the run goes on."""

    def __init__(self) -> None:
        self._made: dict[Path, tuple[Call, str]] = {}

    def attempt(self, call: Call, run: Callable[[Call], Record], first: Callable[[], Record] | None = None) -> Record:
        """The record that `run` makes of the call; `first` takes its place the first time.

        Raises:
            Damaged: an input is, again and again, or was not made by this run.
            TryAgain: what was made again came out otherwise than before.
        """
        for number in range(_ATTEMPTS):
            try:
                if number:
                    self._make_again(run)
                record = first() if first and not number else run(call)
            except Damaged as error:
                for problem in error.problems:
                    _log.warning("%s: %s", call.label, problem)
                if number + 1 == _ATTEMPTS:
                    raise
            else:
                self._made[record.path] = call, record.digest
                return record
        raise AssertionError(call.label)

    def _make_again(self, run: Callable[[Call], Record]) -> None:
        """Runs all earlier calls, in their order; those whose results are whole find them."""
        for path, (call, digest) in list(self._made.items()):
            again = run(call)
            if (again.path, again.digest) != (path, digest):
                raise TryAgain(f"{call.label}: was damaged, and came out otherwise when made again: run again")


@dataclass
class InProcess:
    """One call after the other in this process; needs no server."""

    store: Store
    progress: Progress = silent
    done: DoneList = field(default_factory=DoneList)
    _healing: Healing = field(default_factory=Healing)

    def __call__(self, calls: Sequence[Call]) -> list[Record]:
        records = [self._healing.attempt(call, lambda one: one.run(self.store, self.progress)) for call in calls]
        self.done.note(calls, records)
        return records
