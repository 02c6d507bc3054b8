"""The recipe is the one with the fewest errors over all folds, pooled by words."""

import pytest

from asr_tv.config.run import Recipe
from asr_tv.errors import DataError
from asr_tv.pipeline.selection import FoldScore, RecipeScore, best_coefs, preferred, score_recipes
from asr_tv.scoring.bootstrap import Bootstrap


def fold(domain: str, coef: float, errors: int, words: int = 100, augmentation: bool = False) -> FoldScore:
    recipe = Recipe(start="pretrained", augmentation=augmentation, scaling_coef=coef)
    return FoldScore(domain, "target_synthetic", coef, errors, words, recipe)


def test_pooled_by_words_not_by_folds() -> None:
    scores = [fold("a", 0.0, 10, 100), fold("b", 0.0, 1, 2), fold("a", 0.5, 13, 100), fold("b", 0.5, 0, 2)]
    best, other = score_recipes(scores)
    assert best.recipe == Recipe(start="pretrained", augmentation=False, scaling_coef=0.0)
    assert best.wer == pytest.approx(11 / 102)
    assert other.per_fold == {"a": 0.13, "b": 0.0}


def test_equal_scores_take_the_smaller_coefficient_then_no_augmentation() -> None:
    scores = [fold("a", 0.4, 5), fold("a", 0.2, 5, augmentation=True), fold("a", 0.2, 5)]
    assert score_recipes(scores)[0].recipe == Recipe(start="pretrained", augmentation=False, scaling_coef=0.2)


def test_recipes_scored_on_different_folds_are_refused() -> None:
    with pytest.raises(DataError, match="same folds"):
        score_recipes([fold("a", 0.0, 1), fold("b", 0.0, 1), fold("a", 0.5, 1)])


def test_a_fold_without_words_is_refused() -> None:
    with pytest.raises(DataError, match="no words"):
        score_recipes([fold("a", 0.0, 0, words=0)])


def test_a_row_s_coefficient_has_the_fewest_errors_over_all_folds_and_is_small() -> None:
    mixed = [FoldScore(d, "source_mixed", coef, n, 100) for d, coef, n in (("a", 0.5, 4), ("b", 0.5, 4), ("a", 1.0, 1))]
    scores = [fold("a", 0.0, 9), fold("b", 0.0, 1), fold("a", 0.5, 5), fold("b", 0.5, 5), *mixed]
    scores.append(FoldScore("b", "source_mixed", 1.0, 6, 100))
    assert best_coefs(scores) == {"target_synthetic": 0.0, "source_mixed": 1.0}
    assert {score.recipe.start for score in score_recipes(scores)} == {"pretrained"}


class TestOneStandardErrorRule:
    """The simplest recipe within one standard error of the best is taken first."""

    @staticmethod
    def score(coef: float, errors: list[int]) -> RecipeScore:
        recipe = Recipe(start="pretrained", augmentation=False, scaling_coef=coef)
        by_sentence = {f"s{n}": (e, 10) for n, e in enumerate(errors)}
        return RecipeScore(recipe, sum(errors), 10 * len(errors), {"a": 0.0}, by_sentence)

    def order(self, *scores: RecipeScore) -> list[float]:
        return [r.scaling_coef for r in preferred(scores, Bootstrap(2000, 0.95, seed=1))]

    def test_a_lead_of_chance_goes_to_the_simpler_recipe(self) -> None:
        best = self.score(1.0, [1, 0] * 20)
        simple = self.score(0.0, [0, 1] * 19 + [1, 1])
        assert self.order(best, simple) == [0.0, 1.0]

    def test_a_lead_on_every_sentence_is_kept(self) -> None:
        best = self.score(1.0, [1] * 40)
        assert self.order(best, self.score(0.4, [2] * 40), self.score(0.0, [3] * 40)) == [1.0, 0.4, 0.0]

    def test_without_sentences_the_best_stays_the_best(self) -> None:
        recipe = Recipe(start="pretrained", augmentation=False, scaling_coef=0.0)
        assert self.order(self.score(0.5, [1]), RecipeScore(recipe, 2, 10, {})) == [0.5, 0.0]
