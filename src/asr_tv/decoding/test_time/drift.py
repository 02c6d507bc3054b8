"""When slow weights have lost their use: the dynamic reset of DSUTA (arXiv 2406.11064), as values in and out.

The index of a recording is loss(weights at half the window) - loss(pretrained); it rises where the speech has changed.
"""

from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Literal, NamedTuple

Event = Literal["none", "keep", "reset"]
"""`keep`: the slow weights of now are those that the index measures; `reset`: back to the pretrained ones."""
_SMALLEST_DEVIATION = 1e-9


@dataclass(frozen=True)
class DriftRule:
    """Of `window` recordings the second half tells what index is usual; then every full buffer is compared."""

    window: int = 100
    buffer: int = 5
    patience: int = 2
    threshold: float = 2.0


@dataclass(frozen=True)
class DriftState:
    """Since the last reset: recordings heard, indices of the window, their mean and deviation, unusual buffers."""

    age: int = 0
    indices: tuple[float, ...] = ()
    mean: float = 0.0
    deviation: float = 0.0
    recent: tuple[float, ...] = ()
    failed: int = 0


class DriftStep(NamedTuple):
    """The state after a recording, and what follows from it."""

    state: DriftState
    event: Event


def measures(rule: DriftRule, state: DriftState) -> bool:
    """Whether the index of the next recording is asked for."""
    return state.age >= rule.window // 2


def advance(rule: DriftRule, state: DriftState, index: float | None) -> DriftStep:
    """One more recording.

    Args:
        index: of the recording, where `measures` asked for it.
    """
    age, half = state.age + 1, rule.window // 2
    state = replace(state, age=age)
    if age == half:
        return DriftStep(state, "keep")
    if index is None or age <= half:
        return DriftStep(state, "none")
    if age < rule.window:
        return DriftStep(replace(state, indices=(*state.indices, index)), "none")
    if age == rule.window:
        return DriftStep(_fitted(state), "none")
    return _compared(rule, replace(state, recent=(*state.recent, index)))


def _fitted(state: DriftState) -> DriftState:
    deviation = stdev(state.indices) if len(state.indices) > 1 else 0.0
    return replace(state, indices=(), mean=fmean(state.indices), deviation=deviation)


def _compared(rule: DriftRule, state: DriftState) -> DriftStep:
    if len(state.recent) < rule.buffer:
        return DriftStep(state, "none")
    mean = fmean(state.recent)
    state = replace(state, recent=())
    if state.deviation < _SMALLEST_DEVIATION:
        return DriftStep(state, "none")
    z = (mean - state.mean) / (state.deviation / rule.buffer**0.5)
    failed = state.failed + 1 if z > rule.threshold else 0
    return (
        DriftStep(DriftState(), "reset")
        if failed >= rule.patience
        else DriftStep(replace(state, failed=failed), "none")
    )
