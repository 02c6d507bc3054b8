"""Live progress artifacts of synthesis and training."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from asr_tv.pipeline.execution.executor import Kind, Step
from asr_tv.progress import Advance
from asr_tv.safe_text import inert
from flows.artifacts import stage_key

_SHOWN: frozenset[Kind] = frozenset({"synthesize", "finetune"})
_SECONDS = 3.0
_log = logging.getLogger("asr_tv.progress")


class ArtifactProgress:
    """The library's progress as artifacts of the task that runs the stage.

    A stage may run in another process, whose progress arrives in a thread outside any task; so each task's context
    and kind are kept under the label that its stage reports under.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: dict[str, tuple[Kind, Context]] = {}

    def remember(self, step: Step) -> None:
        """Called in the task that runs the step."""
        self._tasks[step.label] = step.kind, copy_context()

    @contextmanager
    def __call__(self, label: str, total: int, unit: str) -> Iterator[Advance]:
        kind, context = self._task(label)
        if total > 1:
            context.run(_log.info, "%s: %d %s to do", label, total, unit)
        if kind not in _SHOWN:
            yield lambda done=1, note="": None
            return
        artifact = context.run(
            create_progress_artifact,
            0.0,
            key=f"progress-{stage_key(self._name, label)}",
            description=inert(f"{label}: starting"),
        )
        count, last = 0, time.monotonic()

        def show(note: str) -> None:
            share = 100.0 * count / max(1, total)
            text = f"{label}: {count} of {total} {unit}{', ' + note if note else ''}"
            context.run(update_progress_artifact, artifact, share, description=inert(text))

        def advance(done: int = 1, note: str = "") -> None:
            nonlocal count, last
            count += done
            if time.monotonic() - last >= _SECONDS:
                last = time.monotonic()
                show(note)

        try:
            yield advance
        finally:
            show("")

    def _task(self, label: str) -> tuple[Kind | None, Context]:
        """What the task with this label runs, and a context of its own to report in."""
        if label not in self._tasks:
            return None, copy_context()
        kind, context = self._tasks[label]
        return kind, context.copy()
