"""Chooses the recipe by leave-one-source-domain-out: each fold's source domain played the target."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

from asr_tv.config.run import Recipe, Start
from asr_tv.errors import DataError


@dataclass(frozen=True)
class FoldScore:
    """What one recipe did on the real dev recordings of one fold's domain."""

    domain: str
    start: Start
    augmentation: bool
    scaling_coef: float
    errors: int
    words: int


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


def score_recipes(scores: Iterable[FoldScore]) -> tuple[RecipeScore, ...]:
    """Every recipe's pooled WER, best first.

    Equal WERs are ordered by the simpler recipe: smaller coefficient, then no augmentation, then the order of starts.

    Raises:
        DataError: the recipes were not all scored on the same folds, or the folds hold no words.
    """
    rows: dict[Recipe, list[FoldScore]] = {}
    for score in scores:
        recipe = Recipe(start=score.start, augmentation=score.augmentation, scaling_coef=score.scaling_coef)
        rows.setdefault(recipe, []).append(score)
    folds = {tuple(sorted(s.domain for s in group)) for group in rows.values()}
    if len(folds) != 1:
        raise DataError(f"the recipes were not scored on the same folds: {sorted(folds)}")
    if not all(s.words for group in rows.values() for s in group):
        raise DataError("a fold's dev recordings hold no words, so no recipe can be chosen on them")
    return tuple(sorted((_pooled(recipe, group) for recipe, group in rows.items()), key=_preference))


def _pooled(recipe: Recipe, group: list[FoldScore]) -> RecipeScore:
    return RecipeScore(
        recipe=recipe,
        errors=sum(s.errors for s in group),
        words=sum(s.words for s in group),
        per_fold={s.domain: s.errors / s.words for s in group},
    )


def _preference(score: RecipeScore) -> tuple[float, float, bool, int]:
    recipe = score.recipe
    return score.wer, abs(recipe.scaling_coef), recipe.augmentation, get_args(Start).index(recipe.start)
