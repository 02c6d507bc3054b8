"""Chooses the recipe by leave-one-source-domain-out: each fold's source domain played the target."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from asr_tv.config.run import AdaptConfig, Recipe
from asr_tv.data.manifest import Manifest, in_domain
from asr_tv.errors import DataError
from asr_tv.pipeline.execution.executor import Executor
from asr_tv.pipeline.lineage import Reading
from asr_tv.pipeline.scoring import Curve, score_curves
from asr_tv.pipeline.trainings import STARTS, Scope, Trained
from asr_tv.report.systems import SOURCE_MIXED, target_row
from asr_tv.scoring.bootstrap import Bootstrap, paired_difference
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.store.results import Record


@dataclass(frozen=True)
class FoldScore:
    """What a row with a coefficient did on the real dev recordings of one fold's domain.

    Attributes:
        recipe: None for a row that no recipe makes, such as source_mixed itself.
        sentences: errors and words by sentence.
    """

    domain: str
    row: str
    scaling_coef: float
    errors: int
    words: int
    recipe: Recipe | None = None
    sentences: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class RecipeScore:
    """One recipe over all folds: WER pooled over their words, and fold by fold."""

    recipe: Recipe
    errors: int
    words: int
    per_fold: Mapping[str, float]
    sentences: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def wer(self) -> float:
        return self.errors / self.words

    @property
    def simplicity(self) -> tuple[float, int, bool]:
        """Sorts the simplest first: no vector, the start of fewest trainings, no augmentation."""
        recipe = self.recipe
        return abs(recipe.scaling_coef), STARTS.index(recipe.start), recipe.augmentation

    @property
    def preference(self) -> tuple[float, tuple[float, int, bool]]:
        """Sorts the best first, of equal WERs the simpler recipe."""
        return self.wer, self.simplicity


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
        sentences={f"{s.domain}: {name}": counts for s in group for name, counts in s.sentences.items()},
    )


_STANDARD_ERROR = 0.6827
"""The confidence of an interval of one standard error to either side."""


def preferred(scores: Sequence[RecipeScore], bootstrap: Bootstrap) -> tuple[Recipe, ...]:
    """Recipes in the order in which they are to be taken, by the one-standard-error rule (Breiman et al., 1984).

    First those within one standard error of the best, the simplest of them first; then the others by WER. The error is
    that of the difference on the same sentences, by the paired bootstrap.

    Args:
        scores: best first, as `score_recipes` returns them.
    """
    near = [score for score in scores if _is_near(score, scores[0], bootstrap)]
    far = [score for score in scores if score not in near]
    return tuple(score.recipe for score in (*sorted(near, key=lambda score: score.simplicity), *far))


def _is_near(score: RecipeScore, best: RecipeScore, bootstrap: Bootstrap) -> bool:
    if score.errors == best.errors:
        return True
    names = sorted(best.sentences)
    if len(names) < 2:
        return False
    own, others = ([s.sentences[name][0] for name in names] for s in (score, best))
    words = [best.sentences[name][1] for name in names]
    one_error = replace(bootstrap, confidence=_STANDARD_ERROR)
    return paired_difference(own, others, words, names, **asdict(one_error)).low <= 0


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
        _fold_score(scope, row, coef, e)
        for (scope, row), curve in zip(owners, score_curves(config, curves, execute), strict=True)
        for coef, e in curve.items()
    ]
    return scores, tuple((c.checkpoint, c.vector, c.manifest) for c in curves)


def _fold_score(scope: Scope, row: str, coef: float, scored: Evaluation) -> FoldScore:
    counts: dict[str, tuple[int, int]] = {}
    for u in scored.utterances:
        errors, words = counts.get(u.sentence, (0, 0))
        counts[u.sentence] = errors + u.word_counts.errors, words + u.word_counts.words
    total, recipe = scored.word_counts, _recipe(scope, row, coef)
    return FoldScore(scope.fold, row, coef, total.errors, total.words, recipe, counts)


def _recipe(scope: Scope, row: str, coef: float) -> Recipe | None:
    for start, augmentation in scope.targets:
        if row == target_row(start, augmentation):
            return Recipe(start=start, augmentation=augmentation, scaling_coef=coef)
    return None
