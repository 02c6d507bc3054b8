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
        alone: not to be run beside other calls, because it spreads its work by itself.
    """

    label: str
    stage: Callable[..., Record]
    arguments: Mapping[str, Any]
    alone: bool = False

    def run(self, store: Store, progress: Progress) -> Record:
        return self.stage(**self.arguments, store=store, progress=progress)


@dataclass(frozen=True)
class Done:
    """A call and its record, in the order of the graph."""

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
    done: list[Done] = field(default_factory=list)

    def __call__(self, calls: Sequence[Call]) -> list[Record]:
        records = [call.run(self.store, self.progress) for call in calls]
        self.done += [Done(call.label, record) for call, record in zip(calls, records, strict=True)]
        return records
