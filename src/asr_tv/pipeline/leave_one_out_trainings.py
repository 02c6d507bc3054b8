"""The trainings and vectors of a leave-one-domain-out table, each made once for all targets that need it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from asr_tv.config.benchmark import BenchmarkConfig, VectorKind
from asr_tv.config.run import AdaptConfig, Start
from asr_tv.data.manifest import Manifest, concatenate
from asr_tv.pipeline import trainings
from asr_tv.pipeline.domains import DomainSpeech, Ground
from asr_tv.pipeline.execution.executor import Call, Executor, Step, call
from asr_tv.pipeline.trainings import finetune_call, target_call
from asr_tv.pipeline.tunings import TargetScope, Tuning, ablations, needs_pairs, pair
from asr_tv.store.results import Record
from asr_tv.vectors.merging import Merge
from asr_tv.vectors.stages import adapt_stage, mean_stage, merged_stage, vector_stage

Trained = Mapping[Tuning, Record]
VectorKey = tuple[VectorKind, tuple[str, ...], int]
"""Kind, source domains, seed."""


@dataclass(frozen=True)
class Bench:
    """What every step works on."""

    config: BenchmarkConfig
    ground: Ground
    spoken: Mapping[str, DomainSpeech]
    engines: Mapping[str, Manifest]

    def seeded(self, seed: int, variant: str = "") -> AdaptConfig:
        """The configuration of a training, or of an ablation's."""
        return self._ablated.get(variant, self.config).model_copy(update={"seed": seed})

    @cached_property
    def _ablated(self) -> dict[str, AdaptConfig]:
        return self.config.ablated()

    def real(self, domains: Iterable[str]) -> Manifest:
        return concatenate("source real", [self.spoken[d].real for d in domains])

    def clips(self, domains: Iterable[str]) -> Manifest:
        return concatenate("source clips", [self.spoken[d].clips for d in domains])

    def name(self, tuning: Tuning) -> str:
        """What people read of a training."""
        return tuning.label(tuple(self.ground.domains))


def train(bench: Bench, wanted: Iterable[Tuning], execute: Executor) -> dict[Tuning, Record]:
    """All of them, those that others start from first."""
    trained: dict[Tuning, Record] = {}
    waiting = sorted(set(wanted), key=bench.name)
    while waiting:
        ready = [t for t in waiting if t.start is None or t.start in trained]
        records = execute([_call(bench, t, trained) for t in ready])
        trained |= dict(zip(ready, records, strict=True))
        waiting = [t for t in waiting if t not in trained]
    return trained


def _call(bench: Bench, tuning: Tuning, trained: Trained) -> Call:
    base = bench.ground.base if tuning.start is None else trained[tuning.start]
    if tuning.learns == "target_synthetic":
        return _target_call(bench, tuning, base)
    config = bench.seeded(tuning.seed)
    factor = 1.0
    if tuning.learns == "source_mixed":
        factor = config.mixed_epochs
    elif tuning.learns == "target_real":  # each recording as often as target_synthetic hears all takes of its sentence
        factor = config.target_epochs * config.synthesis.takes * len(config.synthesis.voices)
    training = config.training.scaled(learning_rate=1, epochs=factor)
    return finetune_call(
        config, Step("finetune", bench.name(tuning), options=config.run), base, _heard(bench, tuning), training
    )


def _heard(bench: Bench, tuning: Tuning) -> Manifest:
    """What a training on real or source speech learns from."""
    if tuning.learns == "source_synthetic":
        return bench.engines[tuning.variant] if tuning.variant else bench.clips(tuning.domains)
    real = bench.real(tuning.domains)
    if tuning.learns == "source_mixed":
        return concatenate("source mixed", [real, bench.clips(tuning.domains)])
    return real


def _target_call(bench: Bench, tuning: Tuning, base: Record) -> Call:
    (target,) = tuning.domains
    scope = trainings.Scope("", bench.real(tuning.memory), bench.clips(tuning.memory), bench.spoken[target].takes)
    start: Start = "pretrained"
    if tuning.start is not None:
        start = "source_real" if tuning.start.learns == "source_real" else "source_mixed"
    config = bench.seeded(tuning.seed, tuning.variant)
    return target_call(
        config, Step("finetune", bench.name(tuning), options=config.run), scope, start, base, tuning.augmentation
    )


def average(
    bench: Bench, scopes: Iterable[TargetScope], trained: Trained, execute: Executor
) -> dict[tuple[TargetScope, str], Record]:
    """The checkpoint of each ablation of each scope; some are averaged with the pretrained weights."""
    rows = {(s, row): found for s in scopes for row, found in ablations(bench.config, s).items()}
    averaged = [key for key, (_, weight) in rows.items() if weight]
    calls = [
        call(
            Step("average", f"{row} of {scope.target} (seed {scope.seed})"),
            adapt_stage,
            *_averaging(bench, trained, *rows[scope, row]),
        )
        for scope, row in averaged
    ]
    made = dict(zip(averaged, execute(calls), strict=True))
    return {key: made[key] if key in made else trained[tuning] for key, (tuning, _) in rows.items()}


def _averaging(
    bench: Bench, trained: Trained, tuning: Tuning, weight: float
) -> tuple[Record, None, Record, float, float]:
    return trained[tuning], None, bench.ground.base, 0.0, weight


def make_vectors(
    bench: Bench, scopes: Iterable[TargetScope], trained: Trained, execute: Executor
) -> Mapping[VectorKey, Record]:
    """A vector of each kind for each scope's sources, and one for each domain that has a pair."""
    groups = sorted({(scope.domains, scope.seed) for scope in scopes})
    singles = [(d, seed) for d in bench.ground.domains for seed in bench.config.seeds]
    pairs: dict[tuple[tuple[str, ...], int], tuple[Tuning, Tuning]]
    pairs = {((d,), seed): pair(d, seed) for d, seed in singles if set(pair(d, seed)) <= trained.keys()}
    if "pooled" in bench.config.benchmark.vectors:
        pairs |= {(d, s): (Tuning("source_real", d, s), Tuning("source_synthetic", d, s)) for d, s in groups}
    calls = [
        call(Step("vector", bench.name(real)), vector_stage, trained[real], trained[synthetic])
        for real, synthetic in pairs.values()
    ]
    made: dict[VectorKey, Record] = {
        ("pooled", domains, seed): record for (domains, seed), record in zip(pairs, execute(calls), strict=True)
    }
    return made | _merged(bench, groups, made, execute)


def _merged(
    bench: Bench, groups: list[tuple[tuple[str, ...], int]], made: Mapping[VectorKey, Record], execute: Executor
) -> dict[VectorKey, Record]:
    if not needs_pairs(bench.config):
        return {}
    keys: list[VectorKey] = []
    calls = []
    for kind in sorted({*bench.config.benchmark.vectors} - {"pooled"}):
        for domains, seed in groups:
            keys.append((kind, domains, seed))
            vectors = [made["pooled", (d,), seed] for d in domains]
            calls.append(merge_call(bench.config, kind, vectors, f"{kind} of {', '.join(domains)} (seed {seed})"))
    return dict(zip(keys, execute(calls), strict=True))


def merge_call(config: BenchmarkConfig, kind: VectorKind, vectors: list[Record], label: str) -> Call:
    """One vector of several domains' vectors."""
    if kind == "ties":
        method = Merge("ties", keep=config.benchmark.ties_keep)
        return call(Step("vector", label), merged_stage, vectors, method)
    return call(Step("mean vector", label), mean_stage, vectors)
