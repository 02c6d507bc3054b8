"""What the vectors of a leave-one-domain-out table look like: cosines, norms, and how many domains a vector needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from random import Random
from typing import Any

from asr_tv.config.benchmark import BenchmarkConfig
from asr_tv.config.run import AdaptConfig, Pooling, Start, SynthesisConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest, concatenate
from asr_tv.data.pairs import paired
from asr_tv.pipeline.domains import Domains
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.pipeline.graph import Chosen
from asr_tv.pipeline.material import sentence_identity
from asr_tv.pipeline.scoring import Curve, score_curves
from asr_tv.pipeline.speech import synthesis_call
from asr_tv.pipeline.trainings import Scope, domain_pairs, domain_vectors, finetune_call, merge_call
from asr_tv.report.systems import target_row
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.store.results import Record
from asr_tv.vectors.stages import Direction, compare_stage, read_comparison

Runs = Mapping[str, Mapping[Pooling, Chosen]]
"""Target -> kind of vector -> the run of the first seed."""


@dataclass(frozen=True)
class Directions:
    """Cosines and norms, of the first seed.

    Attributes:
        vectors: `read_comparison` of all vectors: of each domain (the oracle vector where the domain is the target),
            of each target's sources, and by each other engine.
        shifts: for each target and domain pair, norms of source_real − pretrained and source_synthetic − pretrained,
            and the cosine of the two.
        by_domain: one vector per domain.
    """

    vectors: Mapping[str, Any]
    shifts: Mapping[str, Mapping[str, Any]]
    by_domain: Mapping[str, Record]


@dataclass(frozen=True)
class SourceCount:
    """The vector of so many source domains, on a target's test, by coefficient."""

    target: str
    count: int
    domains: tuple[str, ...]
    row: str
    curve: Mapping[float, Evaluation]


def directions(config: BenchmarkConfig, domains: Domains, runs: Runs, execute: Executor) -> Directions:
    """Compares the vectors of the first seed."""
    run = _of_first_seed(config)
    every = {*config.benchmark.vectors} != {"pooled"} or config.benchmark.source_counts
    names = tuple(domains.domains) if every else domains.targets
    whole = _whole(run, domains, names, config.synthesis, "source", execute)
    pairs = domain_pairs(run, domains.base, whole, execute)
    by_domain = domain_vectors(run, whole, pairs, execute)
    given = [Direction(f"of {domain}", record) for domain, record in by_domain.items()]
    for target, by_kind in runs.items():
        for kind, chosen in by_kind.items():
            if chosen.trained.vector is not None:
                given.append(Direction(f"{kind} without {target}", chosen.trained.vector))
    given += _other_engines(config, domains, runs, execute)
    shifted = {f"without {target}": _sources(by_kind) for target, by_kind in runs.items()}
    shifted |= {f"of {domain}": pair for domain, pair in pairs.items()}
    calls = [call(Step("compare", "vectors"), compare_stage, tuple(given))]
    for name, (real, synthetic) in shifted.items():
        shifts = Direction("source_real", real, domains.base), Direction("source_synthetic", synthetic, domains.base)
        calls.append(call(Step("compare", f"shifts {name}"), compare_stage, shifts))
    compared, *others = [read_comparison(record) for record in execute(calls)]
    return Directions(compared, dict(zip(shifted, others, strict=True)), by_domain)


def _of_first_seed(config: BenchmarkConfig) -> AdaptConfig:
    return config.of(config.benchmark.targets[0] if config.benchmark.targets else "", config.seeds[0], "pooled")


def _sources(by_kind: Mapping[Pooling, Chosen]) -> tuple[Record, Record]:
    trained = next(iter(by_kind.values())).trained
    return trained.sources["source_real"], trained.sources["source_synthetic"]


