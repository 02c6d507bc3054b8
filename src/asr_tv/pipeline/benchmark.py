"""The paper's experiment as one graph: every domain in turn is the target, the others are its sources.

SYN2REAL (arXiv 2406.02925), with every choice made on source domains and every training shared that can be.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asr_tv.config.benchmark import BenchmarkConfig, VectorKind
from asr_tv.data.manifest import Manifest
from asr_tv.decoding.options import check_engine
from asr_tv.models.family import family_of
from asr_tv.models.tensors import WEIGHTS
from asr_tv.pipeline.directions import Directions, SourceCount, directions, source_counts
from asr_tv.pipeline.domains import Ground, ground, kept_sets, other_engines, speak
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.pipeline.leave_one_out_trainings import Bench, Trained, VectorKey, average, make_vectors, train
from asr_tv.pipeline.probes import probe
from asr_tv.pipeline.scoring import System
from asr_tv.pipeline.selection import Choice, Plain, Swept, choose, nonzero, score_plain, score_swept
from asr_tv.pipeline.tunings import (
    BenchmarkPlan,
    TargetScope,
    Tuning,
    bases,
    engine_tunings,
    plain_systems,
    tunings,
)
from asr_tv.report.systems import ADAPTED, PRETRAINED
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Record
from asr_tv.vectors.stages import adapt_stage

TARGET = "target"


@dataclass(frozen=True)
class Row:
    """One system of one target and seed on one set: the target's test, the source test, or general speech.

    Attributes:
        roots: the checkpoint, and the vector if one was added: what the row is made of.
        chosen: whether its coefficient, or its whole recipe, was chosen on the folds.
    """

    target: str
    seed: int
    system: str
    test: str
    evaluation: Evaluation
    roots: tuple[Record, ...]
    scaling_coef: float | None = None
    chosen: bool = False


@dataclass(frozen=True)
class Made:
    """Every checkpoint and vector; `ablated` by scope and row."""

    trained: Trained
    vectors: Mapping[VectorKey, Record]
    ablated: Mapping[tuple[TargetScope, str], Record]

    def checkpoints(self, bench: Bench, scope: TargetScope) -> dict[str, Record]:
        """Row -> checkpoint, of every row that needs no vector."""
        rows = {row: self.trained[tuning] for row, tuning in plain_systems(bench.config, scope).items()}
        return rows | {row: record for (own, row), record in self.ablated.items() if own == scope}


@dataclass(frozen=True)
class Results:
    """Everything the report is made of.

    Attributes:
        retention: rows of `probe` with their target, of the first seed.
        curves: WER on the target's test by coefficient, for (target and seed, row, kind of vector).
    """

    ground: Ground
    plan: BenchmarkPlan
    rows: tuple[Row, ...]
    choices: Mapping[TargetScope, Choice]
    curves: Mapping[tuple[TargetScope, str, VectorKind], Mapping[float, Evaluation]]
    directions: Directions
    source_counts: tuple[SourceCount, ...]
    retention: tuple[Mapping[str, Any], ...]


def leave_one_out(
    config: BenchmarkConfig, execute: Executor, announce: Callable[[BenchmarkPlan], None] = lambda plan: None
) -> Results:
    """Runs the whole table. `announce` is told the number of trainings before the first one.

    Raises:
        ConfigError, DataError: what the user gave cannot be used; finished stages stay in the store.
    """
    material = ground(config, execute)
    check_engine(config.scoring.engine, family_of(material.base.path / MODEL), config.run.device)
    folds = {scope: _folds(config, material, scope) for scope in _scopes(config, material)}
    first = next(iter(folds))
    others = engine_tunings(config, first)
    wanted = {scope: tunings(config, scope, own) for scope, own in folds.items()}
    plan = _plan(material, config, wanted, len(others))
    announce(plan)
    spoken, _ = speak(config, material, execute)
    bench = Bench(config, material, spoken, other_engines(config, material, first.domains, execute))
    trained = train(bench, {*others.values()}.union(*wanted.values()), execute)
    scopes = [*folds, *(fold for own in folds.values() for fold in own)]
    vectors = make_vectors(bench, scopes, trained, execute)
    choices = choose(bench, folds, trained, vectors, execute)
    made = Made(trained, vectors, average(bench, folds, trained, execute))
    rows, curves = _target_rows(bench, choices, made, execute)
    rows += _kept_rows(bench, choices, made, execute)
    compared = directions(bench, first.seed, [s for s in folds if s.seed == first.seed], trained, vectors, execute)
    kept = _retention(bench, {s: c for s, c in choices.items() if s.seed == first.seed}, made, execute)
    counts = source_counts(bench, [s for s in folds if s.seed == first.seed], trained, vectors, execute)
    return Results(material, plan, tuple(rows), choices, curves, compared, counts, tuple(kept))


def _scopes(config: BenchmarkConfig, material: Ground) -> list[TargetScope]:
    return [TargetScope(material.others(target), target, seed) for seed in config.seeds for target in material.targets]


def _folds(config: BenchmarkConfig, material: Ground, scope: TargetScope) -> tuple[TargetScope, ...]:
    """The source domains that play the target, those with most dev words first."""
    if config.selection.method == "fixed":
        return ()
    played = material.most_dev_words(scope.domains, config.selection.folds)
    return tuple(TargetScope(material.others(scope.target, domain), domain, scope.seed) for domain in played)


def _plan(
    material: Ground, config: BenchmarkConfig, wanted: Mapping[TargetScope, set[Tuning]], engines: int
) -> BenchmarkPlan:
    alone = sum(map(len, wanted.values()))
    distinct = len(set().union(*wanted.values()))
    gigabyte = (material.base.path / "model" / WEIGHTS).stat().st_size / 1e9
    vectors = len(config.benchmark.vectors) * len(wanted) * (1 + config.selection.folds) + len(material.domains)
    total = distinct + engines
    return BenchmarkPlan(
        len(material.targets), len(config.seeds), total, alone - distinct, math.ceil(total + vectors) * gigabyte
    )


def _target_rows(
    bench: Bench,
    choices: Mapping[TargetScope, Choice],
    made: Made,
    execute: Executor,
) -> tuple[list[Row], dict[tuple[TargetScope, str, VectorKind], dict[float, Evaluation]]]:
    """Every system on its target's test; curves are decoded whole, and a row takes the point that was chosen."""
    plain = _plain_rows(
        bench, choices, made, {s: {TARGET: bench.ground.domains[s.target].test} for s in choices}, execute
    )
    at_zero = {(row.target, row.seed, row.system): row for row in plain}
    keys = [
        (scope, row, kind)
        for scope in choices
        for row in bases(bench.config, scope)
        for kind in bench.config.benchmark.vectors
    ]
    swept = [_swept(bench, *key, made, bench.ground.domains[key[0].target].test) for key in keys]
    curves = dict(zip(keys, score_swept(bench, swept, execute), strict=True))
    rows = list(plain)
    for (scope, base, kind), wanted in zip(keys, swept, strict=True):
        coef = choices[scope].coefs[base, kind]
        zero = at_zero[scope.target, scope.seed, base]
        curves[scope, base, kind] = {0.0: zero.evaluation} | curves[scope, base, kind]
        roots = (wanted.checkpoint, wanted.vector)
        rows.append(
            Row(
                scope.target, scope.seed, vector_row(base, kind), TARGET, curves[scope, base, kind][coef], roots, coef,
                chosen=True,
            )
        )  # fmt: skip
    return rows + [_adapted(scope, choice, rows, TARGET) for scope, choice in choices.items()], curves


