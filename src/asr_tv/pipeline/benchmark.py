"""The leave-one-domain-out table: the method once per target, seed and kind of vector; the store shares the rest.

SYN2REAL (arXiv 2406.02925), with every choice made on source domains.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from asr_tv.config.benchmark import BenchmarkConfig
from asr_tv.config.run import Pooling
from asr_tv.pipeline.directions import Directions, SourceCount, directions, source_counts
from asr_tv.pipeline.domains import Domains, material_of, split_domains
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.pipeline.graph import Chosen, choose, make_adapted, topline, tuned_systems
from asr_tv.pipeline.likeness.domain_words import report_terms
from asr_tv.pipeline.lineage import Reading
from asr_tv.pipeline.planning import Plan, plan
from asr_tv.pipeline.probes import probe
from asr_tv.pipeline.scoring import Curve, System, TestSet, score_curves, score_systems
from asr_tv.pipeline.selection import best_coefs
from asr_tv.pipeline.trainings import target_call
from asr_tv.report.benchmark import TARGET
from asr_tv.report.systems import ADAPTED, CEILING, PRETRAINED, TARGET_REAL, TOPLINE, target_row
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.store.results import Record
from asr_tv.vectors.stages import adapt_stage


@dataclass(frozen=True)
class TableRun:
    """One target with one seed."""

    target: str
    seed: int

    @property
    def run(self) -> str:
        """What tells its steps from those of other cells."""
        return f"{self.target}, seed {self.seed}"


@dataclass(frozen=True)
class Row:
    """One system of one cell on one set: the target's test, the source test, or general speech.

    Attributes:
        base: the row that a vector was added to; None for a row without one.
        roots: the checkpoint, and the vector if one was added: what the row is made of.
        chosen: whether its coefficient, or its whole recipe, was chosen on the folds.
    """

    cell: TableRun
    system: str
    test: str
    evaluation: Evaluation
    roots: tuple[Record, ...]
    base: str | None = None
    scaling_coef: float | None = None
    chosen: bool = False


@dataclass(frozen=True)
class Choice:
    """The best of all recipes and kinds of vector on a cell's folds.

    Attributes:
        vector: None where the coefficient is 0.
        readings: every score that any of the cell's choices rests on.
    """

    chosen: Chosen
    vector: Pooling | None
    readings: tuple[Reading, ...]

    @property
    def row(self) -> str:
        return target_row(self.chosen.recipe.start, self.chosen.recipe.augmentation)

    @property
    def wer(self) -> float | None:
        """On the folds, pooled; None for a fixed recipe."""
        return self.chosen.recipes[0].wer if self.chosen.recipes else None


@dataclass(frozen=True)
class Results:
    """Everything the report is made of.

    Attributes:
        retention: rows of `probe` with their target, of the first seed.
        curves: WER on the target's test by coefficient, for (cell, row, kind of vector).
    """

    domains: Domains
    rows: tuple[Row, ...]
    choices: Mapping[TableRun, Choice]
    curves: Mapping[tuple[TableRun, str, Pooling], Mapping[float, Evaluation]]
    directions: Directions
    source_counts: tuple[SourceCount, ...]
    retention: tuple[Mapping[str, Any], ...]


def benchmark(config: BenchmarkConfig, execute: Executor, announce: Callable[[Plan], object] | None = None) -> Results:
    """Runs the whole table.

    Args:
        announce: is told what the table will train, before it trains.

    Raises:
        ConfigError, DataError: what the user gave cannot be used; finished stages stay in the store.
    """
    domains = split_domains(config, execute)
    rest = partial(_table, config, domains)
    if announce is not None:
        announce(plan(rest, domains.base, execute))
    return rest(execute)


def _table(config: BenchmarkConfig, domains: Domains, execute: Executor) -> Results:
    cells = [TableRun(target, seed) for seed in config.seeds for target in domains.targets]
    runs = {cell: _choose(config, domains, cell, execute) for cell in cells}
    choices = {cell: _best(by_kind) for cell, by_kind in runs.items()}
    rows: list[Row] = []
    curves: dict[tuple[TableRun, str, Pooling], dict[float, Evaluation]] = {}
    kept: list[dict[str, Any]] = []
    for cell in cells:
        systems = _systems(config, choices[cell].chosen, execute)
        rows += _score(choices[cell], cell, systems, execute)
        own = _curves(runs[cell], cell, execute)
        rows += _vector_rows(runs[cell], cell, rows, own)
        curves |= {(cell, *key): curve for key, curve in own.items()}
        if cell.seed == config.seeds[0]:
            kept += _retention(config, choices[cell].chosen, cell, systems, execute)
    rows.sort(key=lambda row: row.system == ADAPTED)  # last in the table
    first = {cell.target: by_kind for cell, by_kind in runs.items() if cell.seed == config.seeds[0]}
    compared = directions(config, domains, first, execute)
    counts = source_counts(config, domains, first, compared, execute)
    return Results(domains, tuple(rows), choices, curves, compared, counts, tuple(kept))


def _choose(config: BenchmarkConfig, domains: Domains, cell: TableRun, execute: Executor) -> dict[Pooling, Chosen]:
    """The method up to its choice with every kind of vector; the coefficient 0 is scored with the first alone."""
    material = material_of(config, domains, cell.target)
    found: dict[Pooling, Chosen] = {}
    for kind in config.benchmark.vectors:
        own = config.of(cell.target, cell.seed, kind, without_zero=bool(found))
        found[kind] = choose(own, material, execute, cell.run)
    return found


def _best(by_kind: Mapping[Pooling, Chosen]) -> Choice:
    """Equal WERs go to the simpler recipe, then to the earlier kind of vector."""
    tried = [(c.recipes[0].preference, number) for number, c in enumerate(by_kind.values()) if c.recipes]
    kind, chosen = list(by_kind.items())[min(tried)[1] if tried else 0]
    readings = tuple(reading for c in by_kind.values() for reading in c.readings)
    return Choice(chosen, kind if chosen.recipe.scaling_coef else None, readings)


def _systems(config: BenchmarkConfig, chosen: Chosen, execute: Executor) -> list[System]:
    """Every row without a vector of its own name, and the adapted model."""
    names = {TOPLINE: TARGET_REAL}
    real = [replace(system, name=names.get(system.name, system.name)) for system in topline(chosen, execute)]
    systems = [System(PRETRAINED, chosen.material.base), *real, *tuned_systems(chosen)]
    systems += _ablations(config, chosen, execute)
    return [*systems, System(ADAPTED, make_adapted(chosen, execute))]


def _ablations(config: BenchmarkConfig, chosen: Chosen, execute: Executor) -> list[System]:
    """Rows that vary one thing of the target's training, some averaged with the pretrained weights."""
    scope, base = chosen.scope, chosen.material.base
    start, augmentation = config.benchmark.ablation_start, max(config.selection.augmentation)
    row = target_row(start, augmentation)
    seed = {"training_seed": chosen.config.training_seed}
    varied = {f"{row} ({name})": own.model_copy(update=seed) for name, own in config.ablated().items()}
    checkpoint = chosen.trained.sources.get(start, chosen.start)
    calls = [
        target_call(own, scope.step(config, "finetune", name), scope, start, checkpoint, augmentation)
        for name, own in varied.items()
    ]
    tuned = dict(zip(varied, execute(calls), strict=True))
    weights = {name: own.selection.fixed.pretrained_weight for name, own in varied.items()}
    averaged = {name: weight for name, weight in weights.items() if weight}
    calls = [
        call(scope.step(config, "average", name), adapt_stage, tuned[name], None, base, 0.0, weight)
        for name, weight in averaged.items()
    ]
    tuned |= dict(zip(averaged, execute(calls), strict=True))
    return [System(name, record) for name, record in tuned.items()]


