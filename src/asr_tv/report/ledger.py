"""The leak ledger: every manifest that every stage read, and whether a target recording was among them too early."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from asr_tv.store.records import ManifestRef


@dataclass(frozen=True, slots=True)
class StageEntry:
    """One executed or cached stage of a run, as its record has it.

    Attributes:
        stage: the kind of work: synthesize, finetune, transcribe...
        label: what was made in this run, such as source_real.
        seconds: what the work took when it was executed.
        reads: every manifest whose audio or text it read.
    """

    stage: str
    label: str
    key: str
    cached: bool
    seconds: float
    reads: tuple[ManifestRef, ...] = ()


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One manifest read by one stage."""

    stage: str
    label: str
    key: str
    manifest: ManifestRef

    def row(self) -> dict[str, Any]:
        """The entry as JSON has it."""
        return {
            "stage": self.stage,
            "key": self.key,
            "label": self.label,
            "manifest": self.manifest.name,
            "digest": self.manifest.digest,
            "domains": list(self.manifest.domains),
            "splits": list(self.manifest.splits),
            "origins": list(self.manifest.origins),
            "utterances": self.manifest.utterances,
        }


def ledger_entries(stages: Iterable[StageEntry]) -> tuple[LedgerEntry, ...]:
    """One entry a stage and manifest, in the stages' order."""
    return tuple(LedgerEntry(s.stage, s.label, s.key, ref) for s in stages for ref in s.reads)


def target_recordings_read_before_scoring(
    entries: Iterable[LedgerEntry],
    target_domain: str | None,
    final_scoring_labels: Collection[str],
    topline_labels: Collection[str],
) -> tuple[LedgerEntry, ...]:
    """Reads of real recordings of the target domain by any stage but the declared ones; empty proves "text only".

    A manifest that mixes real recordings with target utterances is counted, because its entry cannot show that
    they are not the same ones.

    Args:
        final_scoring_labels: stages that decode and score the target's test set once all choices are made.
        topline_labels: stages that train the topline, which is declared to use target recordings.
    """
    declared = {*final_scoring_labels, *topline_labels}
    return tuple(
        entry
        for entry in entries
        if entry.label not in declared and target_domain in entry.manifest.domains and "real" in entry.manifest.origins
    )