def vector_row(base: str, kind: VectorKind) -> str:
    """The name of a row with the vector."""
    return f"{base} + {kind}"


def _adapted(scope: TargetScope, choice: Choice, rows: Sequence[Row], test: str) -> Row:
    """The row that the folds chose, under the name that says so."""
    base, kind, coef = choice.adapted
    name = base if kind is None else vector_row(base, kind)
    found = next(r for r in rows if (r.target, r.seed, r.system, r.test) == (scope.target, scope.seed, name, test))
    return Row(scope.target, scope.seed, ADAPTED, test, found.evaluation, found.roots, coef, chosen=True)


def _plain_rows(
    bench: Bench,
    choices: Mapping[TargetScope, Choice],
    made: Made,
    tests: Mapping[TargetScope, Mapping[str, Manifest]],
    execute: Executor,
) -> list[Row]:
    wanted: list[tuple[TargetScope, str, str, Plain]] = []
    for scope in choices:
        checkpoints = {PRETRAINED: bench.ground.base} | made.checkpoints(bench, scope)
        for test, manifest in tests[scope].items():
            for system, record in checkpoints.items():
                label = f"{system} of {scope.target} (seed {scope.seed})"
                wanted.append((scope, system, test, Plain(label, record, manifest, full_context=system == PRETRAINED)))
    evaluations = score_plain(bench, [plain for *_, plain in wanted], execute)
    return [
        Row(scope.target, scope.seed, system, test, evaluation, (plain.checkpoint,))
        for (scope, system, test, plain), evaluation in zip(wanted, evaluations, strict=True)
    ]