def _score(choice: Choice, cell: TableRun, systems: Sequence[System], execute: Executor) -> list[Row]:
    """Every system on its target's test, and on what adaptation should not lose."""
    material = choice.chosen.material
    sets = {TARGET: material.target_test, "source": material.source_test, "general": material.general}
    tests = [TestSet(name, manifest) for name, manifest in sets.items() if manifest is not None and len(manifest)]
    scored = score_systems(choice.chosen.config, systems, tests, execute, cell.run)
    rows = [Row(cell, s.name, t.name, scored[s.name, t.name], (s.checkpoint,)) for t in tests for s in systems]
    coef = choice.chosen.recipe.scaling_coef
    return [replace(row, scaling_coef=coef, chosen=True) if row.system == ADAPTED else row for row in rows]


def _curves(
    by_kind: Mapping[Pooling, Chosen], cell: TableRun, execute: Executor
) -> dict[tuple[str, Pooling], dict[float, Evaluation]]:
    """Each base plus every coefficient but 0 times each kind of vector, on the target's test."""
    found: dict[tuple[str, Pooling], dict[float, Evaluation]] = {}
    for kind, chosen in by_kind.items():
        config, test = chosen.config, chosen.material.target_test
        assert test is not None  # nosec B101 - a domain of the table has recordings
        assert chosen.trained.vector is not None  # nosec B101 - and sources
        coefs = tuple(coef for coef in config.selection.scaling_coefs if coef)
        bases = _bases(chosen)
        if not coefs:
            found |= {(row, kind): {} for row in bases}
            continue
        curves = []
        for row, checkpoint in bases.items():
            name = vector_row(row, kind)
            step = Step("sweep", name, TARGET, run=cell.run, purpose="scoring", options=config.run)
            curves.append(Curve(step, checkpoint, chosen.trained.vector, chosen.material.base, test, coefs))
        for row, curve in zip(bases, score_curves(config, curves, execute), strict=True):
            found[row, kind] = curve
    return found


