"""Merging task vectors: mean and sum (2212.04089), TIES (2306.01708), DARE (2311.03099), DARE then TIES.

All of it streams: vectors are read tensor by tensor in flat pieces of fp32, as often as the method needs, and summed
in fp64; no vector is held as a whole.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from asr_tv.errors import ConfigError
from asr_tv.task_vector import Named, State, chunks, combined, floating_names, mean, require_alike, require_finite

_TAKES: Mapping[str, tuple[str, ...]] = {
    "mean": (),
    "sum": ("coefficients",),
    "ties": ("keep",),
    "dare": ("coefficients", "drop", "seed"),
    "dare-ties": ("keep", "drop", "seed"),
}
_DEFAULTS: Mapping[str, Any] = {"coefficients": None, "keep": 0.2, "drop": 0.9, "seed": 17}
METHODS = tuple(_TAKES)

_HIGH_BINS, _LOW_BINS = 1 << 15, 1 << 16


@dataclass(frozen=True)
class Merge:
    """How vectors become one; what is None takes the default of its method.

    Attributes:
        method: one of `METHODS`.
        coefficients: for sum and dare, one a vector, in their order; sum defaults to ones, dare to the mean.
        keep: for TIES, the share of entries kept of each vector, 0 < keep <= 1; default 0.2.
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
        problems = [f"method {self.method}: takes no {name}" for name in foreign]
        if problems := problems + _out_of_range(self.keep, self.drop, self.coefficients):
            raise ConfigError(problems)

    @property
    def parameters(self) -> dict[str, Any]:
        """What the method takes, by name, with the defaults filled in."""
        given = {name: getattr(self, name) for name in _TAKES[self.method]}
        return {name: _DEFAULTS[name] if value is None else value for name, value in given.items()}


def merged(vectors: Sequence[State], merge: Merge) -> Named:
    """The vectors merged by the method of `merge`; the order of the vectors matters only to coefficients.

    Raises:
        ConfigError: no vectors, or not one coefficient for each.
        DataError: vectors of different names or shapes; NaN or infinity.
    """
    if not vectors:
        raise ConfigError("there are no vectors to merge")
    return _FUNCTIONS[merge.method](vectors, **merge.parameters)


def _sum(vectors: Sequence[State], coefficients: Sequence[float] | None) -> Named:
    return combined(vectors, [1.0] * len(vectors) if coefficients is None else coefficients)


def ties(vectors: Sequence[State], keep: float) -> Named:
    """TIES (Yadav et al., 2306.01708): trim, elect a sign an entry, average what agrees with it.

    1. trim: of each vector the `keep` share of largest magnitude over all tensors together stays, see `trimmed`;
    2. elect: γ = sign(Σ_i τ̂_i), and where the sum is zero the sign of the sum of all elected signs;
    3. merge: the mean of the non-zero τ̂_i whose sign is γ; zero where there is none.

    The paper's code keeps int(k·d) + 1 entries and takes a majority of zero for negative; here exactly the top k stay,
    and without a majority such an entry is zero. A scaling coefficient belongs to applying the result.

    Raises:
        ConfigError: no vectors, or `keep` outside 0 < keep <= 1.
        DataError: vectors of different names or shapes; NaN or infinity.
    """
    return _elected([trimmed(vector, keep) for vector in require_alike(vectors)])


def dare(vectors: Sequence[State], drop: float, seed: int, coefficients: Sequence[float] | None = None) -> Named:
    """DARE (Yu et al., 2311.03099) on each vector, see `dropped`, then Σ coefficient · δ̂, by default their mean.

    Raises:
        ConfigError: no vectors, `drop` outside 0 <= drop < 1, or not one finite coefficient for each.
        DataError: vectors of different names or shapes; NaN or infinity.
    """
    weights, divisor = ([1.0] * len(vectors), len(vectors)) if coefficients is None else (coefficients, 1)
    if not vectors or len(weights) != len(vectors) or not all(map(math.isfinite, weights)):
        raise ConfigError(f"{len(vectors)} vectors need as many finite coefficients, got {list(weights)}")
    column = torch.tensor(weights, dtype=torch.float64).unsqueeze(1)
    sparse = [dropped(vector, drop, seed) for vector in require_alike(vectors)]
    return _folded(sparse, lambda stack: (column * stack).sum(0) / divisor)


