from itertools import product
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_tv.scoring.bootstrap import (
    Bootstrap,
    Difference,
    Group,
    Interval,
    ResampledSums,
    interval,
    mean_difference,
    paired_difference,
)

HOW = {"resamples": 500, "confidence": 0.95, "seed": 3}


def population(rng, clusters):
    """Sentences of 3 to 10 words, each spoken one to three times, some sentences much harder than others."""
    takes = rng.integers(1, 4, clusters)
    length = np.repeat(rng.integers(3, 11, clusters), takes)
    difficulty = np.repeat(rng.beta(1, 4, clusters), takes)
    names = np.repeat([f"s{i}" for i in range(clusters)], takes)
    return rng.binomial(length, difficulty), length, names.tolist()


def test_a_95_percent_interval_covers_the_truth_in_95_percent_of_samples():
    rng, truth, trials = np.random.default_rng(11), 0.2, 1000  # 0.2 is the mean of beta(1, 4)
    covered = 0
    for trial in range(trials):
        errors, words, clusters = population(rng, 150)
        low, high = interval(errors, words, clusters, resamples=400, confidence=0.95, seed=trial)
        covered += low <= truth <= high
    assert 0.93 <= covered / trials <= 0.97


def test_a_95_percent_interval_of_a_difference_covers_the_truth_in_95_percent_of_samples():
    rng, trials = np.random.default_rng(12), 1000
    covered = 0
    for trial in range(trials):
        errors, words, clusters = population(rng, 100)
        mended = rng.binomial(errors, 0.25)  # b makes three quarters of a's errors: 0.05 less than 0.2
        low, high = paired_difference(
            errors - mended, errors, words, clusters, resamples=400, confidence=0.95, seed=trial
        )[1:3]
        covered += low <= -0.05 <= high
    assert 0.93 <= covered / trials <= 0.97


def test_takes_of_one_sentence_are_not_independent():
    errors, words, clusters = [4, 0, 1, 3, 0] * 6, [5] * 30, [f"s{i}" for i in range(30)]
    single = interval(errors, words, clusters, **HOW)
    repeated = interval(errors * 4, words * 4, clusters * 4, **HOW)
    naive = interval(errors * 4, words * 4, [f"s{i}" for i in range(120)], **HOW)
    assert repeated == single
    assert naive.high - naive.low < 0.7 * (single.high - single.low)


def test_small_case_equals_full_enumeration():
    errors, words = np.array([0, 1, 5]), np.array([4, 6, 5])
    draws = [list(draw) for draw in product(range(3), repeat=3)]
    exact = sorted(errors[d].sum() / words[d].sum() for d in draws)
    low, high = interval(errors, words, ["a", "b", "c"], resamples=20000, confidence=0.8, seed=1)
    assert (low, high) == pytest.approx((exact[2], exact[24]))  # the 10 % and 90 % of 27 equally likely draws


def test_identical_systems_do_not_differ():
    errors, words, clusters = population(np.random.default_rng(0), 30)
    assert paired_difference(errors, errors, words, clusters, **HOW) == Difference(0.0, 0.0, 0.0, 1.0)


def test_a_large_difference_is_found_and_p_is_never_zero():
    result = paired_difference([1] * 40, [4] * 40, [10] * 40, [str(i) for i in range(40)], **HOW)
    assert result.difference == pytest.approx(-0.3)
    assert result.high < 0
    assert result.p == pytest.approx(2 / 501)


def test_pairing_sees_what_two_intervals_do_not():
    rng = np.random.default_rng(5)
    errors, words, clusters = population(rng, 60)
    more, words = errors + (np.arange(len(words)) % 6 == 0), words + 1
    a, b = interval(errors, words, clusters, **HOW), interval(more, words, clusters, **HOW)
    assert a.high > b.low  # the two overlap
    assert paired_difference(errors, more, words, clusters, **HOW).high < 0


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_p_agrees_with_the_interval(seed):
    rng = np.random.default_rng(seed)
    a, words, clusters = population(rng, 25)
    b = np.minimum(words, a + rng.integers(-1, 3, len(words))).clip(0)
    result = paired_difference(a, b, words, clusters, **HOW)
    excludes = result.low > 0 or result.high < 0
    if abs(result.p - 0.05) > 0.01:
        assert excludes == (result.p < 0.05)
    swapped = paired_difference(b, a, words, clusters, **HOW)
    assert swapped.difference == -result.difference
    assert swapped.p == result.p


