from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from asr_tv.audio.silences import cut_at_silences

RATE = 8000


def noise(*parts: tuple[float, float], seed: int = 0) -> NDArray[np.float32]:
    """Seconds and loudness of each part in turn."""
    rng = np.random.default_rng(seed)
    waves = [rng.standard_normal(round(seconds * RATE)) * level for seconds, level in parts]
    return np.concatenate(waves).astype(np.float32)


def test_what_fits_is_one_piece_even_when_silent() -> None:
    assert cut_at_silences(noise((10.0, 0.1)), RATE, 10.0) == [(0.0, 10.0)]
    assert cut_at_silences(noise((5.0, 0.0)), RATE, 10.0) == [(0.0, 5.0)]


def test_planted_pauses_are_where_it_cuts() -> None:
    wave = noise((7.0, 0.1), (0.6, 0.003), (6.0, 0.1), (0.6, 0.003), (8.0, 0.1))
    first, second, third = cut_at_silences(wave, RATE, 10.0)
    assert first.start == 0.0
    assert first.end == second.start
    assert 7.1 < first.end < 7.5
    assert second.end == third.start
    assert 13.7 < second.end < 14.1
    assert third.end == pytest.approx(22.2)


def test_at_each_pause_the_pieces_are_the_planted_sentences() -> None:
    """Sentences over the noise of a line, pauses of half a second; a shorter stop is none, nor is the end."""
    sentences, parts = (2.0, 3.5, 1.5, 6.0), []
    for seconds in sentences:
        parts += [(seconds / 2, 0.1), (0.1, 0.01), (seconds / 2, 0.1), (0.5, 0.01)]
    spans = cut_at_silences(noise(*parts), RATE, 10.0, at_each_pause=True)
    ends = np.cumsum([seconds + 0.6 for seconds in sentences]) - 0.25
    assert [span.end for span in spans[:-1]] == pytest.approx(ends[:-1], abs=0.1)
    assert len(spans) == len(sentences)


def test_without_a_pause_it_is_cut_by_length() -> None:
    wave = noise((25.0, 0.1))
    assert cut_at_silences(wave, RATE, 10.0, at_each_pause=True) == cut_at_silences(wave, RATE, 10.0)


def test_a_silent_piece_is_left_out() -> None:
    spans = cut_at_silences(noise((9.0, 0.1), (25.0, 0.0), (9.0, 0.1)), RATE, 10.0)
    assert all(span.start < 9.0 or span.end > 34.0 for span in spans)
    assert spans[0].start == 0.0
    assert spans[-1].end == 43.0


def test_too_short_pieces_are_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        cut_at_silences(noise((5.0, 0.1)), RATE, 1.0)


@given(
    st.lists(st.tuples(st.floats(0.1, 15.0), st.sampled_from([0.1, 0.01])), min_size=1, max_size=5),
    st.floats(2.0, 10.0),
    st.booleans(),
)
@settings(max_examples=40)
def test_pieces_cover_all_that_is_heard_and_none_is_too_long(
    parts: list[tuple[float, float]], longest: float, at_each_pause: bool
) -> None:
    wave = noise(*parts)
    spans = cut_at_silences(wave, RATE, longest, at_each_pause=at_each_pause)
    assert spans[0].start == 0.0
    assert spans[-1].end == len(wave) / RATE
    assert all(a.end == b.start for a, b in pairwise(spans))
    assert all(0 < end - start <= longest for start, end in spans)
