"""The trainings of one (sources, target) pair; the run itself is such a pair, and so is every fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from asr_tv.config.run import AdaptConfig, ReplayConfig, Start, TrainingConfig
from asr_tv.data.manifest import Manifest, concatenate, in_domain
from asr_tv.data.replay import SPOKEN_ANEW, with_replay
from asr_tv.pipeline.continual.published import published_vector
from asr_tv.pipeline.execution.executor import Call, Executor, Kind, Step, call
from asr_tv.report.systems import CEILING, SOURCE_MIXED, TOPLINE, target_row
from asr_tv.store.records import Purpose
from asr_tv.store.results import Record
from asr_tv.training.data import Rehearsal, TrainingData
from asr_tv.training.finetune import finetune
from asr_tv.vectors.merging import Merge
from asr_tv.vectors.stages import mean_stage, merged_stage, vector_stage

Key = TypeVar("Key")
STARTS: tuple[Start, ...] = ("pretrained", "joint", "source_real", "source_mixed")
"""Those of fewest trainings first."""
_FROM_PRETRAINED: frozenset[str] = frozenset({"pretrained", "joint"})
_JOINT = ReplayConfig(share=1.0)
NOTHING_REPLAYED = Manifest("replay", ())


@dataclass(frozen=True)
class Scope:
    """A pair of source domains and a target, real or played by a source domain.

    Attributes:
        fold: the source domain that plays the target; empty for the run itself.
        rehearsal: general clips among the target's; None where nothing is rehearsed.
        source_real: real recordings, without the target's domain.
        source_clips: one synthetic clip of each of their sentences.
        target_clips: all takes of the target's sentences.
        targets: start, and whether it is augmented, of each training on the target's clips.
        run: as in `Step`.
        table: whether this is a run of a table, which has a row for the vector on source_mixed, too.
        replayed: clips of the source domains that were spoken to be replayed; all of them are.
    """

    fold: str
    source_real: Manifest
    source_clips: Manifest
    target_clips: Manifest
    targets: tuple[tuple[Start, bool], ...]
    run: str = ""
    table: bool = False
    rehearsal: Rehearsal | None = None
    replayed: Manifest = NOTHING_REPLAYED

    def step(self, config: AdaptConfig, kind: Kind, what: str = "") -> Step:
        purpose: Purpose = "choice" if self.fold else "model"
        return Step(kind, what, fold=self.fold, run=self.run, purpose=purpose, options=config.run)


@dataclass(frozen=True)
class Trained:
    """A scope's checkpoints: systems by name, and target-tuned ones by (start, augmentation)."""

    sources: Mapping[str, Record]
    targets: Mapping[tuple[Start, bool], Record]
    vector: Record | None

    @property
    def bases(self) -> dict[str, Record]:
        """Row -> checkpoint of everything that a vector can be added to."""
        rows = {target_row(*key): record for key, record in self.targets.items()}
        return rows | {name: record for name, record in self.sources.items() if name == SOURCE_MIXED}


def train_scopes(config: AdaptConfig, base: Record, scopes: Sequence[Scope], execute: Executor) -> list[Trained]:
    """Trains all scopes level by level, so that an executor sees everything that can run side by side."""
    sources = _train_sources(config, base, scopes, execute)
    vectors = _vectors(config, base, scopes, sources, execute)
    targets = _train_targets(config, base, scopes, sources, execute)
    return [Trained(*parts) for parts in zip(sources, targets, vectors, strict=True)]


def _train_sources(
    config: AdaptConfig, base: Record, scopes: Sequence[Scope], execute: Executor
) -> list[dict[str, Record]]:
    calls: list[dict[str, Call]] = [{} for _ in scopes]
    for scope, own in zip(scopes, calls, strict=True):
        for system, manifest in _source_manifests(config, scope).items():
            factor = config.mixed_epochs if system == SOURCE_MIXED else 1.0
            training = config.training.scaled(learning_rate=1, epochs=factor)
            own[system] = finetune_call(config, scope.step(config, "finetune", system), base, manifest, training)
    return _executed(calls, execute)


def _executed(calls: Sequence[Mapping[Key, Call]], execute: Executor) -> list[dict[Key, Record]]:
    """Each scope's records, of all scopes' calls executed together."""
    records = iter(execute([call for own in calls for call in own.values()]))
    return [{key: next(records) for key in own} for own in calls]


def _source_manifests(config: AdaptConfig, scope: Scope) -> dict[str, Manifest]:
    """What each source system of a scope trains on; a fold skips what its recipes do not need."""
    if not len(scope.source_real):
        return {}
    manifests = {
        "source_real": scope.source_real,
        "source_synthetic": scope.source_clips,
        SOURCE_MIXED: concatenate("source mixed", [scope.source_real, scope.source_clips]),
    }
    if not scope.fold:
        return manifests
    needed: set[str] = {start for start, _ in scope.targets if start not in _FROM_PRETRAINED}
    needed |= {"source_real", "source_synthetic"} if config.vector.pooling == "pooled" else set()
    return {system: manifest for system, manifest in manifests.items() if system in needed}


def finetune_call(
    config: AdaptConfig,
    step: Step,
    base: Record,
    data: Manifest | TrainingData,
    training: TrainingConfig,
) -> Call:
    """A fine-tuning as the configuration has it, but for what it trains on and how long."""
    return call(step, finetune, base, data, training, training_seed(config), config.language)


