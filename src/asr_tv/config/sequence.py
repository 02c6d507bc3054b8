"""The configuration of `asr-tv sequence`: a run's own, and through which domains one model goes."""

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, model_validator

from asr_tv.config.run import AdaptConfig
from asr_tv.config.section import Choices, Section

SequenceRow = Literal[
    "none", "real", "texts", "generated", "generated + vector", "averaged", "averaged + vector", "joint"
]
"""What is done against forgetting; the origins of `replay` by name, averaged: each model with all before it."""


class SequenceSection(Section):
    """The domains in their order, and the rows of the matrix.

    Every domain is learnt from its texts alone; of its recordings the row "real" replays some and the vectors are made,
    and both ends with the domain: no other row needs a recording later.
    """

    domains: Choices[str] = Field(description="in the order in which they are learnt")
    rows: Choices[SequenceRow] = ("none", "real", "texts", "generated", "generated + vector", "averaged", "joint")
    scaling_coef: float = Field(0.3, description="of the mean vector of the domains learnt before, or vector.published")
    seeds: Choices[int] | None = Field(None, description="of the trainings; the run's own when not given")
    max_test: int = Field(40, ge=2, description="recordings of each domain's test")


class SequenceConfig(AdaptConfig):
    """A whole run of `asr-tv sequence`."""

    sequence: SequenceSection

    @model_validator(mode="after")
    def _sequence_fits(self) -> Self:
        if problems := list(_conflicts(self)):
            raise ValueError("\n".join(problems))
        return self

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.sequence.seeds or (self.seed,)


def _conflicts(config: SequenceConfig) -> Iterator[str]:
    if not config.corpora:
        yield "corpora: a sequence needs labelled speech of its domains, to be scored on"
    if len(config.sequence.domains) < 2:
        yield "sequence.domains: at least two, in the order in which they are learnt"
    if not config.replay.share and {"real", "texts", "generated", "generated + vector"} & {*config.sequence.rows}:
        yield "replay.share: 0 replays nothing; LAMOL's shares are 0.05 and 0.2"
    for name in ("target", "sources", "gate", "texts", "context_start"):
        if getattr(config, name) is not None:
            yield f"{name}: has no part in a sequence"
    if config.replay.writers:
        yield "replay.writers: a sequence makes its own text models"
