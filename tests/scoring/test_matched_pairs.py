from math import erfc, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_tv.scoring.matched_pairs import error_slots, matched_pairs, segment_differences
from asr_tv.scoring.wer import count_words

sentences = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f"]), max_size=14).map(" ".join)


def test_slots_are_before_at_and_between_the_words():
    assert error_slots("a b c", "x a c") == [1, 0, 0, 1, 0, 0, 0]
    assert error_slots("a b", "a b c d") == [0, 0, 0, 0, 2]
    assert error_slots("", "x") == [1]
    assert error_slots("a b", "a b") == [0] * 5


@given(sentences, sentences)
def test_slots_hold_every_error(reference, hypothesis):
    slots = error_slots(reference, hypothesis)
    assert sum(slots) == count_words(reference, hypothesis).errors
    assert len(slots) == 2 * len(reference.split()) + 1


@pytest.mark.parametrize(
    ("reference", "a", "b", "expected"),
    [
        ("a b c d e f", "a b c d e f", "a b c d e f", []),
        ("a b c d e f", "x b c d e f", "a b c d e y", [1, -1]),  # four right words apart
        ("a b c d", "x b c y", "a b c d", [1, 1]),  # two right words part them
        ("a b c", "x b y", "a b c", [2]),  # one does not
        ("a b c d", "x b c d", "a b c y", [1, -1]),
        ("a b c d e f", "x b z d e f", "a b c d e y", [2, -1]),
        ("a b c d e", "x b c d e", "a z c d y", [0, -1]),  # what one gets right the other must too
        ("a b", "a q b", "a b q r", [-1]),  # an insertion is in the gap between words
    ],
)
def test_segments_are_parted_by_two_words_that_both_get_right(reference, a, b, expected):
    assert segment_differences(error_slots(reference, a), error_slots(reference, b)) == expected


@given(sentences, sentences, sentences)
def test_segments_hold_every_difference(reference, a, b):
    left, right = error_slots(reference, a), error_slots(reference, b)
    assert sum(segment_differences(left, right)) == sum(left) - sum(right)
    assert segment_differences(right, left) == [-d for d in segment_differences(left, right)]


def test_the_known_statistic():
    differences = [1, 0, 2, -1, 1, 1, 0, 3]
    result = matched_pairs(differences)
    z = np.mean(differences) / (np.std(differences, ddof=1) / sqrt(8))
    assert (result.segments, result.mean) == (8, 0.875)
    assert result.z == pytest.approx(z)
    assert result.p == pytest.approx(erfc(z / sqrt(2)))


def test_degenerate_segments():
    assert matched_pairs([]) == (0, 0.0, None, None)
    assert matched_pairs([3]) == (1, 3.0, None, None)
    assert matched_pairs([0, 0, 0])[2:] == (None, 1.0)
    assert matched_pairs([1, 1, 1])[2:] == (None, 0.0)


def test_equal_systems_are_told_apart_in_5_percent_of_samples():
    rng = np.random.default_rng(4)
    found = sum((matched_pairs(rng.integers(-2, 3, 60).tolist()).p or 1) < 0.05 for _ in range(1000))
    assert 0.03 <= found / 1000 <= 0.07
