"""Live progress artifacts of synthesis and training."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from asr_tv.progress import Advance
from asr_tv.safe_text import inert
from flows.artifacts import slug

_SHOWN = ("synthesize", "finetune")
_SECONDS = 3.0
_log = logging.getLogger("asr_tv.progress")


class ArtifactProgress:
    """The library's progress as artifacts of the task that runs the stage.

    A stage may run in another process, whose progress arrives in a thread outside any task; so each task's context is
    kept under its label.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._contexts: dict[str, Context] = {}

    def remember(self, label: str) -> None:
        """Keeps the context of the current task, whose stage will report under this label."""
        self._contexts[label] = copy_context()

    @contextmanager
    def __call__(self, label: str, total: int, unit: str) -> Iterator[Advance]:
        context = self._context(label)
        if total > 1:
            context.run(_log.info, "%s: %d %s to do", label, total, unit)
        if not label.startswith(_SHOWN):
            yield lambda done=1, note="": None
            return
        artifact = context.run(
            create_progress_artifact,
            0.0,
            key=slug(f"progress-{self._name}-{label}"),
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

    def _context(self, label: str) -> Context:
        """The context of the task whose label is the longest one that `label` begins with."""
        names = [name for name in self._contexts if label.startswith(name)]
        return self._contexts[max(names, key=len)].copy() if names else copy_context()
