"""What a report is built from: evaluations, choices and records, collected at the end of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from asr_tv.config.run import Recipe
from asr_tv.data.manifest import Split
from asr_tv.report.ledger import StageEntry
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.evaluation import Evaluation

Role = Literal["target", "source", "general"]


@dataclass(frozen=True)
class SystemInput:
    """One checkpoint on one set of recordings: a row of the WER table.

    Attributes:
        evaluation: None when the set has no recordings.
        text_only: the checkpoint was made without any target recording.
        note: why there is no evaluation, if recordings are not what is missing.
        simulated_line: what was done to studio recordings, such as "gsm, 5 dB SNR"; None for recordings as they are.
    """

    name: str
    role: Role
    domain: str
    split: Split
    evaluation: Evaluation | None
    text_only: bool
    scaling_coef: float | None = None
    simulated_line: str | None = None
    note: str | None = None

    @property
    def set(self) -> tuple[str, str, str]:
        return self.role, self.domain, self.split


class ScoredRecipe(Protocol):
    """One recipe over all folds: errors pooled, and the WER on each source domain that played the target."""

    @property
    def recipe(self) -> Recipe: ...
    @property
    def errors(self) -> int: ...
    @property
    def words(self) -> int: ...
    @property
    def per_fold(self) -> Mapping[str, float]: ...


@dataclass(frozen=True, slots=True)
class SelectionInput:
    """How the recipe was chosen; a fixed one has no folds or scores, and an unfinished run may have none yet."""

    method: str
    chosen: Recipe | None
    folds: tuple[str, ...] = ()
    scores: tuple[ScoredRecipe, ...] = ()


@dataclass(frozen=True, slots=True)
class BoundInput:
    """How the recipe was held to the bound on general dev recordings.

    Attributes:
        pretrained: WER of the pretrained model on them; None where there are none.
        recipes: WER of the recipes that the choice looked at.
        within: whether the chosen one keeps the bound.
        target: WER on the target's test by share of the pretrained weights, scored after the choice.
        speakers: of the general test recordings; None where one is not known.
    """

    pretrained: float | None = None
    recipes: Mapping[Recipe, float] = field(default_factory=dict)
    within: bool | None = None
    target: Mapping[float, Evaluation] = field(default_factory=dict)
    speakers: int | None = None


@dataclass(frozen=True, slots=True)
class DroppedUtterance:
    """An utterance that was left out, and why."""

    id: str
    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class CorpusInput:
    """A corpus that was used, with its licence; `seconds` of speech."""

    name: str
    licence: str
    utterances: int
    seconds: float
    simulated_line: str | None = None


@dataclass(frozen=True, slots=True)
class TermsInput:
    """Normalised terms, given by the user or found in the target's texts."""

    origin: Literal["given", "found"]
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SynthesisInput:
    """What one call of speech synthesis made, and what it counted."""

    label: str
    details: Mapping[str, Any]


@dataclass(frozen=True)
class ReportInputs:
    """Everything a report is made of.

    Attributes:
        systems: rows in the order of the table; names are unique within a set.
        origin: stage and key of all that the adapted model and the choice of its recipe come from.
        max_relative: the bound of forgetting, and `bound` how it was kept.
        max_domain_words: the bound of domain words heard and not said per 1,000 words, beyond the pretrained model's.
        target_curve: the target's test by scaling coefficient, scored after the recipe was chosen, for the reader.
        gates: set of clips -> what its quality gate counted; empty where there was none.
        settings: the whole configuration, JSON-able.
        packages: versions with which the adapted model was made.
        retention: rows of the probes of pretrained and adapted.
        missing: what an unfinished run has not done yet; None for a finished one.
    """

    name: str
    target_domain: str
    systems: tuple[SystemInput, ...]
    selection: SelectionInput
    stages: tuple[StageEntry, ...]
    corpora: tuple[CorpusInput, ...]
    bootstrap: Bootstrap
    max_relative: float
    bound: BoundInput = BoundInput()
    dropped: tuple[DroppedUtterance, ...] = ()
    origin: frozenset[tuple[str, str]] = frozenset()
    target_curve: Mapping[float, Evaluation] = field(default_factory=dict)
    terms: TermsInput = TermsInput("found", ())
    synthesis: tuple[SynthesisInput, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    retention: tuple[Mapping[str, Any], ...] = ()
    missing: tuple[str, ...] | None = None
    gates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    max_domain_words: float | None = None
