"""A finished run read back: its report, and from the store the evaluations and recordings behind its rows."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.decoding.hypotheses import score_folder
from asr_tv.errors import DataError
from asr_tv.report.build import SCHEMA_VERSION
from asr_tv.report.systems import ADAPTED
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.scoring.score import read_evaluation
from asr_tv.store.results import Record, Store

REPORT = "report.json"
ROLES = ("target", "source", "general")
"""The test sets of a run, in the order of what they tell of an adapted model."""


@dataclass(frozen=True)
class FinishedRun:
    """A run's folder and the content of its report.json."""

    folder: Path
    report: dict[str, Any]

    def row(self, system: str, role: str) -> dict[str, Any]:
        """The scores of a system on one of the run's test sets.

        Raises:
            DataError: there are none, with the systems that have some.
        """
        scored: dict[str, dict[str, Any]] = {
            r["name"]: r for r in self.report["systems"] if r["role"] == role and r["wer"] is not None
        }
        if system not in scored:
            known = ", ".join(scored) or f"nothing was scored on its {role} set"
            raise DataError(f"{self.folder}: no scores of {system!r} on {role}; scored: {known}")
        return scored[system]

    def records(self, store: Store, name: str, label: str = "") -> list[Record | None]:
        """What the store has kept of the run's stages of a name, and of a label where one is given."""
        asked = [s for s in self.report["stages"] if s["name"] == name and label in ("", s["label"])]
        return [store.recorded(name, stage["key"]) for stage in asked]

    def evaluation(self, system: str, role: str, store: Store) -> Evaluation:
        """Utterance by utterance, what the row was made of.

        Raises:
            DataError: no such row, or the store has not kept the evaluation.
        """
        row, label = self.row(system, role), f"score {system} on {role}"
        record = next(iter(self.records(store, "score", label)), None)
        if record is None:
            raise DataError(f"{self.folder}: {store.root} has no {label!r}; --store names the run's store")
        found = read_evaluation(record.path / score_folder())
        if found.word_counts.errors != row["errors"] or found.conditions.manifest != row["conditions"]["manifest"]:
            raise DataError(f"{record.path}: is not what {self.folder / REPORT} says of {system} on {role}")
        return found

    def recordings(self, role: str, store: Store, system: str = ADAPTED) -> Manifest | None:
        """The very recordings that a system was scored on, or None when the store has not kept them."""
        evaluation = self.evaluation(system, role, store)
        for pool in _pools([stored_manifest(record) for record in self.records(store, "corpus") if record]):
            if all(u.id in pool for u in evaluation.utterances):
                found = tuple(pool[u.id] for u in evaluation.utterances)
                for rows in (found, tuple(replace(u, split="test") for u in found)):
                    manifest = Manifest(f"{role} test", rows)
                    if manifest.digest == evaluation.conditions.manifest:
                        return manifest
        return None


def read_run(folder: Path) -> FinishedRun:
    """The run of a folder.

    Raises:
        DataError: it did not finish, or its report is none or of a later version.
    """
    file = folder / REPORT
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"{file}: there is no report; `asr-tv adapt` writes it at the end, and goes on where it stopped"
        ) from None
    except ValueError as error:
        raise DataError(f"{file}: not a report: {error}") from error
    if not (isinstance(content, dict) and {"name", "systems", "verdict"} <= content.keys()):
        raise DataError(f"{file}: not a report of asr-tv")
    version = content.get("schema_version")
    if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise DataError(f"{file}: a report of version {version}; this asr-tv reads versions 1 to {SCHEMA_VERSION}")
    return FinishedRun(folder, content)


def _pools(corpora: list[Manifest]) -> Iterator[dict[str, Utterance]]:
    """Utterances by the ids they may have had in the run: their own, or behind their corpus's number."""
    for manifest in corpora:
        yield manifest.by_id
    for first in range(len(corpora)):
        yield {
            f"{number}/{u.id}": replace(u, id=f"{number}/{u.id}")
            for number, manifest in enumerate(corpora[first:])
            for u in manifest
        }
