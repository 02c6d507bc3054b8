"""The trainings of one (sources, target) pair; the run itself is such a pair, and so is every fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asr_tv.config.run import AdaptConfig, AugmentationConfig, Start, TrainingConfig
from asr_tv.data.manifest import Manifest, concatenate, in_domain
from asr_tv.data.replay import with_replay
from asr_tv.pipeline.execution.executor import Call, Executor, Kind, Step, call
from asr_tv.report.systems import target_row
from asr_tv.store.results import Record
from asr_tv.training.finetune import finetune
from asr_tv.vectors.stages import mean_stage, vector_stage


@dataclass(frozen=True)
class Scope:
    """A pair of source domains and a target, real or played by a source domain.

    Attributes:
        name: empty for the run itself, else the fold's domain.
        source_real: real recordings, without the target's domain.
        source_clips: one synthetic clip of each of their sentences.
        target_clips: all takes of the target's sentences.
    """

    name: str
    source_real: Manifest
    source_clips: Manifest
    target_clips: Manifest

    def step(self, config: AdaptConfig, kind: Kind, what: str = "") -> Step:
        """A step in this scope, named as people read it."""
        if not self.name:
            return Step(kind, what, options=config.run)
        return Step(kind, f"{what} (fold {self.name})".strip(), purpose="choice", options=config.run)


@dataclass(frozen=True)
class Trained:
    """A scope's checkpoints: systems by name, and target-tuned ones by (start, augmentation)."""

    sources: Mapping[str, Record]
    targets: Mapping[tuple[Start, bool], Record]
    vector: Record | None


def train_scopes(config: AdaptConfig, base: Record, scopes: Sequence[Scope], execute: Executor) -> list[Trained]:
    """Trains all scopes level by level, so that an executor sees everything that can run side by side."""
    sources = _train_sources(config, base, scopes, execute)
    vectors = _vectors(config, base, scopes, sources, execute)
    targets = _train_targets(config, base, scopes, sources, execute)
    return [Trained(*parts) for parts in zip(sources, targets, vectors, strict=True)]


def _train_sources(
    config: AdaptConfig, base: Record, scopes: Sequence[Scope], execute: Executor
) -> list[dict[str, Record]]:
    calls, owners = [], []
    for number, scope in enumerate(scopes):
        for system, manifest in _source_manifests(config, scope).items():
            factor = config.mixed_epochs if system == "source_mixed" else 1.0
            calls.append(
                finetune_call(
                    config,
                    scope.step(config, "finetune", system),
                    base,
                    manifest,
                    config.training.scaled(learning_rate=1, epochs=factor),
                )
            )
            owners.append((number, system))
    trained: list[dict[str, Record]] = [{} for _ in scopes]
    for (number, system), record in zip(owners, execute(calls), strict=True):
        trained[number][system] = record
    return trained


def _source_manifests(config: AdaptConfig, scope: Scope) -> dict[str, Manifest]:
    """What each source system of a scope trains on; a fold skips what its recipes do not need."""
    if not len(scope.source_real):
        return {}
    manifests = {
        "source_real": scope.source_real,
        "source_synthetic": scope.source_clips,
        "source_mixed": concatenate("source mixed", [scope.source_real, scope.source_clips]),
    }
    if not scope.name:
        return manifests
    pooled = config.vector.pooling == "pooled"
    needed: set[str] = {start for start in config.selection.starts if start != "pretrained"}
    needed |= {"source_real", "source_synthetic"} if pooled else set()
    return {system: manifest for system, manifest in manifests.items() if system in needed}


def finetune_call(
    config: AdaptConfig,
    step: Step,
    base: Record,
    manifest: Manifest,
    training: TrainingConfig,
    augmentation: AugmentationConfig | None = None,
) -> Call:
    """A fine-tuning as the configuration has it, but for what it trains on and how long."""
    return call(step, finetune, base, manifest, training, config.seed, config.language, augmentation)