def _bases(chosen: Chosen) -> dict[str, Record]:
    """Row -> checkpoint of what the vector is added to: the starts to choose from, tuned, and source_mixed itself."""
    selection = chosen.config.selection
    rows = {target_row(s, a) for s in selection.starts for a in selection.augmentation}
    rows |= {"source_mixed"} & {*selection.starts}
    return {row: record for row, record in chosen.trained.bases.items() if row in rows}


def _vector_rows(
    by_kind: Mapping[Pooling, Chosen],
    cell: TableRun,
    plain: Sequence[Row],
    curves: dict[tuple[str, Pooling], dict[float, Evaluation]],
) -> Iterator[Row]:
    """A row takes the point of its curve that the folds chose; the curves get their point at 0."""
    at_zero = {row.system: row.evaluation for row in plain if (row.cell, row.test) == (cell, TARGET)}
    zero_scores = [score for c in by_kind.values() for score in c.fold_scores if not score.scaling_coef]
    for (base, kind), curve in curves.items():
        chosen = by_kind[kind]
        curves[base, kind] = {0.0: at_zero[base]} | curve
        scores = [*zero_scores, *(score for score in chosen.fold_scores if score.scaling_coef)]
        coef = best_coefs(scores)[base] if scores else chosen.config.selection.fixed.scaling_coef
        vector = chosen.trained.vector
        roots = (chosen.trained.bases[base], *([vector] if vector else []))
        yield Row(cell, vector_row(base, kind), TARGET, curves[base, kind][coef], roots, base, coef, chosen=True)


def vector_row(base: str, kind: Pooling) -> str:
    """The name of a row with the vector."""
    return f"{base} + {kind}"


def _retention(
    config: BenchmarkConfig, chosen: Chosen, cell: TableRun, systems: Sequence[System], execute: Executor
) -> Iterator[dict[str, Any]]:
    """Probes of the pretrained model, of the ablations, and of the adapted model."""
    if config.retention.asked:
        tuned = {system.name for system in tuned_systems(chosen)} | {TARGET_REAL, CEILING}
        wanted = [system for system in systems if system.name not in tuned]
        terms = report_terms(chosen.config, chosen.material).terms
        rows = probe(chosen.config, wanted, chosen.material.general, execute, cell.run, terms)
        yield from ({"target": cell.target, **row} for row in rows)
