"""Chooses the recipe by leave-one-source-domain-out: each fold's source domain played the target."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from asr_tv.config.run import AdaptConfig, Recipe
from asr_tv.data.manifest import Manifest, in_domain
from asr_tv.errors import DataError
from asr_tv.pipeline.execution.executor import Executor
from asr_tv.pipeline.lineage import Reading
from asr_tv.pipeline.scoring import Curve, score_curves
from asr_tv.pipeline.trainings import STARTS, Scope, Trained
from asr_tv.report.systems import SOURCE_MIXED, target_row
from asr_tv.store.results import Record


@dataclass(frozen=True)
class FoldScore:
    """What a row with a coefficient did on the real dev recordings of one fold's domain.

    Attributes:
        recipe: None for a row that no recipe makes, such as source_mixed itself.
    """

    domain: str
    row: str
    scaling_coef: float
    errors: int
    words: int
    recipe: Recipe | None = None


@dataclass(frozen=True)
class RecipeScore:
    """One recipe over all folds: WER pooled over their words, and fold by fold."""

    recipe: Recipe
    errors: int
    words: int
    per_fold: Mapping[str, float]

    @property
    def wer(self) -> float:
        return self.errors / self.words

    @property
    def preference(self) -> tuple[float, float, bool, int]:
        """Sorts the best first; equal WERs by the simpler recipe: coefficient, augmentation, start."""
        recipe = self.recipe
        return self.wer, abs(recipe.scaling_coef), recipe.augmentation, STARTS.index(recipe.start)


def score_recipes(scores: Iterable[FoldScore]) -> tuple[RecipeScore, ...]:
    """Every recipe's pooled WER, best first.

    Raises:
        DataError: the recipes were not all scored on the same folds, or the folds hold no words.
    """
    groups: dict[Recipe, list[FoldScore]] = {}
    for score in scores:
        if score.recipe is not None:
            groups.setdefault(score.recipe, []).append(score)
    folds = {tuple(sorted(s.domain for s in group)) for group in groups.values()}
    if len(folds) != 1:
        raise DataError(f"the recipes were not scored on the same folds: {sorted(folds)}")
    if not all(s.words for group in groups.values() for s in group):
        raise DataError("a fold's dev recordings hold no words, so no recipe can be chosen on them")
    return tuple(sorted((_pooled(*item) for item in groups.items()), key=lambda score: score.preference))


def _pooled(recipe: Recipe, group: Sequence[FoldScore]) -> RecipeScore:
    return RecipeScore(
        recipe=recipe,
        errors=sum(s.errors for s in group),
        words=sum(s.words for s in group),
        per_fold={s.domain: s.errors / s.words for s in group},
    )


def best_coefs(scores: Iterable[FoldScore]) -> dict[str, float]:
    """Row -> the coefficient with fewest errors over all folds; of equal ones the smaller."""
    errors: dict[str, dict[float, int]] = {}
    for score in scores:
        own = errors.setdefault(score.row, {})
        own[score.scaling_coef] = own.get(score.scaling_coef, 0) + score.errors
    return {row: min(own, key=lambda coef: (own[coef], abs(coef))) for row, own in errors.items()}


def score_folds(
    config: AdaptConfig,
    base: Record,
    scopes: Sequence[Scope],
    trained: Sequence[Trained],
    dev: Manifest,
    execute: Executor,
) -> tuple[list[FoldScore], tuple[Reading, ...]]:
    """Every row on the real dev recordings of each fold's domain, and all readings that these scores rest on."""
    owners = []
    curves = []
    for scope, result in zip(scopes, trained, strict=True):
        recordings = dev.where(f"{scope.fold} dev", in_domain(scope.fold))
        for row, checkpoint in result.bases.items():
            if result.vector is None or (row == SOURCE_MIXED and not scope.table):
                continue
            owners.append((scope, row))
            step = scope.step(config, "sweep", row)
            coefs = config.selection.scaling_coefs
            curves.append(Curve(step, checkpoint, result.vector, base, recordings, coefs))
    scores = [
        FoldScore(scope.fold, row, coef, e.word_counts.errors, e.word_counts.words, _recipe(scope, row, coef))
        for (scope, row), curve in zip(owners, score_curves(config, curves, execute), strict=True)
        for coef, e in curve.items()
    ]
    return scores, tuple((c.checkpoint, c.vector, c.manifest) for c in curves)


def _recipe(scope: Scope, row: str, coef: float) -> Recipe | None:
    for start in scope.starts:
        for augmentation in scope.augmentations:
            if row == target_row(start, augmentation):
                return Recipe(start=start, augmentation=augmentation, scaling_coef=coef)
    return None