def _swept(
    bench: Bench,
    scope: TargetScope,
    row: str,
    kind: VectorKind,
    made: Made,
    manifest: Manifest,
    coefs: tuple[float, ...] | None = None,
) -> Swept:
    label = f"{vector_row(row, kind)} of {scope.target} (seed {scope.seed})"
    checkpoint = made.trained[bases(bench.config, scope)[row]]
    vector = made.vectors[kind, scope.domains, scope.seed]
    return Swept(label, checkpoint, vector, manifest, nonzero(bench) if coefs is None else coefs)


def _kept_rows(
    bench: Bench,
    choices: Mapping[TargetScope, Choice],
    made: Made,
    execute: Executor,
) -> list[Row]:
    """Every system without a vector, and the adapted one, on what adaptation should not lose."""
    by_target = {target: kept_sets(bench.config, bench.ground, target) for target in bench.ground.targets}
    tests = {scope: by_target[scope.target] for scope in choices}
    rows = _plain_rows(bench, choices, made, tests, execute)
    wanted: list[tuple[TargetScope, str, float, Swept]] = []
    for scope, choice in choices.items():
        base, kind, coef = choice.adapted
        if kind is None:
            rows += [_adapted(scope, choice, rows, test) for test in tests[scope]]
            continue
        for test, manifest in tests[scope].items():
            wanted.append((scope, test, coef, _swept(bench, scope, base, kind, made, manifest, (coef,))))
    curves = score_swept(bench, [swept for *_, swept in wanted], execute)
    return rows + [
        Row(scope.target, scope.seed, ADAPTED, test, curve[coef], (s.checkpoint, s.vector), coef, chosen=True)
        for (scope, test, coef, s), curve in zip(wanted, curves, strict=True)
    ]


def _retention(
    bench: Bench, choices: Mapping[TargetScope, Choice], made: Made, execute: Executor
) -> list[dict[str, Any]]:
    """Probes of the pretrained model, of each target's ablations with the row they vary, and of the adapted model."""
    if not bench.config.retention.asked:
        return []
    context = bench.config.training.audio_context
    rows = []
    for scope, choice in choices.items():
        wanted = {PRETRAINED: bench.ground.base}
        wanted |= {row: record for (own, row), record in made.ablated.items() if own == scope}
        base, kind, coef = choice.adapted
        start = made.trained[bases(bench.config, scope)[base]]
        vector = None if kind is None else made.vectors[kind, scope.domains, scope.seed]
        step = Step("adapt", f"{scope.target} (seed {scope.seed})")
        (wanted[ADAPTED],) = execute([call(step, adapt_stage, start, vector, bench.ground.base, coef, 0.0)])
        systems = [System(name, record, "full" if name == PRETRAINED else context) for name, record in wanted.items()]
        general = kept_sets(bench.config, bench.ground, scope.target).get("general")
        rows += [{"target": scope.target, **row} for row in probe(bench.config, systems, general, execute)]
    return rows
