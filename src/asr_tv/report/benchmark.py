"""The leave-one-domain-out table as one JSON-able dictionary: WER by target and on average, with intervals.

Opens no file and reads no clock. Seeds are averaged; intervals are over sentences, drawn within each target.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

from asr_tv.errors import DataError
from asr_tv.report.ledger import LedgerEntry
from asr_tv.report.scores import finite
from asr_tv.report.systems import ADAPTED, CEILING, PRETRAINED, TARGET_REAL, rate_of
from asr_tv.report.verdict import BETTER, WORSE, difference_verdict, heard_nothing
from asr_tv.scoring.bootstrap import Bootstrap, Group, mean_difference
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.scoring.paper_scorer import paper_word_counts
from asr_tv.scoring.retention import retention

SCHEMA_VERSION = 1
TARGET = "target"

Json = dict[str, Any]


@dataclass(frozen=True)
class BenchmarkCell:
    """One system of one target and seed on one set of recordings.

    Attributes:
        base: the row that a vector was added to; None for rows without one.
        stages: how many stages it was made of.
        leaks: of those, reads of real target recordings; empty for every row that claims text only.
    """

    target: str
    seed: int
    system: str
    test: str
    evaluation: Evaluation
    base: str | None = None
    scaling_coef: float | None = None
    text_only: bool = True
    stages: int = 0
    leaks: tuple[LedgerEntry, ...] = ()


@dataclass(frozen=True)
class TableInputs:
    """Everything the report is built from.

    Attributes:
        curves: rows of target, row, vector, scaling_coef and the evaluations of all seeds.
        facts: passed on unchanged: plan, choices, cosines, source counts, corpora, configuration, stages.
        norm_ratios: name -> norm of source_real − pretrained over that of source_synthetic − pretrained.
    """

    name: str
    targets: tuple[str, ...]
    seeds: tuple[int, ...]
    cells: tuple[BenchmarkCell, ...]
    curves: tuple[tuple[str, str, str, float, tuple[Evaluation, ...]], ...]
    bootstrap: Bootstrap
    max_relative: float
    paper_scorer: bool = False
    norm_ratios: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Pooled:
    """One system on one target's test over all seeds: errors and words per utterance, summed over the seeds."""

    errors: tuple[int, ...]
    words: tuple[int, ...]
    sentences: tuple[str, ...]
    manifest: str

    @property
    def wer(self) -> float | None:
        return sum(self.errors) / sum(self.words) if sum(self.words) else None


def build_table(inputs: TableInputs) -> Json:
    """The content of benchmark.json: rates are fractions, not percent.

    Raises:
        DataError: a system was not scored on the same recordings with every seed, or as another was.
    """
    tests = dict.fromkeys(cell.test for cell in inputs.cells)
    tables = {test: _systems(inputs, test) for test in tests}
    leaks = [cell for cell in inputs.cells if cell.leaks]
    return {
        "schema_version": SCHEMA_VERSION,
        "name": inputs.name,
        "targets": list(inputs.targets),
        "seeds": list(inputs.seeds),
        "rates": _rate_name(inputs.cells),
        "conclusions": _conclusions(tables[TARGET], inputs),
        "tables": tables,
        "curves": [_curve_point(*row) for row in inputs.curves],
        "forgetting": _forgetting(tables, inputs),
        "regret": _regret(tables[TARGET]),
        "norm_ratios": {name: _ratio(value) for name, value in inputs.norm_ratios.items()},
        "ledger": {
            "text_only_rows": len({(c.target, c.seed, c.system) for c in inputs.cells if c.text_only}),
            "stages_walked": sum(c.stages for c in inputs.cells if c.text_only),
            "target_recordings_read": [
                {"target": c.target, "seed": c.seed, "system": c.system, "reads": [entry.row() for entry in c.leaks]}
                for c in leaks
            ],
        },
        "bootstrap": asdict(inputs.bootstrap),
        **inputs.facts,
    }


def _systems(inputs: TableInputs, test: str) -> list[Json]:
    cells = [cell for cell in inputs.cells if cell.test == test]
    groups: dict[str, dict[str, list[BenchmarkCell]]] = {}
    for cell in cells:
        groups.setdefault(cell.system, {}).setdefault(cell.target, []).append(cell)
    pooled = {system: {t: _pool(own) for t, own in by.items()} for system, by in groups.items()}
    return [_system(inputs, by_target, pooled) for by_target in groups.values()]


def _pool(cells: Sequence[BenchmarkCell]) -> _Pooled:
    first, *rest = [sorted(cell.evaluation.utterances, key=lambda u: u.id) for cell in cells]
    if any([u.id for u in first] != [u.id for u in other] for other in rest):
        raise DataError(f"{cells[0].system}: its seeds were scored on different recordings of {cells[0].target}")
    columns = list(zip(first, *rest, strict=True))
    return _Pooled(
        tuple(sum(u.word_counts.errors for u in column) for column in columns),
        tuple(sum(u.word_counts.words for u in column) for column in columns),
        tuple(u.sentence for u in first),
        cells[0].evaluation.conditions.manifest,
    )


