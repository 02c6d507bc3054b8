"""The method as a plain function over stages: from a configuration to an adapted checkpoint and its scores.

SYN2REAL (arXiv 2406.02925): adapted = target_synthetic + c x (source_real - source_synthetic), where the start of
target_synthetic, its augmentation and c are chosen on source domains only.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

from asr_tv.config.run import AdaptConfig, AudioContext, Recipe, SelectionConfig, Start
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest, in_domain
from asr_tv.data.pairs import paired
from asr_tv.data.splits import without_sentences
from asr_tv.decoding.options import check_engine
from asr_tv.errors import ConfigError
from asr_tv.models.family import family_of
from asr_tv.pipeline.biasing import BiasedRows, FoldModels, biased_rows, check_biasing
from asr_tv.pipeline.bound import Bounded, choose_within_bound, curve_of, sweep_of
from asr_tv.pipeline.continual.published import with_published_coef, without_shared
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.pipeline.likeness.domain_words import report_terms
from asr_tv.pipeline.likeness.match import matched
from asr_tv.pipeline.lineage import Reading
from asr_tv.pipeline.material import Material, bootstrap_of, given_terms, prepare, sentence_identity
from asr_tv.pipeline.planning import Plan, plan_run
from asr_tv.pipeline.probes import probe
from asr_tv.pipeline.proxy.scores import proxy_scores
from asr_tv.pipeline.scoring import Curve, System, TestSet, score_curves, score_systems
from asr_tv.pipeline.selection import FoldScore, RecipeScore, preferred, score_folds, score_recipes
from asr_tv.pipeline.speech import ClipSet, clip_count, gated, synthesis_call
from asr_tv.pipeline.trainings import STARTS, Scope, Trained, finetune_call, target_tuning, topline_calls, train_scopes
from asr_tv.pipeline.writing.replayed import with_replayed
from asr_tv.report.inputs import TermsInput
from asr_tv.report.systems import ADAPTED, ADAPTED_SHORT, PRETRAINED, PRETRAINED_SHORT, target_row
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Record
from asr_tv.training.context_start import context_start
from asr_tv.training.data import Rehearsal, TrainingData
from asr_tv.training.settings import settings_for
from asr_tv.vectors.stages import adapt_stage

UNGATED = "target_synthetic_ungated"
"""The quality gate's ablation: target_synthetic on all clips."""


@dataclass(frozen=True)
class Speech:
    """Records of target, source and folds: as spoken, and the same or the quality gate's to train on.

    Attributes:
        general: the sentences to rehearse; None where nothing is rehearsed.
    """

    spoken: tuple[Record, ...]
    used: tuple[Record, ...]
    gates: Mapping[str, Record]
    general: Record | None = None


@dataclass(frozen=True)
class Chosen:
    """Everything up to the choice of the recipe.

    Attributes:
        config: the run's configuration, final.
        start: what every training starts from: the pretrained model, or the same made safe on a short context.
        recipe: chosen on the folds, or fixed by the configuration.
        recipes: every recipe tried on the folds, best first; empty for a fixed one.
        fold_scores: what the choice rests on, and `readings` the recordings and checkpoints of these scores.
        bounded: how the recipe keeps general speech within the bound.
    """

    config: AdaptConfig
    material: Material
    start: Record
    speech: Speech
    scope: Scope
    trained: Trained
    recipe: Recipe
    recipes: tuple[RecipeScore, ...]
    folds: tuple[str, ...]
    fold_scores: tuple[FoldScore, ...]
    readings: tuple[Reading, ...]
    bounded: Bounded
    fold_models: tuple[Trained, ...] = ()

    @property
    def audio_context(self) -> AudioContext:
        """In which the checkpoints were tuned; a CTC model hears the whole clip."""
        training = self.config.training
        return settings_for(training, family_of(self.material.base.path / MODEL)).audio_context


@dataclass(frozen=True)
class Outcome:
    """Everything a report is made of.

    Attributes:
        evaluations: by (system, test set).
        curve: WER on the target's test by coefficient, scored after the recipe was chosen.
        frontier: the same by share of the pretrained weights, of those that the choice looked at.
        retention: rows of `probe`, where the configuration asks for them.
        proxy: pretrained and adapted on the synthetic proxy, where there is one.
        terms: the words that characterise the target's domain.
    """

    chosen: Chosen
    adapted: Record
    evaluations: Mapping[tuple[str, str], Evaluation]
    curve: Mapping[float, Evaluation] = field(default_factory=dict)
    frontier: Mapping[float, Evaluation] = field(default_factory=dict)
    retention: tuple[Mapping[str, Any], ...] = ()
    biased: BiasedRows = field(default_factory=BiasedRows)
    proxy: Mapping[str, Evaluation] = field(default_factory=dict)
    terms: TermsInput = field(default_factory=lambda: TermsInput("found", ()))