def test_order_of_utterances_does_not_matter():
    errors, words, clusters = population(np.random.default_rng(2), 20)
    order = np.random.default_rng(3).permutation(len(words))
    shuffled = interval(errors[order], words[order], [clusters[i] for i in order], **HOW)
    assert shuffled == interval(errors, words, clusters, **HOW)


def test_degenerate_sets():
    assert interval([0, 0], [3, 4], ["a", "b"], **HOW) == Interval(0.0, 0.0)
    assert interval([1, 2], [3, 4], ["a", "a"], **HOW) == Interval(0.0, inf)
    assert interval([], [], [], **HOW) == Interval(0.0, inf)
    assert paired_difference([1], [2], [4], ["a"], **HOW) == Difference(-0.25, -inf, inf, 1.0)
    assert paired_difference([1, 1], [1, 1], [0, 0], ["", "x"], **HOW) == Difference(0.0, -inf, inf, 1.0)


def test_a_draw_of_empty_references_alone_spoils_nothing():
    result = interval([2, 1, 1], [0, 5, 5], ["", "a", "b"], **HOW)
    assert 0.2 <= result.low < result.high


def test_blocks_do_not_change_the_result(monkeypatch):
    errors, words, clusters = population(np.random.default_rng(4), 20)
    whole = interval(errors, words, clusters, **HOW)
    monkeypatch.setattr("asr_tv.scoring.bootstrap._BLOCK", 70)
    assert interval(errors, words, clusters, **HOW) == whole


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="lengths differ"):
        interval([1], [2, 3], ["a", "b"], **HOW)


def test_one_draw_serves_all_columns():
    rng = np.random.default_rng(5)
    a, words, clusters = population(rng, 25)
    b = rng.binomial(words, 0.3)
    sums = ResampledSums(clusters, {"a": a, "b": b, "words": words}, Bootstrap(**HOW))
    assert sums.interval("a", "words") == interval(a, words, clusters, **HOW)
    assert sums.interval("b", "words") == interval(b, words, clusters, **HOW)
    assert sums.difference("b", "a", "words") == paired_difference(b, a, words, clusters, **HOW)


class TestMeanOverGroups:
    def test_every_group_counts_alike(self) -> None:
        small = Group([1, 0], [0, 0], [2, 2], ["a", "b"])  # 25 % and 0 %
        large = Group([30, 30], [20, 20], [100, 100], ["a", "b"])  # 30 % and 20 %
        found = mean_difference([small, large], resamples=200, confidence=0.95, seed=1)
        assert found.difference == pytest.approx((0.25 + 0.10) / 2)
        assert found.low <= found.difference <= found.high

    def test_one_group_is_the_paired_difference(self) -> None:
        a, b, words, clusters = [3, 1, 0, 2], [1, 1, 2, 2], [5, 5, 5, 5], ["w", "x", "y", "z"]
        options = {"resamples": 500, "confidence": 0.9, "seed": 4}
        assert mean_difference([Group(a, b, words, clusters)], **options) == paired_difference(  # type: ignore[arg-type]
            a,
            b,
            words,
            clusters,
            **options,  # type: ignore[arg-type]
        )

    def test_against_zeros_it_is_the_mean_rate(self) -> None:
        found = mean_difference([Group([1, 1], [0, 0], [4, 4], ["a", "b"])], resamples=100, confidence=0.95, seed=1)
        assert found[:3] == (0.25, 0.25, 0.25)

    def test_a_group_of_one_sentence_leaves_nothing_known(self) -> None:
        groups = [Group([1, 1], [0, 0], [4, 4], ["a", "b"]), Group([1], [0], [4], ["a"])]
        found = mean_difference(groups, resamples=100, confidence=0.95, seed=1)
        assert (found.low, found.high, found.p) == (-inf, inf, 1.0)
        with pytest.raises(ValueError, match="no groups"):
            mean_difference([], resamples=100, confidence=0.95, seed=1)