def _vectors(
    config: AdaptConfig,
    base: Record,
    scopes: Sequence[Scope],
    sources: Sequence[Mapping[str, Record]],
    execute: Executor,
) -> list[Record | None]:
    if not any(sources):
        return [None for _ in scopes]
    if config.vector.pooling == "mean_of_domains":
        return _mean_vectors(config, base, scopes, execute)
    calls = [
        call(scope.step(config, "vector"), vector_stage, trained["source_real"], trained["source_synthetic"])
        for scope, trained in zip(scopes, sources, strict=True)
    ]
    return list(execute(calls))


def _mean_vectors(config: AdaptConfig, base: Record, scopes: Sequence[Scope], execute: Executor) -> list[Record | None]:
    """Per-domain vectors, trained once from the run's own scope, then averaged over each scope's domains."""
    whole = scopes[0]
    domains = whole.source_real.domains
    pairs = execute([call for domain in domains for call in _pair(config, base, whole, domain)])
    vectors = execute(
        [
            call(Step("vector", f"of {domain}"), vector_stage, pairs[2 * i], pairs[2 * i + 1])
            for i, domain in enumerate(domains)
        ]
    )
    by_domain = dict(zip(domains, vectors, strict=True))
    calls = [
        call(scope.step(config, "mean vector"), mean_stage, [by_domain[d] for d in scope.source_real.domains])
        for scope in scopes
    ]
    return list(execute(calls))


def _pair(config: AdaptConfig, base: Record, whole: Scope, domain: str) -> list[Call]:
    return [
        finetune_call(
            config,
            Step("finetune", f"{kind} of {domain}", options=config.run),
            base,
            manifest.where(f"{domain} {kind}", in_domain(domain)),
            config.training,
        )
        for kind, manifest in (("real", whole.source_real), ("synthetic", whole.source_clips))
    ]


def _train_targets(
    config: AdaptConfig,
    base: Record,
    scopes: Sequence[Scope],
    sources: Sequence[Mapping[str, Record]],
    execute: Executor,
) -> list[dict[tuple[Start, bool], Record]]:
    calls, owners = [], []
    for number, (scope, trained) in enumerate(zip(scopes, sources, strict=True)):
        for start in _starts(config, scope, trained):
            for augmentation in _augmentations(config, scope, trained):
                checkpoint = trained.get(start, base)
                step = scope.step(config, "finetune", target_row(start, augmentation))
                calls.append(target_call(config, step, scope, start, checkpoint, augmentation))
                owners.append((number, start, augmentation))
    targets: list[dict[tuple[Start, bool], Record]] = [{} for _ in scopes]
    for (number, start, augmentation), record in zip(owners, execute(calls), strict=True):
        targets[number][start, augmentation] = record
    return targets


def _starts(config: AdaptConfig, scope: Scope, trained: Mapping[str, Record]) -> tuple[Start, ...]:
    """The run reports every start, a fold only those among which the recipe is chosen."""
    if not trained:
        return ("pretrained",)
    return config.selection.starts if scope.name else ("pretrained", "source_real", "source_mixed")


def _augmentations(config: AdaptConfig, scope: Scope, trained: Mapping[str, Record]) -> tuple[bool, ...]:
    """Both for the run's report, those to choose from for a fold; without source speech, the fixed recipe's alone."""
    if scope.name:
        return config.selection.augmentation
    return (False, True) if trained else (config.selection.fixed.augmentation,)


def target_call(
    config: AdaptConfig, step: Step, scope: Scope, start: Start, checkpoint: Record, augmentation: bool
) -> Call:
    """The target's clips, and source speech replayed among them if the configuration asks for it, on a start."""
    second = config.second_stage_learning_rate if start != "pretrained" else 1.0
    return finetune_call(
        config,
        step,
        checkpoint,
        with_replay(scope.target_clips, scope.source_real, scope.source_clips, config.replay, config.seed),
        config.training.scaled(learning_rate=second, epochs=config.target_epochs),
        augmentation=config.augmentation if augmentation else None,
    )
