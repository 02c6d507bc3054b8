"""What a result was made of, read from the records themselves: every stage before it, by the digests it took in."""

import json
from collections.abc import Iterable, Sequence

from asr_tv.data.manifest import Manifest
from asr_tv.pipeline.execution.executor import Done
from asr_tv.report.ledger import StageEntry
from asr_tv.store.results import RECORD, Record

Reading = tuple[Record, Record | None, Manifest]
"""A checkpoint, with a vector or without, transcribed and scored on recordings."""


def stage_entry(done: Done) -> StageEntry:
    """A record as the report lists it."""
    record, purpose = done.record, done.step.purpose
    return StageEntry(record.stage, done.label, record.key, record.cached, record.seconds, record.reads, purpose)


class Lineage:
    """The stages of a run, found by what they made and by what they took in."""

    def __init__(self, done: Sequence[Done]) -> None:
        self._makers: dict[str, list[tuple[StageEntry, tuple[str, ...]]]] = {}
        self._scorings: dict[tuple[str, str | None, str], list[StageEntry]] = {}
        for entry in {(d.record.stage, d.record.key): d for d in done}.values():
            record = entry.record
            inputs: dict[str, str] = json.loads((record.path / RECORD).read_text(encoding="utf-8"))["inputs"]
            if record.stage in ("transcribe", "score"):
                # Known by what they read, not by what they made: two models that hear the same make the same file.
                key = (inputs["checkpoint"], inputs.get("vector"), inputs["manifest"])
                self._scorings.setdefault(key, []).append(stage_entry(entry))
            else:
                self._makers.setdefault(record.digest, []).append((stage_entry(entry), tuple(inputs.values())))

    def of(self, made: Iterable[Record], readings: Iterable[Reading] = ()) -> tuple[StageEntry, ...]:
        """All stages that weights come from, and the choices that rest on readings; each once, sorted by key.

        Raises:
            RuntimeError: the run's records do not tell where one of them comes from, so nothing can be proved of it.
        """
        found: dict[tuple[str, str], StageEntry] = {}
        waiting = [record.digest for record in made]
        for checkpoint, vector, manifest in readings:
            digests = (checkpoint.digest, None if vector is None else vector.digest)
            scorings = self._scorings.get((*digests, manifest.digest), ())
            if not scorings:
                raise RuntimeError(f"{checkpoint.path} on {manifest.name}: no record of its scoring")
            found |= {(entry.stage, entry.key): entry for entry in scorings}
            waiting += filter(None, digests)
        if unknown := [digest for digest in waiting if digest not in self._makers]:
            raise RuntimeError(f"no record of what made {', '.join(unknown)}")
        seen: set[str] = set()
        while waiting:
            digest = waiting.pop()
            if digest in seen:
                continue
            seen.add(digest)
            for entry, inputs in self._makers.get(digest, ()):
                found[entry.stage, entry.key] = entry
                waiting += inputs
        return tuple(found[key] for key in sorted(found))