def adapt(config: AdaptConfig, execute: Executor, announce: Callable[[Plan], object] | None = None) -> Outcome:
    """Runs the whole method.

    Args:
        announce: is told what the run will train, before it trains.

    Raises:
        ConfigError, DataError: what the user gave cannot be used; finished stages stay in the store.
    """
    material = without_shared(config, prepare(config, execute))
    rest = partial(_adapt, with_published_coef(settled(config, material), material), material)
    if announce is not None:
        announce(plan_run(config, rest, material.base, execute))
    return rest(execute)


def _adapt(config: AdaptConfig, material: Material, execute: Executor) -> Outcome:
    return finish(choose(config, material, execute), execute)


def settled(config: AdaptConfig, material: Material) -> AdaptConfig:
    """The configuration as all that speaks and trains will see it: 30 s where a run from text alone is too short."""
    if len(material.source_train) or config.context_start:
        return config
    clips = clip_count(config, material.target_texts)
    if target_tuning(config).epochs * math.ceil(clips / config.training.batch_size) >= config.short_context_updates:
        return config
    values = config.model_dump(exclude_unset=True)
    return AdaptConfig.model_validate(values | {"training": {**values.get("training", {}), "audio_context": "full"}})


def choose(config: AdaptConfig, material: Material, execute: Executor, run: str = "") -> Chosen:
    """Speaks, trains and scores on the folds, up to the choice of the recipe; `run` as in `Step`."""
    family = family_of(material.base.path / MODEL)
    settings_for(config.training, family)
    check_engine(config.scoring.engine, family, config.run.device)
    check_biasing(config, family)
    config = matched(config, material, execute, run)
    folds = _folds(config, material)
    speech = _speak(config, material, folds, execute, run)
    scopes = with_replayed(config, material, _scopes(config, material, folds, speech, run), execute)
    start = _start(config, material, scopes[0], execute)
    trained = train_scopes(config, start, scopes, execute)
    scores, readings = score_folds(config, material.base, scopes[1:], trained[1:], material.source_dev, execute)
    recipes = score_recipes(scores) if scores else ()
    bootstrap = bootstrap_of(config)
    ordered = preferred(recipes, bootstrap) if recipes else (config.selection.fixed,)
    if (ordered[0].start, ordered[0].augmentation) not in trained[0].targets:
        raise ConfigError(f"selection.fixed.start: {ordered[0].start} needs source speech, and there is none")
    bounded = choose_within_bound(config, ordered, trained[0], material.base, material.general_dev, execute, run)
    found = (recipes, folds, tuple(scores), (*readings, *bounded.readings), bounded, tuple(trained[1:]))
    return Chosen(config, material, start, speech, scopes[0], trained[0], bounded.recipe, *found)


def finish(chosen: Chosen, execute: Executor) -> Outcome:
    """Makes the adapted model, then scores it and its rivals: nothing of this is known when the recipe is chosen."""
    config, material = chosen.config, chosen.material
    adapted = make_adapted(chosen, execute)
    evaluations = _score(chosen, adapted, execute)
    probed = [System(PRETRAINED, material.base), System(ADAPTED, adapted), *_short(chosen, adapted)]
    terms, asked = report_terms(config, material), config.retention.asked
    kept = tuple(probe(config, probed, material.general, execute, terms=terms.terms)) if asked else ()
    biased = _biased(chosen, adapted, execute)
    evaluations |= {(name, "target"): evaluation for name, evaluation in biased.evaluations.items()}
    proxy = proxy_scores(config, material.proxy_texts, material.base, adapted, execute)
    curves = _curve(chosen, execute), _frontier(chosen, execute)
    return Outcome(chosen, adapted, evaluations, *curves, kept, biased, proxy, terms)


def _biased(chosen: Chosen, adapted: Record, execute: Executor) -> BiasedRows:
    """Rows of decode-time methods, where the configuration asks for them."""
    config, material, recipe = chosen.config, chosen.material, chosen.recipe
    folds = []
    for domain, trained in zip(chosen.folds, chosen.fold_models, strict=True) if config.biasing else ():
        start = trained.targets[recipe.start, recipe.augmentation]
        folds.append(FoldModels(domain, start, sweep_of(recipe, trained, material.base)))
    return biased_rows(config, material, adapted, folds, given_terms(config), execute)


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
    trained = set(material.source_train.domains)
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


