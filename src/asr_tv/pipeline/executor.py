"""What runs the graph's calls. The graph hands over calls that do not depend on each other and waits for records."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from asr_tv.progress import Progress, silent
from asr_tv.store import Record, Store


@dataclass(frozen=True)
class Call:
    """One stage with its arguments, all of which can be sent to another process.

    Attributes:
        label: what people read: "finetune source_real".
        stage: a function that also takes `store` and `progress`.
    """

    label: str
    stage: Callable[..., Record]
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Done:
    """A call and its record, in the order of execution."""

    label: str
    record: Record


class Executor(Protocol):
    """Runs independent calls, in any order or all at once, and returns their records in the order given."""

    def __call__(self, calls: Sequence[Call]) -> list[Record]: ...

    @property
    def done(self) -> Sequence[Done]:
        """Everything run so far."""
        ...


@dataclass
class InProcess:
    """One call after the other in this process; needs no server."""

    store: Store
    progress: Progress = silent
    finished: Callable[[Done], None] = lambda done: None
    done: list[Done] = field(default_factory=list)

    def __call__(self, calls: Sequence[Call]) -> list[Record]:
        return [self._run(call) for call in calls]

    def _run(self, call: Call) -> Record:
        record = call.stage(**call.arguments, store=self.store, progress=self.progress)
        self.done.append(Done(call.label, record))
        self.finished(self.done[-1])
        return record
