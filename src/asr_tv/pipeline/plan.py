"""How many trainings a run will need, told before the first one starts."""

from dataclasses import dataclass

from asr_tv.config.run import AdaptConfig


@dataclass(frozen=True)
class Plan:
    """Numbers of fine-tunings; those already in the store are not done again.

    Attributes:
        systems: for the rows of the report.
        vectors: for per-domain vectors.
        folds: for choosing the recipe.
    """

    systems: int
    vectors: int
    folds: int

    @property
    def total(self) -> int:
        return self.systems + self.vectors + self.folds

    def __str__(self) -> str:
        parts = [f"{self.systems} for the report's systems"]
        parts += [f"{self.vectors} for per-domain vectors"] if self.vectors else []
        parts += [f"{self.folds} for choosing the recipe"] if self.folds else []
        return f"{self.total} fine-tunings: {', '.join(parts)}"


def plan(config: AdaptConfig, source_domains: int, *, topline: bool) -> Plan:
    """Counts the fine-tunings of a run over so many source domains."""
    others = topline + (config.gate is not None and config.gate.ablation)
    if not source_domains:
        return Plan(systems=1 + others, vectors=0, folds=0)
    pooled = config.vector.pooling == "pooled"
    return Plan(
        systems=3 + 6 + others,
        vectors=0 if pooled else 2 * source_domains,
        folds=_folds(config, source_domains) * _trainings_per_fold(config, pooled=pooled),
    )


def _folds(config: AdaptConfig, source_domains: int) -> int:
    return 0 if config.selection.method == "fixed" else min(config.selection.folds, source_domains)


def _trainings_per_fold(config: AdaptConfig, *, pooled: bool) -> int:
    starts = set(config.selection.starts)
    sources = starts - {"pretrained"} | ({"source_real", "source_synthetic"} if pooled else set())
    return len(sources) + len(starts) * len(set(config.selection.augmentation))