def _speak(config: AdaptConfig, material: Material, folds: tuple[str, ...], execute: Executor, run: str) -> Speech:
    """Speaks all sentences, and sends the clips through the quality gate where there is one."""
    once = config.synthesis.model_copy(update={"takes": 1, "voices": config.synthesis.voices[:1]})
    real = material.source_train
    sets = [ClipSet("target", material.target_texts, config.synthesis)]
    if len(real):
        sets.append(ClipSet("source", real, once))
    sets += [ClipSet(f"{d} as target", real.where(d, in_domain(d)), config.synthesis) for d in folds]
    most = max(clip_count(config, s.texts) for s in sets if s.synthesis is config.synthesis)
    general = _general_clips(config, material, most)
    calls = [synthesis_call(config, s.what, s.texts, s.synthesis, run=run) for s in (*sets, *general)]
    spoken = execute(calls)
    rehearsed = spoken.pop() if general else None
    if config.gate is None:
        return Speech(tuple(spoken), tuple(spoken), {}, rehearsed)
    used = tuple(gated(config, material.base, sets, spoken, execute))
    gates = {clips.what: record for clips, record in zip(sets, used, strict=True)}
    return Speech(tuple(spoken), used, gates, rehearsed)


def _general_clips(config: AdaptConfig, material: Material, target_clips: int) -> list[ClipSet]:
    """As many general sentences as the longest training rehearses, each once, in the voices by turns."""
    if family_of(material.base.path / MODEL) == "ctc":
        return []
    needed = math.ceil(config.rehearsal.share * target_clips) * target_tuning(config).epochs
    ranked = sorted(material.general_texts, key=lambda u: u.id)  # an id is a digest of the sentence
    texts = Manifest("general texts", tuple(ranked[:needed]))
    once = config.synthesis.model_copy(update={"takes": 1, "voices_per_text": 1})
    return [ClipSet("general", texts, once)] if len(texts) else []


def _scopes(config: AdaptConfig, material: Material, folds: tuple[str, ...], speech: Speech, run: str) -> list[Scope]:
    """Clips paired with recordings: the run's own scope first, then one per fold."""
    real, selection = material.source_train, config.selection
    target, *rest = [stored_manifest(record) for record in speech.used]
    source = rest[0] if len(real) else Manifest("source clips", ())
    normalize = sentence_identity(config.language)
    table, rehearsal = bool(run), _rehearsal(config, material.base, speech.general)
    pairs = paired(real, source, normalize)
    scopes = [Scope("", *pairs, target, _own_targets(selection, len(real) > 0, run), run, table, rehearsal)]
    tried = tuple(product(selection.starts, selection.augmentation))
    for domain, clips in zip(folds, rest[1:], strict=True):
        asked = {normalize(u.text) for u in material.source_dev if u.domain == domain}
        others = real.where(f"{real.name} without {domain}", lambda u, d=domain: u.domain != d)  # type: ignore[misc]
        unasked, _ = without_sentences(others, asked, normalize, "")
        pairs = paired(unasked, source, normalize)
        scopes.append(Scope(domain, *pairs, clips, tried, run, table, rehearsal))
    return scopes


def _own_targets(selection: SelectionConfig, has_source: bool, run: str) -> tuple[tuple[Start, bool], ...]:
    """The target's trainings of the run itself: what may be chosen, and what it is up against."""
    fixed = selection.fixed
    if not has_source:
        return (("pretrained", fixed.augmentation),)
    starts = {"pretrained", *selection.starts, *([fixed.start] if selection.method == "fixed" else [])}
    plain = starts if run or False in selection.augmentation else {"pretrained"}
    augmentations = selection.augmentation if run else (False, True)
    return tuple((start, a) for start in STARTS if start in starts for a in augmentations if a or start in plain)


def _rehearsal(config: AdaptConfig, teacher: Record, general: Record | None) -> Rehearsal | None:
    asked = config.rehearsal
    return Rehearsal(stored_manifest(general), teacher, asked.share, asked.weight) if general else None


def make_adapted(chosen: Chosen, execute: Executor) -> Record:
    """The chosen start plus the coefficient times the vector, averaged with the pretrained weights where asked."""
    recipe, trained, config = chosen.recipe, chosen.trained, chosen.config
    start = trained.targets[recipe.start, recipe.augmentation]
    shares = recipe.scaling_coef, recipe.pretrained_weight or 0.0
    step = chosen.scope.step(config, "adapt")
    return execute([call(step, adapt_stage, start, trained.vector, chosen.material.base, *shares)])[0]


