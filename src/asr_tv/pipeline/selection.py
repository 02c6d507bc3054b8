"""Scores what a leave-one-domain-out table needs: folds first, then the choice, then the targets' tests."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from asr_tv.config.benchmark import VectorKind
from asr_tv.data.manifest import Manifest
from asr_tv.errors import DataError
from asr_tv.pipeline.execution.executor import Executor
from asr_tv.pipeline.leave_one_out_trainings import Bench, Trained, VectorKey
from asr_tv.pipeline.lineage import Reading
from asr_tv.pipeline.scoring import Curve, System, TestSet, score_curves, score_pairs
from asr_tv.pipeline.tunings import TargetScope, Tuning, adaptable, bases
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.store.results import Record

Candidate = tuple[str, VectorKind | None, float]
"""Row the vector is added to, kind of vector, coefficient; no vector where the coefficient is 0."""


@dataclass(frozen=True)
class Choice:
    """What leave-one-source-domain-out chose for one target and seed.

    Attributes:
        coefs: the coefficient of each (row, kind of vector).
        adapted: the best of all.
        wer: of `adapted` on the folds, pooled; None for a fixed recipe.
        readings: (checkpoint, vector or None, recordings): every score it rests on.
    """

    coefs: Mapping[tuple[str, VectorKind], float]
    adapted: Candidate
    wer: float | None
    folds: tuple[str, ...]
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class Plain:
    """A checkpoint on recordings, to be scored under a label."""

    label: str
    checkpoint: Record
    manifest: Manifest
    full_context: bool = False

    @property
    def key(self) -> tuple[str, str, bool]:
        return self.checkpoint.digest, self.manifest.digest, self.full_context


@dataclass(frozen=True)
class Swept:
    """A checkpoint plus coefficients times a vector on recordings."""

    label: str
    checkpoint: Record
    vector: Record
    manifest: Manifest
    coefs: tuple[float, ...]

    @property
    def key(self) -> tuple[str, str, str, tuple[float, ...]]:
        return self.checkpoint.digest, self.vector.digest, self.manifest.digest, self.coefs


def score_plain(bench: Bench, wanted: Sequence[Plain], execute: Executor) -> list[Evaluation]:
    """In the order given; what stands there twice is decoded once."""
    context = bench.config.training.audio_context
    distinct = {w.key: w for w in wanted}
    pairs = [
        (System(w.label, w.checkpoint, "full" if w.full_context else context), TestSet(w.manifest.name, w.manifest))
        for w in distinct.values()
    ]
    found = dict(zip(distinct, score_pairs(bench.config, pairs, execute), strict=True))
    return [found[w.key] for w in wanted]


def score_swept(bench: Bench, wanted: Sequence[Swept], execute: Executor) -> list[dict[float, Evaluation]]:
    """As `score_plain`, by coefficient; nothing is decoded where there are no coefficients."""
    distinct = {w.key: w for w in wanted if w.coefs}
    curves = [
        Curve(w.label, w.manifest.name, "choice", w.checkpoint, w.vector, bench.ground.base, w.manifest, w.coefs)
        for w in distinct.values()
    ]
    found = dict(zip(distinct, score_curves(bench.config, curves, execute), strict=True))
    return [found[w.key] if w.coefs else {} for w in wanted]


def choose(
    bench: Bench,
    folds: Mapping[TargetScope, tuple[TargetScope, ...]],
    trained: Trained,
    vectors: Mapping[VectorKey, Record],
    execute: Executor,
) -> dict[TargetScope, Choice]:
    """The recipe of each target and seed, from the dev recordings of its folds, which are source domains."""
    if bench.config.selection.method == "fixed":
        return {scope: _fixed(bench, scope) for scope in folds}
    played = [(scope, fold) for scope, own in folds.items() for fold in own]
    bases_of = {fold: bases(bench.config, fold) for _, fold in played}
    plain = [_plain(bench, fold, t, trained[t]) for _, fold in played for t in bases_of[fold].values()]
    swept = [
        _swept(bench, fold, row, trained[t], kind, vectors)
        for _, fold in played
        for row, t in bases_of[fold].items()
        for kind in bench.config.benchmark.vectors
    ]
    plain_scores, curves = score_plain(bench, plain, execute), score_swept(bench, swept, execute)
    errors: dict[TargetScope, dict[Candidate, list[int]]] = {scope: {} for scope in folds}
    readings: dict[TargetScope, list[Reading]] = {scope: [] for scope in folds}
    rows = [(scope, fold, row) for scope, fold in played for row in bases_of[fold]]
    for (scope, _, row), wanted, evaluation in zip(rows, plain, plain_scores, strict=True):
        readings[scope].append((wanted.checkpoint, None, wanted.manifest))
        if 0.0 in bench.config.selection.scaling_coefs:
            _add(errors[scope], (row, None, 0.0), evaluation)
    with_kind = [(scope, row, kind) for scope, _, row in rows for kind in bench.config.benchmark.vectors]
    for (scope, row, kind), reading, curve in zip(with_kind, swept, curves, strict=True):
        readings[scope].append((reading.checkpoint, reading.vector, reading.manifest))
        for coef, evaluation in curve.items():
            _add(errors[scope], (row, kind, coef), evaluation)
    return {
        scope: _best(bench, errors[scope], tuple(f.target for f in folds[scope]), tuple(readings[scope]))
        for scope in folds
    }


def nonzero(bench: Bench) -> tuple[float, ...]:
    """The coefficients to sweep; 0 is the checkpoint itself, which is scored anyway."""
    return tuple(coef for coef in bench.config.selection.scaling_coefs if coef)


def _plain(bench: Bench, fold: TargetScope, tuning: Tuning, checkpoint: Record) -> Plain:
    return Plain(bench.name(tuning), checkpoint, bench.ground.domains[fold.target].dev)


def _swept(
    bench: Bench, fold: TargetScope, row: str, checkpoint: Record, kind: VectorKind, vectors: Mapping[VectorKey, Record]
) -> Swept:
    vector = vectors[kind, fold.domains, fold.seed]
    return Swept(
        f"{row} + {kind} without {', '.join(bench.ground.others(*fold.domains))} (seed {fold.seed})",
        checkpoint,
        vector,
        bench.ground.domains[fold.target].dev,
        nonzero(bench),
    )


def _add(errors: dict[Candidate, list[int]], candidate: Candidate, evaluation: Evaluation) -> None:
    counts = errors.setdefault(candidate, [0, 0])
    counts[0] += evaluation.word_counts.errors
    counts[1] += evaluation.word_counts.words


def _fixed(bench: Bench, scope: TargetScope) -> Choice:
    fixed = bench.config.selection.fixed
    kinds = bench.config.benchmark.vectors
    coefs = {(row, kind): fixed.scaling_coef for row in bases(bench.config, scope) for kind in kinds}
    row = scope.tuned(fixed.start, fixed.augmentation, bench.config).row
    return Choice(coefs, (row, kinds[0] if fixed.scaling_coef else None, fixed.scaling_coef), None, (), ())


def _best(
    bench: Bench,
    errors: Mapping[Candidate, list[int]],
    folds: tuple[str, ...],
    readings: tuple[Reading, ...],
) -> Choice:
    """Equal WERs go to the simpler: the smaller coefficient, then the earlier row, then the earlier vector.

    Raises:
        DataError: the folds' dev recordings hold no words.
    """
    if not all(words for _, words in errors.values()):
        raise DataError("a fold's dev recordings hold no words, so no recipe can be chosen on them")
    kinds, order = bench.config.benchmark.vectors, adaptable(bench.config)

    def preference(candidate: Candidate) -> tuple[float, float, int, int]:
        row, kind, coef = candidate
        wrong, words = errors[candidate]
        place = order.index(row) if row in order else len(order)
        return wrong / words, abs(coef), place, kinds.index(kind) if kind else -1

    def best(candidates: Iterable[Candidate]) -> Candidate:
        return min(candidates, key=preference)

    rows = dict.fromkeys(row for row, _, _ in errors)
    coefs = {(r, k): best(c for c in errors if c[0] == r and c[1] in (None, k))[2] for r in rows for k in kinds}
    adapted = best(c for c in errors if c[0] in order)
    wrong, words = errors[adapted]
    return Choice(coefs, adapted, wrong / words, folds, readings)
