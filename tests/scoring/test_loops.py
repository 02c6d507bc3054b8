import zlib

import pytest

from asr_tv.scoring.loops import compression_ratio, looped, most_repeated


def test_the_ratio_is_whisper_s():
    text = "press one for sales " * 3
    assert compression_ratio(text) == len(text.encode()) / len(zlib.compress(text.encode()))
    assert compression_ratio("") == 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("a b c", 0), ("a b c d", 1), ("a a a a a", 2), ("go on and on " * 6, 6)],
)
def test_repeats_of_four_words(text, expected):
    assert most_repeated(text) == expected


def test_the_bounds_are_exclusive():
    short = "qx jv wz ph "  # four rare words compress badly
    assert most_repeated(short * 5) == 5
    assert most_repeated(short * 6) == 6
    assert looped(short * 6)
    assert not looped("press one for sales, or two for support")
    assert not looped("")


def test_a_short_loop_of_one_word_is_seen_by_compression():
    assert looped("yes " * 40)
    assert compression_ratio("yes " * 40) > 2.4
