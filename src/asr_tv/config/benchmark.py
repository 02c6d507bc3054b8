"""The configuration of `asr-tv benchmark`: a run's own, and what the leave-one-domain-out table adds to it."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from asr_tv.config.parsing import parse_section, with_overrides
from asr_tv.config.run import AdaptConfig, Pooling, Section, Start, SynthesisConfig, TargetConfig, VectorConfig
from asr_tv.config.section import Choices, Positive
from asr_tv.errors import ConfigError


class BenchmarkSection(Section):
    """Which rows the table has.

    A training that two targets share is done once. `seeds` are those of the trainings; splits, synthesis and
    bootstrap keep the run's own, so that all seeds are scored on the same recordings.
    """

    targets: Choices[str] | None = Field(None, description="domains that are the target in turn; all when not given")
    seeds: Choices[int] | None = Field(None, description="of the trainings; the run's own when not given")
    vectors: Choices[Pooling] = ("pooled", "mean_of_domains", "ties")
    ties_keep: Positive | None = Field(None, le=1, description="vector.ties_keep when not given")
    source_counts: tuple[int, ...] = Field((), description="vectors of so many source domains: mean of domains")
    draws: int = Field(3, ge=1, description="of the source domains, for each number in source_counts")
    engines: dict[str, SynthesisConfig] = Field({}, description="other speech for the vector, to compare directions")
    ablations: dict[str, dict[str, Any]] = Field({}, description="name: {section.key: value} of the target's training")
    ablation_start: Start = Field("pretrained", description="the row that ablations vary")
    max_kept_utterances: int = Field(60, ge=2, description="of the source and the general test, for each target")
    paper_scorer: bool = Field(False, description="also score as the released code does, in a column of its own")


class BenchmarkConfig(AdaptConfig):
    """A whole run of `asr-tv benchmark`; `sources` are the domains that take part, all when not given."""

    benchmark: BenchmarkSection = BenchmarkSection()

    @model_validator(mode="after")
    def _benchmark_fits(self) -> Self:
        if problems := [*_conflicts(self), *_bad_ablations(self)]:
            raise ValueError("\n".join(problems))
        return self

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.benchmark.seeds or (self.seed,)

    def of(self, target: str, seed: int, pooling: Pooling, *, without_zero: bool = False) -> AdaptConfig:
        """The run of one target, with the trainings' seed and one kind of vector.

        Args:
            without_zero: leave the coefficient 0 to a run with another kind of vector, which scores the same.
        """
        keep = self.benchmark.ties_keep or self.vector.ties_keep
        coefs = tuple(c for c in self.selection.scaling_coefs if c or not without_zero)
        return self.model_copy(
            update={
                "target": TargetConfig(domain=target) if target else None,
                "training_seed": seed,
                "vector": VectorConfig(pooling=pooling, ties_keep=keep),
                "selection": self.selection.model_copy(update={"scaling_coefs": coefs or self.selection.scaling_coefs}),
            }
        )

    def ablated(self) -> dict[str, AdaptConfig]:
        """The configuration of each ablation's target training."""
        return {name: _ablated(self, name, values) for name, values in self.benchmark.ablations.items()}


def _conflicts(config: BenchmarkConfig) -> Iterator[str]:
    bench = config.benchmark
    if not config.corpora:
        yield "corpora: a benchmark needs labelled speech of several domains"
    if config.target is not None:
        yield "target: every domain is the target in turn: name them in benchmark.targets"
    ablated = {key.split(".")[0] for row in bench.ablations.values() for key in row}
    if config.gate is not None or "gate" in ablated:
        yield "gate: a benchmark speaks without the quality gate; `asr-tv adapt` has it"
    if any("synthesis.match" in row for row in bench.ablations.values()):
        yield "benchmark.ablations: synthesis.match decides how the target is spoken, and ablations vary its training"
    if config.context_start is not None or "context_start" in ablated:
        yield "context_start: a benchmark starts from the pretrained model; `asr-tv adapt` has it"
    if config.proxy is not None or "proxy" in ablated:
        yield "proxy: a benchmark has recordings of every target; `asr-tv adapt` has it"
    if config.vector.published is not None:
        yield "vector.published: a benchmark makes its own vectors"
    origins = {config.replay.origin, *(str(row.get("replay.origin")) for row in bench.ablations.values())}
    if origins & {"texts", "generated"}:
        yield "replay.origin: a benchmark replays real or synthetic speech; `asr-tv sequence` has the others"
    if config.texts is not None:
        yield "texts: a benchmark takes the texts of its corpora"
    if config.sources is not None and (unknown := sorted({*(bench.targets or ())} - {*config.sources})):
        yield f"benchmark.targets: {', '.join(unknown)} not among sources"
    if any(count < 1 for count in bench.source_counts):
        yield "benchmark.source_counts: at least one domain"
    if config.selection.method == "fixed" and config.selection.fixed.start not in config.selection.starts:
        yield f"selection.starts: has no {config.selection.fixed.start}, the start of selection.fixed"
    if config.selection.method == "fixed" and config.selection.fixed.augmentation not in config.selection.augmentation:
        yield f"selection.augmentation: has no {config.selection.fixed.augmentation}, that of selection.fixed"
    coef, coefs = config.selection.fixed.scaling_coef, config.selection.scaling_coefs
    if config.selection.method == "fixed" and coef and coef not in coefs:
        yield f"selection.scaling_coefs: has no {coef:g}, that of selection.fixed"
    if bench.ablation_start not in config.selection.starts:
        yield f"benchmark.ablation_start: {bench.ablation_start} is not among selection.starts"


def _bad_ablations(config: BenchmarkConfig) -> Iterator[str]:
    for name, values in config.benchmark.ablations.items():
        try:
            _ablated(config, name, values)
        except ConfigError as error:
            yield from error.problems


def _ablated(config: BenchmarkConfig, name: str, values: Mapping[str, Any]) -> AdaptConfig:
    plain = config.model_dump(exclude={"benchmark"})
    return parse_section(AdaptConfig, with_overrides(plain, values), f"benchmark.ablations.{name}")