def _system(
    inputs: TableInputs, by_target: Mapping[str, Sequence[BenchmarkCell]], pooled: Mapping[str, Mapping[str, _Pooled]]
) -> Json:
    cells = [cell for own in by_target.values() for cell in own]
    system, base = cells[0].system, cells[0].base
    row: Json = {
        "system": system,
        "text_only": all(cell.text_only for cell in cells),
        "base": base,
        **_mean(pooled[system], None, inputs.bootstrap),
        "per_target": {target: _target(inputs, own, pooled[system][target]) for target, own in by_target.items()},
        "paper_scorer_wer": _paper(by_target) if inputs.paper_scorer else None,
        "versus_base": _mean(pooled[system], pooled[base], inputs.bootstrap) if base in pooled and base else None,
        "adapted_minus_this": None,
    }
    if ADAPTED in pooled and system != ADAPTED:
        row["adapted_minus_this"] = _mean(pooled[ADAPTED], pooled[system], inputs.bootstrap)
    if cells[0].test != TARGET:
        row |= _kept(cells)
    return row


def _mean(a: Mapping[str, _Pooled], b: Mapping[str, _Pooled] | None, bootstrap: Bootstrap) -> Json:
    """The mean over targets of a's WER, or of a's minus b's."""
    both = {target: p for target, p in a.items() if b is None or target in b}
    for target, p in both.items():
        if b is not None and p.manifest != b[target].manifest:
            raise DataError(f"{target}: two systems were not scored on the same recordings")
    groups = [
        Group(p.errors, [0] * len(p.errors) if b is None else b[t].errors, p.words, p.sentences)
        for t, p in both.items()
    ]
    found = mean_difference(groups, **asdict(bootstrap))
    numbers: Json = {"wer" if b is None else "difference": finite(found.difference)}
    numbers |= {"ci_low": finite(found.low), "ci_high": finite(found.high)}
    if b is not None:
        before = [b[t].wer for t in both]
        mean = sum(w for w in before if w is not None) / len(before)
        numbers |= {"p": found.p, "relative": found.difference / mean if mean else None}
        numbers["verdict"] = difference_verdict(found.low, found.high)
    return numbers


def _target(inputs: TableInputs, cells: Sequence[BenchmarkCell], pooled: _Pooled) -> Json:
    interval = _mean({"": pooled}, None, inputs.bootstrap)
    return {
        **interval,
        "per_seed": {str(cell.seed): finite(cell.evaluation.wer) for cell in cells},
        "scaling_coefs": {str(cell.seed): cell.scaling_coef for cell in cells if cell.scaling_coef is not None},
        "utterances": len(pooled.errors),
        "sentences": len(set(pooled.sentences)),
        "words": sum(pooled.words) // len(cells),
        "paper_scorer_wer": _paper({"": cells}) if inputs.paper_scorer else None,
    }


def _paper(by_target: Mapping[str, Sequence[BenchmarkCell]]) -> float | None:
    """Mean over targets of the pooled WER by the released scorer."""
    rates = []
    for cells in by_target.values():
        counts = [paper_word_counts(cell.evaluation) for cell in cells]
        words = sum(c.words for c in counts)
        rates.append(sum(c.errors for c in counts) / words if words else None)
    known = [rate for rate in rates if rate is not None]
    return sum(known) / len(known) if known else None


def _kept(cells: Iterable[BenchmarkCell]) -> Json:
    parts = [retention(cell.evaluation) for cell in cells]
    means: Json = {}
    for name in ("casing", "punctuation", "repetition"):
        known = [value for part in parts if (value := getattr(part, name)) is not None]
        means[name] = sum(known) / len(known) if known else None
    return means


def _curve_point(target: str, row: str, vector: str, coef: float, evaluations: Sequence[Evaluation]) -> Json:
    words = sum(e.word_counts.words for e in evaluations)
    errors = sum(e.word_counts.errors for e in evaluations)
    wer = errors / words if words else None
    return {"target": target, "system": row, "vector": vector, "scaling_coef": coef, "wer": wer}


def _forgetting(tables: Mapping[str, Sequence[Json]], inputs: TableInputs) -> Json:
    """Adapted against pretrained on general speech, target by target; passed is null where there is none."""
    rows = {row["system"]: row["per_target"] for row in tables.get("general", ())}
    found = []
    for target, cell in rows.get(ADAPTED, {}).items():
        before, after = rows[PRETRAINED][target]["wer"], cell["wer"]
        passed = before is not None and after is not None and after <= before * (1 + inputs.max_relative)
        found.append({"target": target, "pretrained": before, "adapted": after, "passed": passed})
    kept = all(row["passed"] for row in found) if found else None
    return {"bound": inputs.max_relative, "passed": kept, "rows": found}


