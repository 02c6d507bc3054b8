"""The bound on forgetting as part of the choice: how much of the pretrained weights a recipe needs to keep it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from asr_tv.config.run import AdaptConfig, Recipe
from asr_tv.data.manifest import Manifest
from asr_tv.decoding.transcribe import Sweep
from asr_tv.pipeline.execution.executor import Executor, Step
from asr_tv.pipeline.lineage import Reading
from asr_tv.pipeline.scoring import Curve, score_curves
from asr_tv.pipeline.trainings import Trained
from asr_tv.report.systems import PRETRAINED, target_row
from asr_tv.store.results import Record


@dataclass(frozen=True)
class Bounded:
    """The recipe that was chosen within the bound.

    Attributes:
        pretrained: WER of the pretrained model on the general dev recordings; None where there are none.
        general: WER on them by recipe, of those that the choice looked at.
        within: whether the chosen recipe keeps the bound; None where there is nothing to tell it by.
    """

    recipe: Recipe
    pretrained: float | None = None
    general: Mapping[Recipe, float] = field(default_factory=dict)
    within: bool | None = None
    readings: tuple[Reading, ...] = ()


def choose_within_bound(
    config: AdaptConfig,
    recipes: Sequence[Recipe],
    trained: Trained,
    pretrained: Record,
    general: Manifest | None,
    execute: Executor,
    run: str = "",
) -> Bounded:
    """The first recipe that keeps general speech within the bound, with the least share of the pretrained weights.

    Args:
        recipes: best first.
        general: recordings that choose; None: the first recipe is taken as it is.

    Returns:
        Where no recipe keeps the bound, the one that loses least.
    """
    if general is None:
        return Bounded(_weighted(recipes[0], _weights(config, recipes[0])[0]))
    step = Step("sweep", PRETRAINED, general.name, run=run, purpose="choice", options=config.run)
    base = Curve(step, pretrained, None, pretrained, general, (0.0,))
    ((before,),) = (list(curve.values()) for curve in score_curves(config, [base], execute))
    found: dict[Recipe, float] = {}
    curves = [base]
    limit = before.wer * (1 + config.forgetting.max_relative)
    for recipe in recipes:
        row = target_row(recipe.start, recipe.augmentation)
        tried = {}
        for weight in _weights(config, recipe):
            subject = f"{row}, {weight:g} pretrained"
            step = Step("sweep", subject, general.name, run=run, purpose="choice", options=config.run)
            weighted = _weighted(recipe, weight)
            tried[weighted] = curve_of(step, weighted, trained, pretrained, general)
        scores = [next(iter(scored.values())).wer for scored in score_curves(config, list(tried.values()), execute)]
        found |= dict(zip(tried, scores, strict=True))
        curves += tried.values()
        if any(found[weighted] <= limit for weighted in tried):
            break
    chosen = least_kept(found, limit)
    readings = tuple((c.checkpoint, c.vector, c.manifest) for c in curves)
    return Bounded(chosen, before.wer, found, found[chosen] <= limit, readings)


def least_kept(general: Mapping[Recipe, float], limit: float) -> Recipe:
    """The first recipe whose WER is within the limit; if none is, that of the lowest."""
    return next((r for r, wer in general.items() if wer <= limit), min(general, key=lambda r: general[r]))


def curve_of(step: Step, recipe: Recipe, trained: Trained, pretrained: Record, recordings: Manifest) -> Curve:
    """The one point of a curve at which a recipe stands, with its share of the pretrained weights."""
    checkpoint, point = trained.targets[recipe.start, recipe.augmentation], sweep_of(recipe, trained, pretrained)
    coefs, weight = point.scaling_coefs, point.pretrained_weight
    return Curve(step, checkpoint, point.vector, pretrained, recordings, coefs, weight)


def sweep_of(recipe: Recipe, trained: Trained, pretrained: Record) -> Sweep:
    """What a recipe adds to its start: one coefficient of the vector, and its share of the pretrained weights."""
    vector = trained.vector if recipe.scaling_coef else None
    return Sweep(vector, (recipe.scaling_coef,), pretrained, recipe.pretrained_weight or 0.0)


def _weights(config: AdaptConfig, recipe: Recipe) -> tuple[float, ...]:
    if recipe.pretrained_weight is not None:
        return (recipe.pretrained_weight,)
    return tuple(sorted(config.selection.pretrained_weights))


def _weighted(recipe: Recipe, weight: float) -> Recipe:
    return recipe.model_copy(update={"pretrained_weight": weight})
