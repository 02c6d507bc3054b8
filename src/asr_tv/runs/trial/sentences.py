"""Sentences of a run's domain, for a visitor to read aloud."""

from collections.abc import Iterator

from asr_tv.data.corpora import stored_manifest
from asr_tv.runs.finished import FinishedRun
from asr_tv.store.results import Store


def sentences_of(run: FinishedRun, store: Store) -> tuple[str, ...]:
    """The target's sentences that the run spoke, else those of the report's examples; empty where there are none."""
    domain = run.report["target_domain"]
    spoken = (text for said_of, text in _spoken(run, store) if said_of == domain)
    return tuple(dict.fromkeys(spoken)) or _shown(run)


def _spoken(run: FinishedRun, store: Store) -> Iterator[tuple[str, str]]:
    """Domain and text of every clip that the run had synthesised, as far as the store has kept them."""
    for record in run.records(store, "synthesize"):
        if record is not None:
            yield from ((u.domain, u.text) for u in stored_manifest(record))


def _shown(run: FinishedRun) -> tuple[str, ...]:
    shown = run.report.get("examples")
    if not shown or shown["role"] != "target":
        return ()
    return tuple(dict.fromkeys(row["reference"] for row in (*shown["most_improved"], *shown["most_worsened"])))
