"""Curves, regret and block intervals of planted errors."""

import pytest

from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.streaming.journal import Turn
from asr_tv.streaming.metrics import block_difference, score_stream
from asr_tv.streaming.turns import Answer, Judged, Nothing

BOOTSTRAP = Bootstrap(500, 0.95, 17)


def turns(errors: list[int]) -> list[Turn]:
    return [Turn(n, f"u{n}", Answer(""), e, 5, Judged(e == 0) if n % 2 else Nothing()) for n, e in enumerate(errors)]


def test_the_curve_and_the_regret_of_a_planted_agent() -> None:
    frozen, own = turns([1, 1, 1, 1]), turns([1, 2, 0, 0])
    score = score_stream(own, frozen, ["a", "b", "a", "c"], BOOTSTRAP)
    assert score.curve == (0.2, 0.3, 0.2, 0.15)
    assert score.regret == (0, 1, 0, -1)
    assert score.wer == 0.15
    assert score.last_quarter == -0.2
    assert score.first == pytest.approx(0.0)  # turns 0, 1, 3: 3 errors against 3
    assert score.repeated == pytest.approx(-0.2)  # turn 2
    assert score.right == 0.5
    assert score.difference is not None
    assert score.difference.high == float("inf")  # too few turns for two blocks


def test_blocks_keep_the_dependence_of_neighbours() -> None:
    """Errors that come in runs are less certain than the same errors spread out."""
    base, words = [0] * 200, [5] * 200
    runs = block_difference([1 if n // 20 % 2 else 0 for n in range(200)], base, words, BOOTSTRAP)
    spread = block_difference([n % 2 for n in range(200)], base, words, BOOTSTRAP)
    assert runs.difference == spread.difference == 0.1
    assert runs.high - runs.low > 5 * (spread.high - spread.low)


def test_equal_agents_do_not_differ() -> None:
    same = block_difference([1] * 50, [1] * 50, [5] * 50, BOOTSTRAP)
    assert (same.difference, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)


def test_other_turns_are_refused() -> None:
    with pytest.raises(ValueError, match="same turns"):
        score_stream(turns([1, 2]), turns([1]), ["a", "b"], BOOTSTRAP)