def _whole(
    run: AdaptConfig, domains: Domains, names: Sequence[str], synthesis: SynthesisConfig, what: str, execute: Executor
) -> Scope:
    """These domains' recordings, and one clip of each."""
    real = concatenate("source train", [domains.domains[name].train for name in names])
    once = synthesis.model_copy(update={"takes": 1, "voices": synthesis.voices[:1]})
    (record,) = execute([synthesis_call(run, what, real, once, run=f"seed {run.training_seed}")])
    pairs = paired(real, stored_manifest(record), sentence_identity(run.language))
    return Scope("", *pairs, Manifest("none", ()), (), f"seed {run.training_seed}")


def _other_engines(config: BenchmarkConfig, domains: Domains, runs: Runs, execute: Executor) -> list[Direction]:
    """source_real − source_synthetic as each of benchmark.engines speaks it, for the first target's sources."""
    run, (target, by_kind) = _of_first_seed(config), next(iter(runs.items()))
    real, _ = _sources(by_kind)
    found = []
    for engine, synthesis in config.benchmark.engines.items():
        scope = _whole(run, domains, domains.others(target), synthesis, f"source by {engine}", execute)
        step = scope.step(run, "finetune", f"source_synthetic by {engine}")
        (tuned,) = execute([finetune_call(run, step, domains.base, scope.source_clips, run.training)])
        found.append(Direction(f"pooled without {target} by {engine}", real, tuned))
    return found


def source_counts(
    config: BenchmarkConfig, domains: Domains, runs: Runs, compared: Directions, execute: Executor
) -> tuple[SourceCount, ...]:
    """Means of fewer domains' vectors, several draws each; what they are added to stays that of all sources."""
    drawn = [
        (target, names)
        for target in runs
        for count in (config.benchmark.source_counts if any(config.selection.scaling_coefs) else ())
        for names in _draws(target, domains.others(target), count, config.benchmark.draws)
    ]
    run = config.of("", config.seeds[0], "mean_of_domains")
    larger = list(dict.fromkeys(names for _, names in drawn if len(names) > 1))
    nothing = Manifest("none", ())
    scope = Scope("", nothing, nothing, nothing, (), f"seed {config.seeds[0]}")
    vectors = compared.by_domain
    calls = [merge_call(run, scope, [vectors[d] for d in names], f"of {', '.join(names)}") for names in larger]
    made: dict[tuple[str, ...], Record] = {(d,): record for d, record in vectors.items()}
    made |= dict(zip(larger, execute(calls), strict=True))
    row = _paper_row(config)
    curves = [_curve(run, next(iter(runs[target].values())), row, names, made[names]) for target, names in drawn]
    return tuple(
        SourceCount(target, len(names), names, row, curve)
        for (target, names), curve in zip(drawn, score_curves(run, curves, execute), strict=True)
    )


def _curve(run: AdaptConfig, chosen: Chosen, row: str, names: tuple[str, ...], vector: Record) -> Curve:
    test = chosen.material.target_test
    assert test is not None  # nosec B101 - a domain of the table has recordings
    subject = f"{row} + mean of {', '.join(names)}"
    step = Step("sweep", subject, "target", run=chosen.scope.run, purpose="scoring", options=run.run)
    coefs = tuple(coef for coef in run.selection.scaling_coefs if coef)
    return Curve(step, chosen.trained.bases[row], vector, chosen.material.base, test, coefs)


def _paper_row(config: BenchmarkConfig) -> str:
    """The row that the paper adds its vector to, or the nearest to it that the configuration has."""
    order: tuple[Start, ...] = ("source_mixed", "source_real", "pretrained")
    return target_row(next(s for s in order if s in config.selection.starts), min(config.selection.augmentation))


def _draws(target: str, sources: Sequence[str], count: int, draws: int) -> list[tuple[str, ...]]:
    """Different sets of source domains, each as likely; all of them where there are no more than asked for."""
    if count > len(sources):
        return []
    if comb(len(sources), count) <= draws:
        return list(combinations(sources, count))
    rng = Random(f"{target} {count}")  # nosec B311 - seeded draws, no secret
    found: dict[tuple[str, ...], None] = {}
    while len(found) < draws:
        found[tuple(sorted(rng.sample(sources, count)))] = None
    return list(found)
