"""The report: pulls finished evaluations, choices and records together into one JSON-able dictionary.

Opens no file and reads no clock; equal inputs give an equal report.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, Literal, Protocol

from asr_tv.config import Recipe
from asr_tv.evaluation import AUDIO_CONTEXT, Conditions, Evaluation, compare
from asr_tv.ledger import StageEntry, ledger_entries, target_recordings_read_before_scoring
from asr_tv.manifest import Split
from asr_tv.verdict import ADAPTED, ADAPTED_AT_30_S, NO_TARGET, PRETRAINED, difference_verdict, set_of, verdict

SCHEMA_VERSION = 1

Role = Literal["target", "source", "general"]
Json = dict[str, Any]


@dataclass(frozen=True)
class SystemInput:
    """One checkpoint on one set of recordings: a row of the WER table.

    Attributes:
        role: what the set is to the run.
        evaluation: None when the set has no recordings.
        text_only: the checkpoint was made without any target recording.
        simulated_line: what was done to studio recordings, such as "gsm, 5 dB SNR"; None for recordings as they are.
    """

    name: str
    role: Role
    domain: str
    split: Split
    evaluation: Evaluation | None
    text_only: bool
    scaling_coef: float | None = None
    simulated_line: str | None = None

    @property
    def set(self) -> tuple[str, str, str]:
        return self.role, self.domain, self.split


class ScoredRecipe(Protocol):
    """One recipe over all folds: errors pooled, and the WER on each source domain that played the target."""

    @property
    def recipe(self) -> Recipe: ...
    @property
    def errors(self) -> int: ...
    @property
    def words(self) -> int: ...
    @property
    def per_fold(self) -> Mapping[str, float]: ...


@dataclass(frozen=True, slots=True)
class SelectionInput:
    """How the recipe was chosen; a fixed one has no folds and no scores."""

    method: str
    chosen: Recipe
    folds: tuple[str, ...] = ()
    scores: tuple[ScoredRecipe, ...] = ()


@dataclass(frozen=True, slots=True)
class Dropped:
    """An utterance that was left out, and why."""

    id: str
    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class CorpusInput:
    """A corpus that was used, with its licence; `seconds` of speech."""

    name: str
    licence: str
    utterances: int
    seconds: float
    simulated_line: str | None = None


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals are made."""

    resamples: int
    confidence: float
    seed: int


@dataclass(frozen=True)
class ReportInputs:
    """Everything a report is made of.

    Attributes:
        systems: rows in the order of the table; one name stands once a set.
        final_scoring_labels: labels of the stages that decode and score the target's test set.
        topline_labels: labels of the stages that train on target recordings for the topline.
        max_relative: the bound of forgetting.
        target_curve: the target's test by scaling coefficient, scored after the recipe was chosen, for the reader.
    """

    name: str
    target_domain: str
    systems: tuple[SystemInput, ...]
    selection: SelectionInput
    stages: tuple[StageEntry, ...]
    corpora: tuple[CorpusInput, ...]
    bootstrap: Bootstrap
    max_relative: float
    dropped: tuple[Dropped, ...] = ()
    final_scoring_labels: frozenset[str] = frozenset()
    topline_labels: frozenset[str] = frozenset()
    target_curve: Mapping[float, Evaluation] = field(default_factory=dict)


def build_report(inputs: ReportInputs) -> Json:
    """The content of report.json: rates are fractions, not percent; what is unknown or infinite is null.

    Raises:
        DataError: evaluations of one set were taken under different conditions.
        ValueError: a system stands twice in one set.
    """
    _require_unique(inputs.systems)
    systems = [_system(system, inputs.bootstrap) for system in inputs.systems]
    comparison = _comparison(inputs.systems, inputs.bootstrap)
    forgetting = _forgetting(systems, comparison, inputs.max_relative)
    ledger = _ledger(inputs)
    leaks = ledger["target_recordings_read_before_scoring"]
    return {
        "schema_version": SCHEMA_VERSION,
        "name": inputs.name,
        "target_domain": inputs.target_domain,
        "verdict": verdict(systems, comparison, forgetting, leaks, inputs.bootstrap.confidence),
        "systems": systems,
        "comparison": comparison,
        "selection": _selection(inputs.selection),
        "target_curve": _target_curve(inputs.target_curve),
        "forgetting": forgetting,
        "ledger": ledger,
        "dropped": _dropped(inputs.dropped),
        "corpus": _corpus(inputs.corpora),
        "stages": [_stage(entry) for entry in inputs.stages],
        "bootstrap": asdict(inputs.bootstrap),
    }


def _require_unique(systems: Iterable[SystemInput]) -> None:
    repeated = [key for key, count in Counter((s.name, *s.set) for s in systems).items() if count > 1]
    if repeated:
        raise ValueError(f"scored twice on one set: {repeated}")


def _system(system: SystemInput, bootstrap: Bootstrap) -> Json:
    row: Json = {
        "name": system.name,
        "role": system.role,
        "domain": system.domain,
        "split": system.split,
        "text_only": system.text_only,
        "scaling_coef": system.scaling_coef,
        **dict.fromkeys(("wer", "cer", "ci_low", "ci_high", "errors", "words", "characters", "hits")),
        **dict.fromkeys(("substitutions", "deletions", "insertions", "utterances", "sentences")),
        "conditions": {},
        "note": None,
    }
    if system.evaluation is None:
        return {**row, "note": NO_TARGET if system.role == "target" else "no recordings"}
    return {**row, **_scores(system.evaluation, system.simulated_line, bootstrap)}


