"""The rule of reset on planted indices: quiet where nothing changes, quick where something does."""

import random

import pytest

from asr_tv.decoding.test_time.drift import DriftRule, DriftState, advance, measures

RULE = DriftRule()


def resets(indices: list[float], rule: DriftRule = RULE) -> list[int]:
    """After how many recordings the rule asked for a reset."""
    state, found = DriftState(), []
    for number, index in enumerate(indices, 1):
        state, event = advance(rule, state, index if measures(rule, state) else None)
        found += [number] if event == "reset" else []
    return found


def drawn(seed: int, count: int, shift: float = 0.0, after: int = 0) -> list[float]:
    rng = random.Random(seed)
    return [rng.gauss(shift if number >= after else 0.0, 1.0) for number in range(count)]


def test_most_stationary_streams_are_never_reset() -> None:
    quiet = sum(not resets(drawn(seed, 1000)) for seed in range(100))
    assert quiet >= 70


def test_a_shift_of_three_deviations_is_caught_within_two_buffers() -> None:
    caught = sum(bool(resets(drawn(seed, 160, 3.0, after=150))[:1]) for seed in range(100))
    assert caught >= 90


def test_the_window_is_kept_then_measured_then_fitted() -> None:
    state, events, asked = DriftState(), [], []
    for number in range(1, 101):
        asked += [number] if measures(RULE, state) else []
        state, event = advance(RULE, state, 1.0 if measures(RULE, state) else None)
        events += [(number, event)] if event != "none" else []
        if number == 99:
            assert len(state.indices) == 49
    assert events == [(50, "keep")]
    assert asked == list(range(51, 101))
    assert (state.mean, state.deviation) == (1.0, 0.0)


def test_without_any_spread_nothing_is_checked() -> None:
    assert resets([1.0] * 100 + [99.0] * 50) == []


@pytest.mark.parametrize(("patience", "at"), [(1, 105), (2, 110), (3, 115)])
def test_patience_counts_full_buffers_in_a_row(patience: int, at: int) -> None:
    calm = [(-1.0) ** n for n in range(100)]
    assert resets([*calm, *[9.0] * 15], DriftRule(patience=patience)) == [at]
    assert resets([*calm, *[9.0] * 5, *[-9.0] * 5, *[9.0] * 5], DriftRule(patience=2)) == []


def test_after_a_reset_the_window_begins_anew() -> None:
    calm = [(-1.0) ** n for n in range(100)]
    assert resets([*calm, *[9.0] * 10, *calm, *[99.0] * 10]) == [110, 220]
