"""The report: finished evaluations, choices and records as one JSON-able dictionary.

Opens no file and reads no clock; equal inputs give equal reports.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from asr_tv.report.breakdown import breakdowns
from asr_tv.report.examples import examples
from asr_tv.report.inputs import (
    CorpusInput,
    DroppedUtterance,
    ReportInputs,
    ScoredRecipe,
    SelectionInput,
    SynthesisInput,
)
from asr_tv.report.ledger import StageEntry, ledger_entries, target_recordings_read_before_scoring
from asr_tv.report.scores import Sets, comparison_rows, finite, forgetting_part, judged, span, system_row, terms_part
from asr_tv.report.verdict import headline, unfinished, verdict
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.evaluation import Evaluation, compare
from asr_tv.scoring.scored_set import ScoredSet
from asr_tv.scoring.terms import TermCounter

SCHEMA_VERSION = 2
"""Of report.json; its schema is asr_tv/schemas/report-2.json."""

Json = dict[str, Any]


def build_report(inputs: ReportInputs) -> Json:
    """The content of report.json: rates are fractions, not percent; what is unknown or infinite is null.

    Raises:
        DataError: evaluations of one set were taken under different conditions.
        ValueError: a system stands twice in one set.
    """
    repeated = [key for key, count in Counter((s.name, *s.set) for s in inputs.systems).items() if count > 1]
    if repeated:
        raise ValueError(f"scored twice on one set: {repeated}")
    sets = _sets(inputs)
    systems = [system_row(system, sets) for system in inputs.systems]
    comparison = comparison_rows(inputs.systems, sets)
    forgetting = forgetting_part(systems, comparison, inputs)
    ledger = _ledger(inputs)
    leaks = ledger["target_recordings_read_before_scoring"]
    confidence = inputs.bootstrap.confidence
    state = unfinished(inputs.missing)
    return {
        "schema_version": SCHEMA_VERSION,
        "name": inputs.name,
        "target_domain": inputs.target_domain,
        "missing": None if inputs.missing is None else list(inputs.missing),
        "headline": state + headline(systems, comparison, forgetting, leaks, confidence),
        "verdict": state + verdict(systems, comparison, forgetting, leaks, confidence),
        "systems": systems,
        "comparison": comparison,
        "breakdowns": [{**_named(key), **row} for key, scored in sets.items() for row in breakdowns(scored)],
        "terms": terms_part(inputs.terms, sets),
        "examples": _examples(sets),
        "selection": _selection(inputs.selection),
        "target_curve": _target_curve(inputs.target_curve, inputs.bootstrap),
        "forgetting": forgetting,
        **({"retention": [dict(row) for row in inputs.retention]} if inputs.retention else {}),
        "synthesis": [_synthesis(entry) for entry in inputs.synthesis],
        "ledger": ledger,
        "gates": {what: dict(counts) for what, counts in inputs.gates.items()},
        "dropped": _dropped(inputs.dropped),
        "corpus": _corpus(inputs.corpora),
        "stages": [_stage(entry) for entry in inputs.stages],
        "bootstrap": asdict(inputs.bootstrap),
        "settings": dict(inputs.settings),
        "packages": dict(inputs.packages),
    }


def _sets(inputs: ReportInputs) -> Sets:
    evaluations: dict[tuple[str, str, str], dict[str, Evaluation]] = {}
    for system in inputs.systems:
        if system.evaluation is not None:
            evaluations.setdefault(system.set, {})[system.name] = system.evaluation
    terms = TermCounter(inputs.terms.terms)
    return {key: ScoredSet(group, inputs.bootstrap, terms) for key, group in evaluations.items()}


def _named(key: tuple[str, str, str]) -> Json:
    return dict(zip(("role", "domain", "split"), key, strict=True))


def _examples(sets: Sets) -> Json | None:
    """Of the target's recordings; where there are none, of the source's."""
    for role in ("target", "source"):
        for key, scored in sets.items():
            if key[0] == role and (shown := examples(scored)) is not None:
                return {**_named(key), **shown}
    return None


def _selection(selection: SelectionInput) -> Json:
    return {
        "method": selection.method,
        "folds": list(selection.folds),
        "chosen": selection.chosen and selection.chosen.model_dump(),
        "scores": [_recipe_score(score) for score in selection.scores],
    }


def _recipe_score(score: ScoredRecipe) -> Json:
    return {
        **score.recipe.model_dump(),
        "wer": score.errors / score.words if score.words else None,
        "errors": score.errors,
        "words": score.words,
        "per_fold": {domain: finite(wer) for domain, wer in sorted(score.per_fold.items())},
    }


def _target_curve(curve: Mapping[float, Evaluation], bootstrap: Bootstrap) -> list[Json]:
    return [
        {
            "scaling_coef": coef,
            "wer": finite(e.wer),
            **span(e.interval(**asdict(bootstrap))),
            "errors": e.word_counts.errors,
            "words": e.word_counts.words,
            "against_zero": _against_zero(e, curve[0.0], bootstrap) if coef and 0.0 in curve else None,
        }
        for coef, e in sorted(curve.items())
    ]


def _against_zero(evaluation: Evaluation, zero: Evaluation, bootstrap: Bootstrap) -> Json:
    return judged(compare(evaluation, zero, **asdict(bootstrap), may_differ=("scaling_coef",)))


def _synthesis(entry: SynthesisInput) -> Json:
    """Clips made and lost; everything else the stage counted is under `details`."""
    details = dict(entry.details)
    made, lost = int(details.get("clips", 0)), int(details.get("dropped_clips", 0))
    return {
        "label": entry.label,
        "clips": made,
        "dropped_clips": lost,
        "yield": made / (made + lost) if made + lost else None,
        "seconds": float(details.get("audio_seconds", 0.0)),
        "details": details,
    }


def _ledger(inputs: ReportInputs) -> Json:
    entries = ledger_entries(inputs.stages)
    leaks = target_recordings_read_before_scoring(inputs.stages, inputs.target_domain, inputs.origin)
    return {
        "entries": [entry.row() for entry in entries],
        "target_recordings_read_before_scoring": [entry.row() for entry in leaks],
        "declared": {
            "final_scoring": sorted(s.label for s in inputs.stages if s.purpose == "scoring"),
            "topline": sorted(s.label for s in inputs.stages if s.purpose == "topline"),
        },
    }


def _dropped(dropped: Sequence[DroppedUtterance]) -> Json:
    rows = sorted(dropped, key=lambda d: (d.stage, d.reason, d.id))
    return {
        "count": len(rows),
        "by_reason": dict(sorted(Counter(row.reason for row in rows).items())),
        "utterances": [asdict(row) for row in rows],
    }


def _corpus(corpora: Sequence[CorpusInput]) -> Json:
    lines = sorted({f"{c.name}: {c.simulated_line}" for c in corpora if c.simulated_line})
    note = (
        "Scores on a simulated line are of studio recordings made to sound like a telephone, not of calls. "
        f"{'; '.join(lines)}."
    )
    return {"corpora": [asdict(corpus) for corpus in corpora], "simulated_line": note if lines else None}


def _stage(entry: StageEntry) -> Json:
    return {
        "name": entry.stage,
        "label": entry.label,
        "key": entry.key,
        "state": "cached" if entry.cached else "executed",
        "seconds": entry.seconds,
    }