def dare_ties(vectors: Sequence[State], keep: float, drop: float, seed: int) -> Named:
    """DARE on each vector, then TIES on the results, as 2311.03099 combines the two; see `dropped` and `ties`.

    `keep` counts of all entries: where fewer than that survive the dropping, TIES trims nothing more.

    Raises:
        ConfigError: no vectors, or a share outside its range.
        DataError: vectors of different names or shapes; NaN or infinity.
    """
    return _elected([trimmed(dropped(vector, drop, seed), keep) for vector in require_alike(vectors)])


_FUNCTIONS: Mapping[str, Callable[..., Named]] = {
    "mean": mean,
    "sum": _sum,
    "ties": ties,
    "dare": dare,
    "dare-ties": dare_ties,
}


class Streamed(Mapping[str, Tensor]):
    """The floating tensors of a vector, in fp32, as flat pieces; subclasses change the pieces on the way."""

    def __init__(self, source: State) -> None:
        self._source = source
        self._shapes = {name: source[name].shape for name in floating_names(source)}

    def pieces(self, name: str) -> Iterator[Tensor]:
        """The tensor of this name in flat fp32 pieces, always cut alike.

        Raises:
            DataError: NaN or infinity.
        """
        for (piece,) in chunks(self._source[name]):
            yield require_finite(name, piece.float(), "a vector")

    def shape(self, name: str) -> torch.Size:
        """The tensor's shape, without computing the tensor."""
        return self._shapes[name]

    def __getitem__(self, name: str) -> Tensor:
        whole = torch.empty(self._shapes[name])
        for (into,), piece in zip(chunks(whole), self.pieces(name), strict=True):
            into.copy_(piece)
        return whole

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def trimmed(vector: State, keep: float) -> Streamed:
    """The `keep` share of entries of largest magnitude over all tensors together, zeros elsewhere.

    Exactly round(keep · size) entries stay, at least one. Of equal magnitudes at the edge the first in order of name
    and position stay. Found by counting the bit patterns of |τ|, which for fp32 are in the order of the numbers.

    Raises:
        ConfigError: `keep` outside 0 < keep <= 1.
        DataError: NaN or infinity.
    """
    if problems := _out_of_range(keep=keep):
        raise ConfigError(problems)
    source = vector if isinstance(vector, Streamed) else Streamed(vector)
    size = sum(source.shape(name).numel() for name in source)
    count = max(1, round(keep * size))
    return source if count >= size else _Trimmed(source, count)


class _Trimmed(Streamed):
    def __init__(self, source: Streamed, count: int) -> None:
        self._source, self._shapes = source, source._shapes
        self._edge, left = _edge_of(source, count)
        self._ties: dict[str, int] = {}
        # What lies on an edge of zero is zero, kept or not.
        for name in source if self._edge else ():
            on_edge = sum(int((_bits(piece) == self._edge).sum()) for piece in source.pieces(name))
            self._ties[name] = min(on_edge, left)
            left -= self._ties[name]

    def pieces(self, name: str) -> Iterator[Tensor]:
        left = self._ties.get(name, 0)
        for piece in self._source.pieces(name):
            bits = _bits(piece)
            kept = bits > self._edge
            tied = torch.nonzero(bits == self._edge)[:left]
            kept[tied] = True
            left -= len(tied)
            yield torch.where(kept, piece, 0.0)


def _edge_of(source: Streamed, count: int) -> tuple[int, int]:
    """The bits of the count-th largest magnitude, and how many entries of just that magnitude are among the count."""
    high = torch.zeros(_HIGH_BINS, dtype=torch.int64)
    for bits in _all_bits(source):
        high += torch.bincount(bits >> 16, minlength=_HIGH_BINS)
    top, count = _bin_of(high, count)
    low = torch.zeros(_LOW_BINS, dtype=torch.int64)
    for bits in _all_bits(source):
        low += torch.bincount(bits[bits >> 16 == top] & 0xFFFF, minlength=_LOW_BINS)
    bottom, count = _bin_of(low, count)
    return top << 16 | bottom, count


