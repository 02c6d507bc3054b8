"""Merges task vectors: mean and sum (2212.04089), TIES (2306.01708), DARE (2311.03099), DARE then TIES.

Vectors are read in flat pieces, as often as the method needs, summed in fp64 and rounded once.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from asr_tv.errors import ConfigError, gathered
from asr_tv.vectors.sparsify import Streamed, dropped, require_drop, require_keep, streamed, trimmed
from asr_tv.vectors.task_vector import (
    Named,
    State,
    chunks,
    name_of,
    require_alike,
    require_coefficients,
    require_finite,
)

_TAKES: Mapping[str, tuple[str, ...]] = {
    "mean": (),
    "sum": ("coefficients",),
    "ties": ("keep",),
    "dare": ("coefficients", "drop", "seed"),
    "dare-ties": ("keep", "drop", "seed"),
}
_DEFAULTS: Mapping[str, Any] = {"coefficients": None, "keep": 0.2, "drop": 0.9, "seed": 17}
_CHECKS: Mapping[str, Callable[[Any], None]] = {
    "keep": require_keep,
    "drop": require_drop,
    "coefficients": require_coefficients,
}
METHODS = tuple(_TAKES)
_MERGED = "the merged vector"


@dataclass(frozen=True)
class Merge:
    """A merging method and its parameters; None stands for the method's default.

    Attributes:
        method: one of `METHODS`.
        coefficients: for sum and DARE, one per vector, in their order; sum defaults to ones, DARE to the mean.
        keep: for TIES, the share of entries kept in each vector, 0 < keep <= 1; default 0.2.
        drop: for DARE, the probability of dropping an entry, 0 <= drop < 1; default 0.9.
        seed: for DARE; default 17.

    Raises:
        ConfigError: an unknown method, a number out of range, or one that the method does not take.
    """

    method: str
    coefficients: tuple[float, ...] | None = None
    keep: float | None = None
    drop: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.method not in _TAKES:
            raise ConfigError(f"method {self.method!r}: must be one of {', '.join(METHODS)}")
        foreign = [name for name in _DEFAULTS if name not in _TAKES[self.method] and getattr(self, name) is not None]
        if foreign:
            raise ConfigError(f"method {self.method}: takes no {name}" for name in foreign)
        given = self.parameters
        gathered(*(partial(check, given[name]) for name, check in _CHECKS.items() if given.get(name) is not None))

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the method by name, with defaults filled in."""
        given = {name: getattr(self, name) for name in _TAKES[self.method]}
        return {name: _DEFAULTS[name] if value is None else value for name, value in given.items()}


def merged(vectors: Sequence[State], merge: Merge) -> Named:
    """The vectors merged by the method of `merge`; their order matters only for coefficients.

    Raises:
        ConfigError: no vectors, or not one coefficient per vector.
        DataError: vectors of different names or shapes; NaN or infinity.
    """
    return _FUNCTIONS[merge.method](vectors, **merge.parameters)


def combined(vectors: Sequence[State], coefficients: Sequence[float] | None = None) -> Named:
    """Σ coefficient · vector, by default their sum, rounded once to fp32, so that the order does not matter.

    Raises:
        ConfigError: no vectors, or not one finite coefficient per vector.
        DataError: vectors of different names or shapes; NaN or infinity.
    """
    return _weighted(_as_streams(vectors), coefficients, 1, "the combination")


def mean(vectors: Sequence[State]) -> Named:
    """The mean of vectors, exactly that vector if they are equal; raises as `combined`."""
    return _weighted(_as_streams(vectors), None, len(vectors), "the combination")


def ties(vectors: Sequence[State], keep: float) -> Named:
    """TIES (Yadav et al., 2306.01708): trim, elect a sign per entry, average the entries that agree with it.

    1. trim: keep the `keep` share of largest magnitude over all tensors of each vector, see `trimmed`;
    2. elect: γ = sign(Σ_i τ̂_i), or where the sum is zero, the sign of the sum of all elected signs;
    3. merge: the mean of the non-zero τ̂_i whose sign is γ; zero where there is none.

    The paper's code keeps int(k·d) + 1 entries and treats a majority of zero as negative; here exactly the top k are
    kept, and without a majority such an entry is zero. The scaling coefficient is applied with the result.

    Raises:
        ConfigError: no vectors, or `keep` outside 0 < keep <= 1.
        DataError: vectors of different names or shapes; NaN or infinity.
    """
    return _elect_signs([trimmed(vector, keep) for vector in _as_streams(vectors)])


