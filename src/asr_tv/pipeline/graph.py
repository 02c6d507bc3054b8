"""The method as a plain function over stages: from a configuration to an adapted checkpoint and its scores.

SYN2REAL (arXiv 2406.02925): adapted = target_synthetic + c x (source_real - source_synthetic), where the start of
target_synthetic, its augmentation and c are chosen on source domains only.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from asr_tv.config.run import AdaptConfig, AudioContext, Recipe
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest, in_domain
from asr_tv.data.pairs import paired
from asr_tv.data.splits import without_sentences
from asr_tv.decoding.options import check_engine
from asr_tv.errors import ConfigError
from asr_tv.models.family import family_of
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.pipeline.lineage import Reading
from asr_tv.pipeline.material import Material, prepare, sentence_identity
from asr_tv.pipeline.plan import Plan, plan
from asr_tv.pipeline.probes import probe
from asr_tv.pipeline.recipe_scores import RecipeScore, score_recipes
from asr_tv.pipeline.scoring import System, TestSet, score_curve, score_folds, score_systems
from asr_tv.pipeline.speech import ClipSet, gated, synthesis_call
from asr_tv.pipeline.trainings import Scope, Trained, finetune_call, train_scopes
from asr_tv.report.systems import ADAPTED, ADAPTED_AT_30_S, PRETRAINED, PRETRAINED_SHORT, target_row
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Record
from asr_tv.training.context_start import context_start
from asr_tv.training.settings import settings_for
from asr_tv.vectors.stages import adapt_stage

TOPLINE = "topline"
UNGATED = "target_synthetic_ungated"
"""The quality gate's ablation: target_synthetic on all clips."""


@dataclass(frozen=True)
class Outcome:
    """Everything a report is made of.

    Attributes:
        recipe: chosen on the folds, or fixed by the configuration.
        recipes: every recipe tried on the folds, best first; empty for a fixed one.
        evaluations: by (system, test set).
        curve: WER on the target's test by coefficient, scored after the recipe was chosen.
        synthesis: records of speech synthesis, target and source.
        retention: rows of `probe`, where the configuration asks for them.
        gates: set of clips -> what the quality gate made of it; empty where it is off.
        readings: every score that the choice of the recipe rests on.
        audio_context: in which the checkpoints were tuned and the adapted one is to be decoded.
    """

    material: Material
    trained: Trained
    recipe: Recipe
    recipes: tuple[RecipeScore, ...]
    folds: tuple[str, ...]
    adapted: Record
    evaluations: Mapping[tuple[str, str], Evaluation]
    curve: Mapping[float, Evaluation]
    synthesis: tuple[Record, ...]
    audio_context: AudioContext
    retention: tuple[Mapping[str, Any], ...] = ()
    gates: Mapping[str, Record] = field(default_factory=dict)
    readings: tuple[Reading, ...] = ()


def adapt(config: AdaptConfig, execute: Executor, announce: Callable[[Plan], None] = lambda plan: None) -> Outcome:
    """Runs the whole method. `announce` is told the number of trainings before the first one.

    Raises:
        ConfigError, DataError: what the user gave cannot be used; finished stages stay in the store.
    """
    material = prepare(config, execute)
    family = family_of(material.base.path / MODEL)
    training = settings_for(config.training, family)
    check_engine(config.scoring.engine, family, config.run.device)
    config = config.model_copy(update={"training": training})
    folds = _folds(config, material)
    announce(plan(config, len(material.source_domains), topline=material.has_topline))
    speech = _speak(config, material, folds, execute)
    scopes = _scopes(config, material, folds, speech)
    config = _with_safe_context(config, scopes[0])
    start = _start(config, material, scopes[0], execute)
    trained = train_scopes(config, start, scopes, execute)
    scores, readings = score_folds(config, material.base, scopes[1:], trained[1:], material.source_dev, execute)
    recipes = score_recipes(scores) if scores else ()
    recipe = recipes[0].recipe if recipes else config.selection.fixed
    adapted = _adapted(config, material, trained[0], recipe, execute)
    ablation = _ungated(config, start, speech, execute)
    evaluations = _score(config, material, start, trained[0], adapted, ablation, execute)
    curve: Mapping[float, Evaluation] = {}
    if material.target_test is not None:
        curve = score_curve(config, material.base, recipe, trained[0], material.target_test, execute)
    context = config.training.audio_context
    probed = [System(PRETRAINED, material.base, "full"), System(ADAPTED, adapted, context)]
    kept = tuple(probe(config, probed, material.general, execute)) if config.retention.asked else ()
    own = speech.spoken[: 1 + bool(len(material.source_train))]
    return Outcome(
        material,
        trained[0],
        recipe,
        recipes,
        folds,
        adapted,
        evaluations,
        curve,
        own,
        context,
        kept,
        speech.gates,
        readings,
    )