def _regret(rows: Sequence[Json]) -> Json:
    """What the choice cost: WER of the adapted model less that of the best row in hindsight, of those of text alone.

    Rows with a vector count, each at the coefficient that its folds chose. `mean` is null where nothing was adapted.
    """
    fair = [row for row in rows if row["text_only"]]
    found = []
    for target, cell in next((row["per_target"] for row in fair if row["system"] == ADAPTED), {}).items():
        for seed, adapted in cell["per_seed"].items():
            others = {row["system"]: row["per_target"].get(target, {}).get("per_seed", {}).get(seed) for row in fair}
            if adapted is not None:
                wer, best = min((wer, name) for name, wer in others.items() if wer is not None)
                found.append({"target": target, "seed": int(seed), "best": best, "regret": adapted - wer})
    mean = sum(entry["regret"] for entry in found) / len(found) if found else None
    return {"mean": mean, "choices": found}


def _regret_told(regret: Json) -> list[str]:
    if regret["mean"] is None:
        return []
    worst = max(regret["choices"], key=lambda entry: entry["regret"])
    told = f"Regret: the choices were {100 * regret['mean']:.1f} points worse than the best rows in hindsight"
    if worst["regret"]:
        told += f"; {100 * worst['regret']:.1f} at most, on {worst['target']} against {worst['best']}"
    return [f"{told}; {len(regret['choices'])} choices."]


def _ratio(value: float) -> Json:
    """A ratio far from 1 says that the trainings differ in size or steps, a difference the vector also holds."""
    return {"ratio": finite(value), "far_from_1": not (isfinite(value) and 2 / 3 <= value <= 3 / 2)}


def _rate_name(cells: Sequence[BenchmarkCell]) -> str:
    return rate_of(cell.evaluation.conditions.normalizer for cell in cells)


def _conclusions(rows: Sequence[Json], inputs: TableInputs) -> list[str]:
    """Sentences that claim nothing an interval does not show."""
    by_name = {row["system"]: row for row in rows}
    adapted = by_name[ADAPTED]
    level = f"{100 * inputs.bootstrap.confidence:g} %"
    fair = [row for row in rows if row["text_only"] and row["base"] is None and row["system"] != ADAPTED]
    best = min(fair, key=lambda row: row["wer"])["system"]
    named = dict.fromkeys(
        [PRETRAINED, "target_synthetic", "source_mixed_then_target_synthetic", best, TARGET_REAL, CEILING]
    )
    rates = _rate_name(inputs.cells)
    told = [f"adapted has {_percent(adapted['wer'])} {rates} on average over {len(adapted['per_target'])} targets."]
    for name in named:
        if name not in by_name:
            continue
        what = f"{name} ({_percent(by_name[name]['wer'])})"
        told.append(_claim("adapted", what, by_name[name]["adapted_minus_this"], level, name == best))
    decided = [r for r in rows if r["versus_base"] and r["versus_base"]["verdict"] in (BETTER, WORSE)]
    told += [_claim(row["system"], row["base"], row["versus_base"], level, False) for row in decided]
    counts = Counter(row["versus_base"]["verdict"] for row in rows if row["versus_base"])
    if counts:
        listed = ", ".join(f"{n} {v}" for v, n in counts.items())
        told.append(f"Rows with a vector against the same row without: {listed}.")
    told += _regret_told(_regret(rows))
    deaf = dict.fromkeys(c.system for c in inputs.cells if c.test == TARGET and _is_deaf(c.evaluation))
    return [*told, heard_nothing([*deaf], rates)] if deaf else told


def _is_deaf(evaluation: Evaluation) -> bool:
    counts = evaluation.word_counts
    return counts.words > 0 and counts.deletions == counts.errors == counts.words


def _claim(who: str, what: str, found: Json, level: str, best: bool) -> str:
    note = ", the best row that used no target recordings and no vector" if best else ""
    if found["ci_low"] is None:
        return f"{who} against {what}{note}: too few sentences for an interval."
    phrase = {BETTER: "better than", WORSE: "worse than"}.get(found["verdict"], "not shown to differ from")
    points = f"{100 * found['difference']:+.1f} points, {level} interval "
    points += f"{100 * found['ci_low']:+.1f} to {100 * found['ci_high']:+.1f}"
    relative = "" if found["relative"] is None else f", {100 * found['relative']:+.0f} % relative"
    return f"{who} is {phrase} {what}{note} ({points}{relative})."


def _percent(rate: float | None) -> str:
    return "undefined" if rate is None else f"{100 * rate:.1f} %"