def _scores(evaluation: Evaluation, simulated_line: str | None, bootstrap: Bootstrap) -> Json:
    low, high = evaluation.interval(**asdict(bootstrap))
    known = isfinite(high)
    return {
        "wer": finite(evaluation.wer),
        "cer": finite(evaluation.cer),
        "ci_low": low if known else None,
        "ci_high": high if known else None,
        "errors": evaluation.word_counts.errors,
        "words": evaluation.word_counts.words,
        "characters": evaluation.character_counts.words,
        **asdict(evaluation.word_counts),
        "utterances": len(evaluation.utterances),
        "sentences": evaluation.sentences,
        "conditions": _conditions(evaluation.conditions, simulated_line),
    }


def _conditions(conditions: Conditions, simulated_line: str | None) -> Json:
    return {
        AUDIO_CONTEXT: None,
        **dict(conditions.decoding),
        "checkpoint": conditions.checkpoint,
        "manifest": conditions.manifest,
        "normalizer": conditions.normalizer,
        "normalizer_version": conditions.normalizer_version,
        "simulated_line": simulated_line,
    }


def finite(value: float) -> float | None:
    """The value, or None (JSON's null) where it is infinite or undefined."""
    return value if isfinite(value) else None


def _comparison(systems: Sequence[SystemInput], bootstrap: Bootstrap) -> list[Json]:
    """Adapted against every other system on each set that both were scored on."""
    adapted = {s.set: s.evaluation for s in systems if s.name == ADAPTED and s.evaluation is not None}
    return [
        _compared(adapted[rival.set], rival, rival.evaluation, bootstrap)
        for rival in systems
        if rival.name not in (ADAPTED, ADAPTED_AT_30_S) and rival.evaluation is not None and rival.set in adapted
    ]


def _compared(adapted: Evaluation, rival: SystemInput, evaluation: Evaluation, bootstrap: Bootstrap) -> Json:
    result = compare(adapted, evaluation, **asdict(bootstrap))
    return {
        "rival": rival.name,
        "role": rival.role,
        "domain": rival.domain,
        "split": rival.split,
        "text_only": rival.text_only,
        "difference": finite(result.difference),
        "ci_low": finite(result.low),
        "ci_high": finite(result.high),
        "p": result.p,
        "relative": finite(result.difference / evaluation.wer) if evaluation.wer else None,
        "verdict": difference_verdict(result.low, result.high),
    }


def _forgetting(systems: Sequence[Json], comparison: Sequence[Json], bound: float) -> Json:
    """Adapted against pretrained on general speech; passed is null when there is none."""
    rates = {(row["name"], *set_of(row)): row["wer"] for row in systems}
    rows = [
        _forgotten(row, rates[PRETRAINED, *set_of(row)], rates[ADAPTED, *set_of(row)], bound)
        for row in comparison
        if row["role"] == "general" and row["rival"] == PRETRAINED
    ]
    return {"bound": bound, "passed": all(row["passed"] for row in rows) if rows else None, "rows": rows}


def _forgotten(row: Json, pretrained: float | None, adapted: float | None, bound: float) -> Json:
    passed = pretrained is not None and adapted is not None and adapted <= pretrained * (1 + bound)
    return {
        **{key: row[key] for key in ("domain", "split", "difference", "ci_low", "ci_high", "p", "relative")},
        "pretrained": pretrained,
        "adapted": adapted,
        "passed": passed,
    }


def _selection(selection: SelectionInput) -> Json:
    return {
        "method": selection.method,
        "folds": list(selection.folds),
        "chosen": selection.chosen.model_dump(),
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


def _target_curve(curve: Mapping[float, Evaluation]) -> list[Json]:
    return [
        {"scaling_coef": coef, "wer": finite(e.wer), "errors": e.word_counts.errors, "words": e.word_counts.words}
        for coef, e in sorted(curve.items())
    ]


def _ledger(inputs: ReportInputs) -> Json:
    entries = ledger_entries(inputs.stages)
    leaks = target_recordings_read_before_scoring(
        entries, inputs.target_domain, inputs.final_scoring_labels, inputs.topline_labels
    )
    return {
        "entries": [entry.row() for entry in entries],
        "target_recordings_read_before_scoring": [entry.row() for entry in leaks],
        "declared": {
            "final_scoring": sorted(inputs.final_scoring_labels),
            "topline": sorted(inputs.topline_labels),
        },
    }


def _dropped(dropped: Sequence[Dropped]) -> Json:
    rows = sorted(dropped, key=lambda d: (d.stage, d.reason, d.id))
    return {
        "count": len(rows),
        "by_reason": dict(sorted(Counter(row.reason for row in rows).items())),
        "utterances": [asdict(row) for row in rows],
    }


def _corpus(corpora: Sequence[CorpusInput]) -> Json:
    lines = sorted({f"{c.name}: {c.simulated_line}" for c in corpora if c.simulated_line})
    note = (
        f"Scores on a simulated line are of studio recordings made to sound like a telephone, not of calls. "
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