def training_seed(config: AdaptConfig) -> int:
    """The seed of the trainings, the run's own where it names none."""
    return config.seed if config.training_seed is None else config.training_seed


def _vectors(
    config: AdaptConfig,
    base: Record,
    scopes: Sequence[Scope],
    sources: Sequence[Mapping[str, Record]],
    execute: Executor,
) -> list[Record | None]:
    if not any(sources):
        return [published_vector(config, base, scope.run, execute) for scope in scopes]
    if config.vector.pooling != "pooled":
        return _merged_vectors(config, base, scopes, execute)
    calls = [
        call(scope.step(config, "vector"), vector_stage, trained["source_real"], trained["source_synthetic"])
        for scope, trained in zip(scopes, sources, strict=True)
    ]
    return list(execute(calls))


def _merged_vectors(
    config: AdaptConfig, base: Record, scopes: Sequence[Scope], execute: Executor
) -> list[Record | None]:
    """Per-domain vectors, trained once from the run's own scope, then merged over each scope's domains."""
    by_domain = domain_vectors(config, scopes[0], domain_pairs(config, base, scopes[0], execute), execute)
    merges = [merge_call(config, scope, [by_domain[d] for d in scope.source_real.domains]) for scope in scopes]
    return list(execute(merges))


def merge_call(config: AdaptConfig, scope: Scope, vectors: list[Record], what: str = "") -> Call:
    """Per-domain vectors as one: their mean, or by TIES."""
    if config.vector.pooling == "ties":
        step = scope.step(config, "vector", " ".join(filter(None, ("by TIES", what))))
        return call(step, merged_stage, vectors, Merge("ties", keep=config.vector.ties_keep))
    return call(scope.step(config, "mean vector", what), mean_stage, vectors)


def domain_vectors(
    config: AdaptConfig, whole: Scope, pairs: Mapping[str, tuple[Record, Record]], execute: Executor
) -> dict[str, Record]:
    """One vector per domain of the scope's source speech, from the domain's two trainings."""
    calls = [call(whole.step(config, "vector", f"of {domain}"), vector_stage, *pair) for domain, pair in pairs.items()]
    return dict(zip(pairs, execute(calls), strict=True))


def domain_pairs(
    config: AdaptConfig, base: Record, whole: Scope, execute: Executor
) -> dict[str, tuple[Record, Record]]:
    """The real and the synthetic training of each domain of the scope's source speech."""
    domains = whole.source_real.domains
    calls = []
    for domain in domains:
        for kind, manifest in (("real", whole.source_real), ("synthetic", whole.source_clips)):
            what, own = f"{kind} of {domain}", manifest.where(f"{domain} {kind}", in_domain(domain))
            calls.append(finetune_call(config, whole.step(config, "finetune", what), base, own, config.training))
    records = execute(calls)
    return dict(zip(domains, zip(records[::2], records[1::2], strict=True), strict=True))


def _train_targets(
    config: AdaptConfig,
    base: Record,
    scopes: Sequence[Scope],
    sources: Sequence[Mapping[str, Record]],
    execute: Executor,
) -> list[dict[tuple[Start, bool], Record]]:
    calls: list[dict[tuple[Start, bool], Call]] = [{} for _ in scopes]
    for scope, trained, own in zip(scopes, sources, calls, strict=True):
        for start, augmented in scope.targets:
            step = scope.step(config, "finetune", target_row(start, augmented))
            own[start, augmented] = target_call(config, step, scope, start, trained.get(start, base), augmented)
    return _executed(calls, execute)


def target_call(
    config: AdaptConfig, step: Step, scope: Scope, start: Start, checkpoint: Record, augmentation: bool
) -> Call:
    """The target's clips on a start, with general clips and source speech among them as the configuration asks."""
    second = config.second_stage_learning_rate if start not in _FROM_PRETRAINED else 1.0
    replay, seed = _JOINT if start == "joint" else config.replay, training_seed(config)
    memory = scope.replayed if replay.origin in SPOKEN_ANEW else scope.source_clips
    clips = with_replay(scope.target_clips, scope.source_real, memory, replay, seed)
    data = TrainingData(clips, config.augmentation if augmentation else None, scope.rehearsal)
    return finetune_call(config, step, checkpoint, data, target_tuning(config, second))


def target_tuning(config: AdaptConfig, learning_rate: float = 1.0) -> TrainingConfig:
    """Of the target's clips; `learning_rate` is a factor."""
    training = config.training.scaled(learning_rate=learning_rate, epochs=config.target_epochs)
    return training.model_copy(update={"trainable": config.target_trainable or training.trainable})


def topline_calls(
    config: AdaptConfig, scope: Scope, start: Record, trained: Trained, recordings: Manifest
) -> dict[str, Call]:
    """By row, the trainings on real recordings of the target's sentences: nothing that is chosen may rest on them.

    They see each recording as often as target_synthetic sees all takes of its sentence; from source_mixed at the rate
    of the second stage.
    """
    starts = {TOPLINE: (start, 1.0)}
    if scope.table and SOURCE_MIXED in trained.sources:
        starts[CEILING] = (trained.sources[SOURCE_MIXED], config.second_stage_learning_rate)
    passes = config.target_epochs * config.synthesis.takes * config.synthesis.voices_per_take
    calls = {}
    for name, (checkpoint, rate) in starts.items():
        step = replace(scope.step(config, "finetune", name), purpose="topline")
        training = config.training.scaled(learning_rate=rate, epochs=passes)
        calls[name] = finetune_call(config, step, checkpoint, recordings, training)
    return calls
