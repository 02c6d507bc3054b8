"""The leak ledger: every manifest that each stage read, and whether a target recording was read too early."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from asr_tv.store.records import ManifestRef, Purpose


@dataclass(frozen=True, slots=True)
class StageEntry:
    """One executed or cached stage of a run, from its record.

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
    purpose: Purpose = "model"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One manifest read by one stage."""

    stage: str
    label: str
    key: str
    manifest: ManifestRef

    def row(self) -> dict[str, Any]:
        """The entry for JSON."""
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
    """One entry per stage and manifest, in the order of the stages."""
    return tuple(LedgerEntry(s.stage, s.label, s.key, ref) for s in stages for ref in s.reads)


def target_recordings_read_before_scoring(
    stages: Iterable[StageEntry], target_domain: str | None, origin: Collection[tuple[str, str]] = ()
) -> tuple[LedgerEntry, ...]:
    """Reads of real recordings of the target domain by what the model comes from; empty proves "text only".

    Final scoring and the topline are declared to read them. That declaration does not count for a stage in `origin`:
    stage and key of all that the adapted model and the choice of its recipe come from, known from the records
    themselves. A manifest that mixes real recordings with target utterances is counted, because its entry cannot show
    that they are not the same ones.
    """
    early = [s for s in stages if s.purpose in ("model", "choice") or (s.stage, s.key) in origin]
    return tuple(
        entry
        for entry in ledger_entries(early)
        if target_domain in entry.manifest.domains and "real" in entry.manifest.origins
    )