def dare(vectors: Sequence[State], drop: float, seed: int, coefficients: Sequence[float] | None = None) -> Named:
    """DARE (Yu et al., 2311.03099) on each vector, see `dropped`, then Σ coefficient · δ̂, by default their mean.

    Raises:
        ConfigError: no vectors, `drop` outside 0 <= drop < 1, or not one finite coefficient per vector.
        DataError: vectors of different names or shapes; NaN or infinity.
    """
    sparse = [dropped(vector, drop, seed) for vector in _as_streams(vectors)]
    return _weighted(sparse, coefficients, len(vectors) if coefficients is None else 1)


def dare_ties(vectors: Sequence[State], keep: float, drop: float, seed: int) -> Named:
    """DARE on each vector, then TIES on the results (2311.03099), see `dropped` and `ties`.

    `keep` is a share of all entries: where fewer than that survive dropping, TIES trims no more.

    Raises:
        ConfigError: no vectors, or a share outside its range.
        DataError: vectors of different names or shapes; NaN or infinity.
    """
    return _elect_signs([trimmed(dropped(vector, drop, seed), keep) for vector in _as_streams(vectors)])


_FUNCTIONS: Mapping[str, Callable[..., Named]] = {
    "mean": mean,
    "sum": combined,
    "ties": ties,
    "dare": dare,
    "dare-ties": dare_ties,
}


def _as_streams(vectors: Sequence[State]) -> list[Streamed]:
    if not vectors:
        raise ConfigError("there are no vectors to merge")
    return [streamed(v, name_of(v, f"vector {number}")) for number, v in enumerate(require_alike(vectors), start=1)]


def _weighted(
    vectors: Sequence[Streamed], coefficients: Sequence[float] | None, divisor: int, called: str = _MERGED
) -> Named:
    weights = [1.0] * len(vectors) if coefficients is None else coefficients
    require_coefficients(weights)
    if len(weights) != len(vectors):
        raise ConfigError(f"{len(vectors)} vectors need as many coefficients, got {len(weights)}")
    column = torch.tensor(weights, dtype=torch.float64).unsqueeze(1)
    return _fold(vectors, lambda stack: (column * stack).sum(0) / divisor, called)


def _elect_signs(vectors: Sequence[Streamed]) -> Named:
    signs = (float(torch.sign(stack.sum(0)).sum()) for name in vectors[0] for stack in _stacks(vectors, name))
    total = math.fsum(signs)
    majority = float(total > 0) - float(total < 0)

    def fold(stack: Tensor) -> Tensor:
        sign = torch.sign(stack.sum(0))
        sign = torch.where(sign == 0, majority, sign)
        agreeing = (torch.sign(stack) == sign) & (stack != 0)
        return torch.where(agreeing, stack, 0.0).sum(0) / agreeing.sum(0).clamp(min=1)

    return _fold(vectors, fold)


def _fold(vectors: Sequence[Streamed], fold: Callable[[Tensor], Tensor], called: str = _MERGED) -> Named:
    """Each tensor from `fold`, which maps stacked entries (vectors, n) to entries (n,) in fp64, rounded to fp32."""
    for name in vectors[0]:
        total = torch.empty(vectors[0].shapes[name])
        for (into,), stack in zip(chunks(total), _stacks(vectors, name), strict=True):
            into.copy_(fold(stack))
        yield name, require_finite(name, total, called)


def _stacks(vectors: Sequence[Streamed], name: str) -> Iterator[Tensor]:
    for parts in zip(*(vector.pieces(name) for vector in vectors), strict=True):
        yield torch.stack(parts).double()