_ENOUGH_UPDATES = 60
"""A pretrained Whisper loops on short audio. 43 updates cured it on the demo's corpus, 21 to 25 did not."""


def _with_safe_context(config: AdaptConfig, scope: Scope) -> AdaptConfig:
    """Full context for a text-only run with so few sentences that a short one would not be learnt in its time."""
    updates = config.training.scaled(learning_rate=1, epochs=config.target_epochs).epochs * math.ceil(
        len(scope.target_clips) / config.training.batch_size
    )
    if len(scope.source_real) or updates >= _ENOUGH_UPDATES or config.context_start:
        return config
    return config.model_copy(update={"training": config.training.model_copy(update={"audio_context": "full"})})


def _start(config: AdaptConfig, material: Material, scope: Scope, execute: Executor) -> Record:
    """The checkpoint every training starts from: the pretrained one, made safe on a short context where asked.

    It learns from synthetic speech only, and of the source where there is one: no recording that a fold or the target
    is scored on, or could stand for, has been heard.
    """
    if config.context_start is None:
        return material.base
    clips = scope.source_clips if len(scope.source_clips) else scope.target_clips
    step = Step("context start", options=config.run)
    start = call(step, context_start, material.base, clips, config.context_start, config.seed, config.language)
    return execute([start])[0]


def _folds(config: AdaptConfig, material: Material) -> tuple[str, ...]:
    """The source domains that play the target: those with most dev words, which decide between the recipes."""
    if config.selection.method == "fixed":
        return ()
    trained = set(material.source_domains)
    sizes = {d: 0 for d in material.source_dev.domains if d in trained}
    for u in material.source_dev:
        if u.domain in sizes:
            sizes[u.domain] += len(u.text.split())
    if len(sizes) < 2:
        raise ConfigError(
            f"selection.method leave_one_source_domain_out needs two source domains, found {len(sizes)}: "
            "give labelled speech of more domains, or set selection.method to fixed"
        )
    return tuple(sorted(sizes, key=lambda domain: (-sizes[domain], domain))[: config.selection.folds])


@dataclass(frozen=True)
class _Speech:
    """Records of target, source and folds: as spoken, and the same or the quality gate's to train on."""

    spoken: tuple[Record, ...]
    used: tuple[Record, ...]
    gates: Mapping[str, Record]


def _speak(config: AdaptConfig, material: Material, folds: tuple[str, ...], execute: Executor) -> _Speech:
    """Speaks all sentences, and sends the clips through the quality gate where there is one."""
    once = config.synthesis.model_copy(update={"takes": 1, "voices": config.synthesis.voices[:1]})
    real = material.source_train
    sets = [ClipSet("target", material.target_texts, config.synthesis)]
    if len(real):
        sets.append(ClipSet("source", real, once))
    sets += [ClipSet(f"{d} as target", real.where(d, in_domain(d)), config.synthesis) for d in folds]
    spoken = tuple(execute([synthesis_call(config, s.what, s.texts, s.synthesis) for s in sets]))
    if config.gate is None:
        return _Speech(spoken, spoken, {})
    used = tuple(gated(config, material.base, sets, spoken, execute))
    return _Speech(spoken, used, {clips.what: record for clips, record in zip(sets, used, strict=True)})


