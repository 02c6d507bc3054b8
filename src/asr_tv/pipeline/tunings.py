"""Which fine-tunings a leave-one-domain-out table needs, target by target; equal ones are done once."""

from dataclasses import dataclass
from typing import Literal

from asr_tv.config.benchmark import BenchmarkConfig
from asr_tv.config.run import AdaptConfig, Start
from asr_tv.report.systems import TARGET_ROW, target_row

Learns = Literal["source_real", "source_synthetic", "source_mixed", "target_synthetic", "target_real"]

SOURCE_MIXED = "source_mixed"


@dataclass(frozen=True)
class Tuning:
    """One fine-tuning, known by all that decides its result, so that equal ones are one.

    Attributes:
        domains: whose speech it learns, sorted; the target alone where it learns that.
        start: None is the pretrained model.
        variant: name of the engine that spoke, or of the ablation; empty for the run's own.
        memory: domains whose speech is replayed among the target's.
    """

    learns: Learns
    domains: tuple[str, ...]
    seed: int
    start: "Tuning | None" = None
    augmentation: bool = False
    variant: str = ""
    memory: tuple[str, ...] = ()

    @property
    def row(self) -> str:
        """The name of the system it gives."""
        if self.learns != "target_synthetic":
            return self.learns
        start: Start = "pretrained"
        if self.start is not None:
            start = "source_real" if self.start.learns == "source_real" else "source_mixed"
        return target_row(start, self.augmentation)

    def label(self, everything: tuple[str, ...]) -> str:
        """What people read: "source_real without music", "target_synthetic of music (seed 18)"."""
        whose = f"of {self.domains[0]}"
        if len(self.domains) > 1:
            missing = sorted({*everything} - {*self.domains})
            whose = f"without {', '.join(missing)}" if missing else "of all"
        elif self.start is not None and len(self.start.domains) < len(everything) - 1:
            whose += f" from sources without {', '.join(sorted({*everything} - {*self.start.domains}))}"
        variant = f" ({self.variant})" if self.variant else ""
        return f"{self.row} {whose}{variant} (seed {self.seed})"


@dataclass(frozen=True)
class TargetScope:
    """Source domains and a domain that plays the target: the true one, or a source domain in a fold."""

    domains: tuple[str, ...]
    target: str
    seed: int

    def source(self, learns: Learns) -> Tuning:
        return Tuning(learns, self.domains, self.seed)

    def tuned(self, start: Start, augmentation: bool, config: AdaptConfig, variant: str = "") -> Tuning:
        """The target's clips on a start, with source speech among them where the configuration replays it."""
        first = None if start == "pretrained" else self.source(start)
        memory = self.domains if config.replay.share else ()
        return Tuning("target_synthetic", (self.target,), self.seed, first, augmentation, variant, memory)


def bases(config: BenchmarkConfig, scope: TargetScope) -> dict[str, Tuning]:
    """Row -> checkpoint of what the vector is added to: every start to choose from, tuned; and source_mixed itself."""
    augmented = config.selection.augmentation
    rows = {target_row(s, a): scope.tuned(s, a, config) for s in config.selection.starts for a in augmented}
    if SOURCE_MIXED in config.selection.starts:
        rows[SOURCE_MIXED] = scope.source("source_mixed")
    return rows


def adaptable(config: BenchmarkConfig) -> tuple[str, ...]:
    """The rows among which `adapted` is chosen, the simpler first."""
    return tuple(target_row(s, a) for a in sorted(config.selection.augmentation) for s in config.selection.starts)


def paper_row(config: BenchmarkConfig) -> str:
    """The row that the paper adds its vector to, or the nearest to it that the configuration has."""
    order: tuple[Start, ...] = ("source_mixed", "source_real", "pretrained")
    return target_row(next(s for s in order if s in config.selection.starts), min(config.selection.augmentation))


def plain_systems(config: BenchmarkConfig, scope: TargetScope) -> dict[str, Tuning]:
    """Every row without a vector, but for the pretrained model."""
    rows: dict[str, Tuning] = {"target_real": Tuning("target_real", (scope.target,), scope.seed)}
    rows |= {target_row("pretrained", a): scope.tuned("pretrained", a, config) for a in config.selection.augmentation}
    rows |= {kind: scope.source(kind) for kind in ("source_real", "source_synthetic", "source_mixed")}
    rows |= {
        target_row(start, a): scope.tuned(start, a, config)
        for start in TARGET_ROW
        if start != "pretrained"
        for a in config.selection.augmentation
    }
    return rows


def ablations(config: BenchmarkConfig, scope: TargetScope) -> dict[str, tuple[Tuning, float]]:
    """Rows that vary one thing of the target's training, each with the share of pretrained weights averaged in.

    An ablation that only averages shares the training of the row it varies.
    """
    start, augmentation = config.benchmark.ablation_start, max(config.selection.augmentation)
    row = target_row(start, augmentation)
    found = {}
    for name, ablated in config.ablated().items():
        plain = ablated.model_copy(update={"pretrained_weight": 0.0})
        variant = "" if plain.model_dump() == config.model_dump(exclude={"benchmark"}) else name
        found[f"{row} ({name})"] = scope.tuned(start, augmentation, ablated, variant), ablated.pretrained_weight
    return found


def pair(domain: str, seed: int) -> tuple[Tuning, Tuning]:
    """What the vector of one domain is the difference of."""
    return Tuning("source_real", (domain,), seed), Tuning("source_synthetic", (domain,), seed)


def needs_pairs(config: BenchmarkConfig) -> bool:
    """Whether every source domain needs a vector of its own."""
    return bool({*config.benchmark.vectors} - {"pooled"} or config.benchmark.source_counts)


def tunings(config: BenchmarkConfig, scope: TargetScope, folds: tuple[TargetScope, ...]) -> set[Tuning]:
    """All that one target needs with one seed, starts of starts included."""
    wanted = {*plain_systems(config, scope).values(), *pair(scope.target, scope.seed)}
    wanted |= {tuning for tuning, _ in ablations(config, scope).values()}
    if needs_pairs(config):
        wanted |= {tuning for domain in scope.domains for tuning in pair(domain, scope.seed)}
    for fold in folds:
        wanted |= {*bases(config, fold).values()}
        if "pooled" in config.benchmark.vectors:
            wanted |= {fold.source("source_real"), fold.source("source_synthetic")}
    return wanted | {t.start for t in wanted if t.start is not None}


def engine_tunings(config: BenchmarkConfig, scope: TargetScope) -> dict[str, Tuning]:
    """source_synthetic as each other engine speaks it, to compare the directions of their vectors."""
    return {
        name: Tuning("source_synthetic", scope.domains, scope.seed, variant=name) for name in config.benchmark.engines
    }


@dataclass(frozen=True)
class BenchmarkPlan:
    """Numbers of fine-tunings; those already in the store are not done again.

    Attributes:
        saved: how many more there would be if each target were run by itself.
        gigabytes: of disk that checkpoints and vectors will take, about.
    """

    targets: int
    seeds: int
    fine_tunings: int
    saved: int
    gigabytes: float

    def __str__(self) -> str:
        return (
            f"{self.targets} targets, {self.seeds} seed(s): {self.fine_tunings} fine-tunings; sharing them between "
            f"targets saves {self.saved}; about {self.gigabytes:.1f} GB in the store"
        )