def _curve(chosen: Chosen, execute: Executor) -> Mapping[float, Evaluation]:
    """WER on the target's test over the coefficients, for the reader: the recipe is chosen before this is known."""
    test, vector, recipe = chosen.material.target_test, chosen.trained.vector, chosen.recipe
    if test is None or vector is None:
        return {}
    checkpoint = chosen.trained.targets[recipe.start, recipe.augmentation]
    step = Step("sweep", "coefficient curve", "target", purpose="scoring", options=chosen.config.run)
    coefs = chosen.config.selection.scaling_coefs
    weight = recipe.pretrained_weight or 0.0
    curve = Curve(step, checkpoint, vector, chosen.material.base, test, coefs, weight)
    return score_curves(chosen.config, [curve], execute)[0]


def _frontier(chosen: Chosen, execute: Executor) -> Mapping[float, Evaluation]:
    """WER on the target's test over the shares of the pretrained weights, for the reader."""
    test, recipe = chosen.material.target_test, chosen.recipe
    if test is None:
        return {}
    curves = []
    for tried in chosen.bounded.general:
        if _same_but_weight(tried, recipe):
            subject = f"{tried.pretrained_weight:g} pretrained"
            step = Step("sweep", subject, "target", run=chosen.scope.run, purpose="scoring", options=chosen.config.run)
            curves.append(curve_of(step, tried, chosen.trained, chosen.material.base, test))
    scored = score_curves(chosen.config, curves, execute)
    return {c.pretrained_weight: found[recipe.scaling_coef] for c, found in zip(curves, scored, strict=True)}


def _same_but_weight(one: Recipe, other: Recipe) -> bool:
    return one.model_copy(update={"pretrained_weight": other.pretrained_weight}) == other


def _ungated(chosen: Chosen, execute: Executor) -> list[System]:
    """target_synthetic on the clips as they were spoken, the row that says what the quality gate bought."""
    config = chosen.config
    if config.gate is None or not config.gate.ablation:
        return []
    clips = stored_manifest(chosen.speech.spoken[0])
    step = Step("finetune", UNGATED, purpose="scoring", options=config.run)
    data = TrainingData(clips, rehearsal=chosen.scope.rehearsal)
    (record,) = execute([finetune_call(config, step, chosen.start, data, target_tuning(config))])
    return [System(UNGATED, record)]


def _score(chosen: Chosen, adapted: Record, execute: Executor) -> dict[tuple[str, str], Evaluation]:
    config, material = chosen.config, chosen.material
    systems = [System(PRETRAINED, material.base)]
    if chosen.start is not material.base:
        systems.append(System(PRETRAINED_SHORT, chosen.start))
    systems += [*tuned_systems(chosen), *_ungated(chosen, execute), System(ADAPTED, adapted)]
    short = _short(chosen, adapted)
    names = {PRETRAINED, PRETRAINED_SHORT, ADAPTED, target_row("pretrained", False), target_row("pretrained", True)}
    ends = [system for system in systems if system.name in names]
    results: dict[tuple[str, str], Evaluation] = {}
    if material.target_test is not None:
        tests = [TestSet("target", material.target_test)]
        results |= score_systems(config, [*systems, *short, *topline(chosen, execute)], tests, execute)
    if len(material.source_test):
        results |= score_systems(config, systems, [TestSet("source", material.source_test)], execute)
    if material.general is not None:
        results |= score_systems(config, [*ends, *short], [TestSet("general", material.general)], execute)
    return results


def _short(chosen: Chosen, adapted: Record) -> list[System]:
    """The adapted model in the context it was tuned in, where that is shorter than 30 s."""
    context = chosen.audio_context
    return [System(ADAPTED_SHORT, adapted, context)] if context != "full" else []


def tuned_systems(chosen: Chosen) -> list[System]:
    """Every tuned checkpoint of the run's own scope, by the name of its row."""
    rows = dict(chosen.trained.sources) | {target_row(*key): record for key, record in chosen.trained.targets.items()}
    return [System(name, record) for name, record in rows.items()]


def topline(chosen: Chosen, execute: Executor) -> list[System]:
    """What real recordings of the target's sentences would have bought; trained after everything was chosen.

    A table also has it from the start of its plain rival.
    """
    config, train = chosen.config, chosen.material.target_train
    if train is None:
        return []
    calls = topline_calls(config, chosen.scope, chosen.start, chosen.trained, train)
    return [System(name, record) for name, record in zip(calls, execute([*calls.values()]), strict=True)]