def _scopes(config: AdaptConfig, material: Material, folds: tuple[str, ...], speech: _Speech) -> list[Scope]:
    """Clips paired with recordings: the run's own scope first, then one a fold."""
    real = material.source_train
    target, *rest = [stored_manifest(record) for record in speech.used]
    source = rest[0] if len(real) else Manifest("source clips", ())
    normalize = sentence_identity(config.language)
    scopes = [Scope("", *paired(real, source, normalize), target)]
    for domain, clips in zip(folds, rest[1:], strict=True):
        asked = {normalize(u.text) for u in material.source_dev if u.domain == domain}
        others = real.where(f"{real.name} without {domain}", lambda u, d=domain: u.domain != d)  # type: ignore[misc]
        unasked, _ = without_sentences(others, asked, normalize, "")
        scopes.append(Scope(domain, *paired(unasked, source, normalize), clips))
    return scopes


def _adapted(config: AdaptConfig, material: Material, trained: Trained, recipe: Recipe, execute: Executor) -> Record:
    start = trained.targets.get((recipe.start, recipe.augmentation))
    if start is None:
        raise ConfigError(f"selection.fixed.start: {recipe.start} needs source speech, and there is none")
    shares = recipe.scaling_coef, config.pretrained_weight
    return execute([call(Step("adapt"), adapt_stage, start, trained.vector, material.base, *shares)])[0]


def _ungated(config: AdaptConfig, start: Record, speech: _Speech, execute: Executor) -> list[System]:
    """target_synthetic on the clips as they were spoken, the row that says what the quality gate bought."""
    if config.gate is None or not config.gate.ablation:
        return []
    clips = stored_manifest(speech.spoken[0])
    training = config.training.scaled(learning_rate=1, epochs=config.target_epochs)
    (record,) = execute(
        [
            finetune_call(
                config, Step("finetune", UNGATED, purpose="scoring", options=config.run), start, clips, training
            )
        ]
    )
    return [System(UNGATED, record, config.training.audio_context)]


def _score(
    config: AdaptConfig,
    material: Material,
    start: Record,
    trained: Trained,
    adapted: Record,
    ablation: list[System],
    execute: Executor,
) -> dict[tuple[str, str], Evaluation]:
    context = config.training.audio_context
    systems = [System(PRETRAINED, material.base, "full")]
    if start is not material.base:
        systems.append(System(PRETRAINED_SHORT, start, context))
    systems += [System(name, record, context) for name, record in trained.sources.items()]
    systems += [System(target_row(*key), record, context) for key, record in trained.targets.items()]
    systems += ablation
    systems.append(System(ADAPTED, adapted, context))
    # What transformers does with the model as it is: 30 s, whatever it was tuned on.
    at_30_s = [System(ADAPTED_AT_30_S, adapted, "full")] if context != "full" else []
    names = {PRETRAINED, PRETRAINED_SHORT, ADAPTED, target_row("pretrained", False), target_row("pretrained", True)}
    ends = [system for system in systems if system.name in names]
    results: dict[tuple[str, str], Evaluation] = {}
    if material.target_test is not None:
        topline = _topline(config, material, start, execute)
        tests = [TestSet("target", material.target_test)]
        results |= score_systems(config, [*systems, *at_30_s, *topline], tests, execute)
    if len(material.source_test):
        results |= score_systems(config, systems, [TestSet("source", material.source_test)], execute)
    if material.general is not None:
        results |= score_systems(config, [*ends, *at_30_s], [TestSet("general", material.general)], execute)
    return results


def _topline(config: AdaptConfig, material: Material, start: Record, execute: Executor) -> list[System]:
    """What real recordings of the target's sentences would have bought; trained after everything was chosen.

    It sees each recording as often as target_synthetic sees all takes of its sentence.
    """
    if material.target_train is None:
        return []
    passes = config.target_epochs * config.synthesis.takes * len(config.synthesis.voices)
    training = config.training.scaled(learning_rate=1, epochs=passes)
    tuning = finetune_call(
        config, Step("finetune", TOPLINE, purpose="topline", options=config.run), start, material.target_train, training
    )
    (record,) = execute([tuning])
    return [System(TOPLINE, record, config.training.audio_context)]
