"""Two sets of values compared: planted shifts, equal sets, sentences in pairs, and unknown sides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.gap import Gap, Value, compare_attribute, ks

HOW = Bootstrap(500, 0.95, 3)
some_floats = st.lists(st.floats(-100, 100), min_size=1, max_size=20)


def values(numbers: list[float], first: int = 0) -> list[Value]:
    return [Value(f"sentence {first + n}", number) for n, number in enumerate(numbers)]


def compared(real: list[Value], synthetic: list[Value]) -> Gap:
    return compare_attribute("level_dbfs", real, synthetic, (len(real), len(synthetic)), HOW)


@pytest.mark.parametrize("first", [0, 100])
def test_identical_sets_are_alike(first: int) -> None:
    numbers = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]
    gap = compared(values(numbers), values(numbers, first))
    assert (gap.ks, gap.probability, gap.differs) == (0, 0.5, False)
    assert gap.real == gap.synthetic
    assert gap.sentences == (None if first else 11)


def test_disjoint_sets_differ_wholly() -> None:
    gap = compared(values([5.0, 6.0, 7.0]), values([1.0, 2.0], first=50))
    assert (gap.ks, gap.probability, gap.differs) == (1, 1, True)
    assert gap.interval == (1, 1)
    assert gap.histogram is not None
    assert sum(gap.histogram.real) == pytest.approx(1)
    assert sum(gap.histogram.synthetic) == pytest.approx(1)


def test_pairs_of_one_sentence_show_what_the_spread_between_sentences_hides() -> None:
    base = list(np.linspace(0, 100, 30))
    gap = compared(values([b + 1 for b in base]), values(base))
    assert gap.probability == 1
    assert gap.sentences == 30
    apart = compared(values([b + 1 for b in base]), values(base, first=500))
    assert apart.probability == pytest.approx(0.53, abs=0.05)


def test_nothing_known_of_a_side_is_nothing_known_of_the_gap() -> None:
    gap = compare_attribute("snr_db", [], values([1.0]), (5, 1), HOW)
    assert gap.known == (0, 1)
    assert (gap.real, gap.ks, gap.probability, gap.interval, gap.histogram, gap.differs) == (*[None] * 5, False)
    assert gap.synthetic == (1, 1, 1)


def test_a_planted_shift_is_covered_by_its_interval() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(40):
        gap = compared(values(list(rng.normal(1, 1, 40))), values(list(rng.normal(0, 1, 40)), first=100))
        assert gap.interval is not None
        covered += gap.interval.low <= 0.7602 <= gap.interval.high  # Phi(1 / sqrt 2)
    assert covered >= 34


@given(some_floats, some_floats)
def test_ks_is_a_distance_between_zero_and_one(a: list[float], b: list[float]) -> None:
    one, other = np.array(a), np.array(b)
    assert 0 <= ks(one, other) <= 1
    assert ks(one, other) == ks(other, one)
    assert ks(one, one) == 0
