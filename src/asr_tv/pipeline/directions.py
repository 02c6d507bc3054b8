"""What the vectors of a leave-one-domain-out table look like: cosines, norms, and how many domains a vector needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from random import Random
from typing import Any

from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.pipeline.leave_one_out_trainings import Bench, Trained, VectorKey, merge_call
from asr_tv.pipeline.selection import Swept, nonzero, score_swept
from asr_tv.pipeline.tunings import TargetScope, Tuning, bases, engine_tunings, paper_row
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.store.results import Record
from asr_tv.vectors.stages import Direction, compare_stage, read_comparison


@dataclass(frozen=True)
class Directions:
    """Cosines and norms, of the first seed.

    Attributes:
        vectors: `read_comparison` of all vectors: of each domain (the oracle vector where the domain is the target),
            of each target's sources, and by each other engine.
        shifts: for each target and domain pair, norms of source_real − pretrained and source_synthetic − pretrained,
            and the cosine of the two.
    """

    vectors: Mapping[str, Any]
    shifts: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class SourceCount:
    """The vector of so many source domains, on a target's test, by coefficient."""

    target: str
    count: int
    domains: tuple[str, ...]
    row: str
    curve: Mapping[float, Evaluation]


def directions(
    bench: Bench,
    seed: int,
    scopes: Sequence[TargetScope],
    trained: Trained,
    vectors: Mapping[VectorKey, Record],
    execute: Executor,
) -> Directions:
    """Compares the vectors of one seed."""
    named = {f"of {d[0]}": r for (kind, d, s), r in vectors.items() if (kind, len(d), s) == ("pooled", 1, seed)}
    for scope in scopes:
        for kind in bench.config.benchmark.vectors:
            named[f"{kind} without {scope.target}"] = vectors[kind, scope.domains, seed]
    given = [Direction(name, record) for name, record in named.items()]
    first = scopes[0]
    for engine, tuning in engine_tunings(bench.config, first).items():
        name = f"pooled without {first.target} by {engine}"
        given.append(Direction(name, trained[first.source("source_real")], trained[tuning]))
    pairs = {f"without {s.target}": (s.source("source_real"), s.source("source_synthetic")) for s in scopes}
    singles = sorted({t.domains[0] for t in trained if len(t.domains) == 1 and t.learns == "source_synthetic"})
    pairs |= {f"of {d}": (Tuning("source_real", (d,), seed), Tuning("source_synthetic", (d,), seed)) for d in singles}
    base = bench.ground.base
    calls = [call(Step("compare", "vectors"), compare_stage, tuple(given))]
    calls += [
        call(
            Step("compare", f"shifts {name}"),
            compare_stage,
            (Direction("source_real", trained[real], base), Direction("source_synthetic", trained[synthetic], base)),
        )
        for name, (real, synthetic) in pairs.items()
    ]
    compared, *shifts = [read_comparison(record) for record in execute(calls)]
    return Directions(compared, dict(zip(pairs, shifts, strict=True)))


def source_counts(
    bench: Bench,
    scopes: Sequence[TargetScope],
    trained: Trained,
    vectors: Mapping[VectorKey, Record],
    execute: Executor,
) -> tuple[SourceCount, ...]:
    """Means of fewer domains' vectors, several draws each; what they are added to stays that of all sources."""
    drawn = [
        (scope, domains)
        for scope in scopes
        for count in bench.config.benchmark.source_counts
        for domains in _draws(scope, count, bench.config.benchmark.draws)
    ]
    seed = scopes[0].seed
    larger = list(dict.fromkeys(domains for _, domains in drawn if len(domains) > 1))
    calls = [
        merge_call(
            bench.config,
            "mean_of_domains",
            [vectors["pooled", (d,), seed] for d in domains],
            f"of {', '.join(domains)}",
        )
        for domains in larger
    ]
    made = dict(zip(larger, execute(calls), strict=True))
    row = paper_row(bench.config)
    wanted = [
        Swept(
            f"{row} + mean of {', '.join(domains)}",
            trained[bases(bench.config, scope)[row]],
            made[domains] if len(domains) > 1 else vectors["pooled", domains, seed],
            bench.ground.domains[scope.target].test,
            nonzero(bench),
        )
        for scope, domains in drawn
    ]
    curves = score_swept(bench, wanted, execute)
    return tuple(
        SourceCount(scope.target, len(domains), domains, row, curve)
        for (scope, domains), curve in zip(drawn, curves, strict=True)
    )


def _draws(scope: TargetScope, count: int, draws: int) -> list[tuple[str, ...]]:
    """Different sets of source domains, each as likely; all of them where there are no more than asked for."""
    if count > len(scope.domains):
        return []
    if comb(len(scope.domains), count) <= draws:
        return list(combinations(scope.domains, count))
    rng = Random(f"{scope.target} {count}")  # nosec B311 - seeded draws, no secret
    found: dict[tuple[str, ...], None] = {}
    while len(found) < draws:
        found[tuple(sorted(rng.sample(scope.domains, count)))] = None
    return list(found)
