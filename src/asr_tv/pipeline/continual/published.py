"""A published vector in a run: its coefficient, the test sentences that it has heard, and what it was made for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asr_tv.config.run import AdaptConfig
from asr_tv.data.manifest import Dropped, Manifest
from asr_tv.errors import ConfigError
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.pipeline.material import Material, sentence_identity
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Record
from asr_tv.synthesis.engines import voices_by_engine
from asr_tv.vectors.published.card import VectorCard
from asr_tv.vectors.published.folder import read_card, read_digests, require_base, shared_sentences
from asr_tv.vectors.published.stage import published_stage

HEARD = "its sentence is one that the published vector was made of"


def published_vector(config: AdaptConfig, base: Record, run: str, execute: Executor) -> Record | None:
    """The vector that the configuration names, or None where it names none; `run` as in `Step`."""
    if config.vector.published is None:
        return None
    step = Step("published", run=run, options=config.run)
    return execute([call(step, published_stage, base, _folder(config), config.language)])[0]


def with_published_coef(config: AdaptConfig, material: Material) -> AdaptConfig:
    """The configuration with the coefficient of its published vector: its own, or what the card recommends.

    Raises:
        ConfigError: there is source speech, of which the run would make a vector of its own.
        DataError: the vector is of another model or language.
    """
    if config.vector.published is None:
        return config
    if len(material.source_train):
        raise ConfigError("vector.published: with source speech a run makes its own vector: set sources to []")
    card, coef = read_card(_folder(config)), config.vector.scaling_coef
    require_base(card, material.base.path / MODEL, config.language, str(_folder(config)))
    if coef is None:
        coef = card.scaling_coef.get("pretrained", 0.0)
    fixed = config.selection.fixed.model_copy(update={"scaling_coef": coef})
    return config.model_copy(update={"selection": config.selection.model_copy(update={"fixed": fixed})})


def without_shared(config: AdaptConfig, material: Material) -> Material:
    """The material without test recordings whose sentence the vector has heard, unless the configuration keeps them."""
    if config.vector.published is None or not config.drop_shared_sentences or material.target_test is None:
        return material
    shared = set(_shared(config, material))
    kept = material.target_test.where(material.target_test.name, lambda u: u.text not in shared)
    dropped = tuple(Dropped(u.id, HEARD) for u in material.target_test if u.text in shared)
    test: Manifest | None = kept if len(kept) else None
    return replace(material, target_test=test, dropped=(*material.dropped, *dropped))


def _shared(config: AdaptConfig, material: Material) -> list[str]:
    normalize = sentence_identity(config.language)
    sentences = [u.text for u in material.target_test or ()]
    return shared_sentences(sentences, read_digests(_folder(config)), normalize)


@dataclass(frozen=True)
class PublishedUse:
    """What a report says of a published vector.

    Attributes:
        shared: test sentences that it has heard; of those that were left out only the number is known.
        differences: what this run does otherwise than the vector's maker did.
    """

    card: VectorCard
    scaling_coef: float
    shared: tuple[str, ...]
    left_out: int
    differences: tuple[str, ...]

    def row(self) -> dict[str, Any]:
        """The report's part."""
        card = self.card
        return {
            "vector": card.label,
            "licence": card.licence,
            "line": card.line,
            "domains": list(card.domains),
            "scaling_coef": self.scaling_coef,
            "shared_test_sentences": list(self.shared),
            "left_out": self.left_out,
            "differences": list(self.differences),
        }


def published_use(config: AdaptConfig, material: Material) -> PublishedUse | None:
    """How a run used a published vector; None where it used none."""
    if config.vector.published is None:
        return None
    card = read_card(_folder(config))
    left_out = sum(d.reason == HEARD for d in material.dropped)
    coef = config.selection.fixed.scaling_coef
    return PublishedUse(card, coef, tuple(_shared(config, material)), left_out, tuple(_differences(config, card)))


def _differences(config: AdaptConfig, card: VectorCard) -> list[str]:
    """Where the run is not what the vector was made for."""
    engines = sorted(voices_by_engine(config.synthesis))
    made: Mapping[str, Any] = card.synthesis
    found = []
    if set(engines) != set(made.get("engines", ())):
        found.append(f"speech of {', '.join(engines)}; the vector's was of {', '.join(made.get('engines', ()))}")
    elif set(config.synthesis.voices) - set(made.get("voices", ())):
        found.append(f"voices {', '.join(config.synthesis.voices)}; the vector's: {', '.join(made.get('voices', ()))}")
    context = made.get("audio_context", card.recipe.get("audio_context"))
    if context is not None and context != config.training.audio_context:
        found.append(f"tuned in an audio context of {config.training.audio_context}; the vector's was {context}")
    return found


def _folder(config: AdaptConfig) -> Path:
    return Path(config.vector.published or "").expanduser()
