"""Sparsifies task vectors: the top share by magnitude (TIES), and random dropping with rescaling (DARE).

Both are lazy mappings that compute a tensor piece by piece on each access; no vector is held in memory.
"""

import hashlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from asr_tv.errors import ConfigError
from asr_tv.vectors.task_vector import State, chunks, floating_names, require_finite

_HIGH_BINS, _LOW_BINS = 1 << 15, 1 << 16
"""Histograms of the upper 15 and of the lower 16 of the 31 bits of a magnitude."""


class Streamed(Mapping[str, Tensor]):
    """A vector's floating tensors in fp32, whole or as flat pieces."""

    def __init__(self, shapes: Mapping[str, torch.Size]) -> None:
        self.shapes = shapes

    def pieces(self, name: str) -> Iterator[Tensor]:
        """A tensor in flat fp32 pieces, always at the same boundaries; a DataError for NaN or infinity."""
        raise NotImplementedError

    def __getitem__(self, name: str) -> Tensor:
        whole = torch.empty(self.shapes[name])
        for (into,), piece in zip(chunks(whole), self.pieces(name), strict=True):
            into.copy_(piece)
        return whole

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def streamed(vector: State, called: str = "the vector") -> Streamed:
    """The vector as a stream; `called` is its name in errors."""
    return vector if isinstance(vector, Streamed) else _Plain(vector, called)


class _Plain(Streamed):
    def __init__(self, vector: State, called: str) -> None:
        super().__init__({name: vector[name].shape for name in floating_names(vector)})
        self._vector, self._called = vector, called

    def pieces(self, name: str) -> Iterator[Tensor]:
        for (piece,) in chunks(self._vector[name]):
            yield require_finite(name, piece.float(), self._called)


def trimmed(vector: State, keep: float) -> Streamed:
    """The `keep` share of entries of largest magnitude over all tensors together, zeros elsewhere (2306.01708).

    Exactly round(keep · size) entries are kept, at least one; of equal magnitudes at the threshold, the first in order
    of name and position. The threshold is found by counting the bits of |τ|, which in fp32 sort as the numbers do.

    Raises:
        ConfigError: `keep` outside 0 < keep <= 1.
        DataError: NaN or infinity.
    """
    require_keep(keep)
    source = streamed(vector)
    size = sum(shape.numel() for shape in source.shapes.values())
    count = max(1, round(keep * size))
    return source if count >= size else _Trimmed(source, count)


def require_keep(keep: float) -> None:
    """Raises a ConfigError unless 0 < keep <= 1."""
    if not 0 < keep <= 1:
        raise ConfigError(f"keep {keep}: the share that TIES keeps must be above 0 and at most 1")


class _Trimmed(Streamed):
    def __init__(self, source: Streamed, count: int) -> None:
        super().__init__(source.shapes)
        self._source = source
        self._threshold, left = _threshold_of(source, count)
        self._ties: dict[str, int] = {}
        # At a threshold of zero, tied entries are zero, kept or not.
        for name in source if self._threshold else ():
            tied_entries = sum(int((_bits(piece) == self._threshold).sum()) for piece in source.pieces(name))
            self._ties[name] = min(tied_entries, left)
            left -= self._ties[name]

    def pieces(self, name: str) -> Iterator[Tensor]:
        left = self._ties.get(name, 0)
        for piece in self._source.pieces(name):
            bits = _bits(piece)
            kept = bits > self._threshold
            tied = torch.nonzero(bits == self._threshold).flatten()[:left] if left else ()
            if len(tied):
                kept[tied] = True
                left -= len(tied)
            yield torch.where(kept, piece, 0.0)


def _threshold_of(source: Streamed, count: int) -> tuple[int, int]:
    """The bits of the count-th largest magnitude, and how many of the count have exactly that magnitude."""
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
    """The bin of the count-th entry from the top, and how many of the count are in it."""
    from_above = histogram.flip(0).cumsum(0)
    index = int(torch.searchsorted(from_above, count))
    above = int(from_above[index - 1]) if index else 0
    return len(histogram) - 1 - index, count - above


def _all_bits(source: Streamed) -> Iterator[Tensor]:
    return (_bits(piece) for name in source for piece in source.pieces(name))


def _bits(piece: Tensor) -> Tensor:
    """The magnitudes as integers that sort in the same order."""
    return piece.abs().view(torch.int32)


def dropped(vector: State, drop: float, seed: int) -> Streamed:
    """DARE, drop and rescale (Yu et al., 2311.03099): δ̂ = (1 − m) · δ / (1 − drop) with m ~ Bernoulli(drop).

    The mask of a tensor is derived from the seed, the tensor's name and its values, so that it does not depend on the
    order of tensors and vectors; equal vectors get equal masks, different vectors independent ones.

    Raises:
        ConfigError: `drop` outside 0 <= drop < 1.
    """
    require_drop(drop)
    return _Dropped(streamed(vector), drop, seed) if drop else streamed(vector)


def require_drop(drop: float) -> None:
    """Raises a ConfigError unless 0 <= drop < 1; at 1 the rescaling would divide by zero."""
    if not 0 <= drop < 1:
        raise ConfigError(f"drop {drop}: the probability of DARE must be at least 0 and below 1")


class _Dropped(Streamed):
    def __init__(self, source: Streamed, drop: float, seed: int) -> None:
        super().__init__(source.shapes)
        self._source, self._drop, self._seed = source, drop, seed
        self._seeds: dict[str, int] = {}

    def pieces(self, name: str) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(self._seed_of(name))
        for piece in self._source.pieces(name):
            # fp64, since in fp32 a drop close to 1 would round to 1.
            kept = torch.rand(piece.shape, dtype=torch.float64, generator=generator) >= self._drop
            rescaled = (piece.double() / (1 - self._drop)).float()
            yield require_finite(name, torch.where(kept, rescaled, 0.0), "the rescaled vector")

    def _seed_of(self, name: str) -> int:
        if name not in self._seeds:
            digest = hashlib.sha256(f"{self._seed}\0{name}\0".encode())
            for piece in self._source.pieces(name):
                digest.update(piece.contiguous().numpy().data)
            self._seeds[name] = int.from_bytes(digest.digest()[:8], "little", signed=True)
        return self._seeds[name]
