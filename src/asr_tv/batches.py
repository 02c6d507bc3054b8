"""Which utterances are trained together: batches of like length, in an order drawn from seed and epoch alone."""

import hashlib
from collections.abc import Sequence

import numpy as np

_POOL_BATCHES = 16
"""Lengths are sorted within pools of so many batches: like lengths meet, and neighbours still change by epoch."""


def generator(*parts: object) -> np.random.Generator:
    """A random generator seeded by the parts' text: the same in every process, machine and Python."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def length_grouped(durations: Sequence[float], batch_size: int, *, seed: int, epoch: int) -> list[list[int]]:
    """Indices of `durations` in batches; every index once, only the last batch of a pool may be short.

    Depends on nothing but the arguments, so an epoch can be taken up again after a stop.
    """
    rng = generator("batches", seed, epoch)
    order = rng.permutation(len(durations))
    pool = batch_size * _POOL_BATCHES
    batches = []
    for start in range(0, len(order), pool):
        members = sorted(order[start : start + pool].tolist(), key=lambda index: durations[index])
        batches += [members[i : i + batch_size] for i in range(0, len(members), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]