def _bin_of(histogram: Tensor, count: int) -> tuple[int, int]:
    """The bin of the count-th entry from above, and how many of the count are in it."""
    from_above = histogram.flip(0).cumsum(0)
    index = int(torch.searchsorted(from_above, count))
    above = int(from_above[index - 1]) if index else 0
    return len(histogram) - 1 - index, count - above


def _all_bits(source: Streamed) -> Iterator[Tensor]:
    return (_bits(piece) for name in source for piece in source.pieces(name))


def _bits(piece: Tensor) -> Tensor:
    """The magnitudes as integers of the same order."""
    return piece.abs().view(torch.int32)


def dropped(vector: State, drop: float, seed: int) -> Streamed:
    """DARE, drop and rescale (Yu et al., 2311.03099): δ̂ = (1 − m) · δ / (1 − drop) with m ~ Bernoulli(drop).

    The mask of a tensor follows from the seed, the tensor's name and its values: it is the same in whatever order
    tensors and vectors come, equal vectors get equal masks, and different vectors independent ones.

    Raises:
        ConfigError: `drop` outside 0 <= drop < 1.
    """
    if problems := _out_of_range(drop=drop):
        raise ConfigError(problems)
    return _Dropped(vector, drop, seed) if drop else Streamed(vector)


class _Dropped(Streamed):
    def __init__(self, source: State, drop: float, seed: int) -> None:
        super().__init__(source)
        self._drop, self._seed = drop, seed
        self._seeds: dict[str, int] = {}

    def pieces(self, name: str) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(self._seed_of(name))
        for piece in super().pieces(name):
            # fp64: as an fp32 number, a drop close to 1 would be 1.
            kept = torch.rand(piece.shape, dtype=torch.float64, generator=generator) >= self._drop
            rescaled = (piece.double() / (1 - self._drop)).float()
            yield require_finite(name, torch.where(kept, rescaled, 0.0), "the rescaled vector")

    def _seed_of(self, name: str) -> int:
        if name not in self._seeds:
            digest = hashlib.sha256(f"{self._seed}\0{name}\0".encode())
            for piece in super().pieces(name):
                digest.update(piece.contiguous().numpy().data)
            self._seeds[name] = int.from_bytes(digest.digest()[:8], "little", signed=True)
        return self._seeds[name]


def _elected(vectors: Sequence[Streamed]) -> Named:
    if not vectors:
        raise ConfigError("there are no vectors to merge")
    signs = (float(torch.sign(stack.sum(0)).sum()) for name in vectors[0] for stack in _stacks(vectors, name))
    total = math.fsum(signs)
    majority = float(total > 0) - float(total < 0)

    def fold(stack: Tensor) -> Tensor:
        sign = torch.sign(stack.sum(0))
        sign = torch.where(sign == 0, majority, sign)
        agreeing = (torch.sign(stack) == sign) & (stack != 0)
        return torch.where(agreeing, stack, 0.0).sum(0) / agreeing.sum(0).clamp(min=1)

    return _folded(vectors, fold)


def _folded(vectors: Sequence[Streamed], fold: Callable[[Tensor], Tensor]) -> Named:
    """Each tensor from `fold`, which makes entries (n,) of stacked entries (vectors, n) in fp64; rounded to fp32."""
    for name in vectors[0]:
        total = torch.empty(vectors[0].shape(name))
        for (into,), stack in zip(chunks(total), _stacks(vectors, name), strict=True):
            into.copy_(fold(stack))
        yield name, require_finite(name, total, "the merged vector")


def _stacks(vectors: Sequence[Streamed], name: str) -> Iterator[Tensor]:
    for parts in zip(*(vector.pieces(name) for vector in vectors), strict=True):
        yield torch.stack(parts).double()


def _out_of_range(
    keep: float | None = None, drop: float | None = None, coefficients: Sequence[float] | None = None
) -> list[str]:
    problems = []
    if keep is not None and not 0 < keep <= 1:
        problems.append(f"keep {keep}: the share that TIES keeps must be above 0 and at most 1")
    if drop is not None and not 0 <= drop < 1:
        problems.append(f"drop {drop}: the probability of DARE must be at least 0 and below 1, or nothing is left")
    wrong = [value for value in coefficients or () if not math.isfinite(value)]
    return problems + [f"a coefficient must be a finite number, not {value}" for value in wrong]
