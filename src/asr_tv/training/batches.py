"""Which utterances are trained together: batches of like length, in an order drawn from seed and epoch alone."""

from collections.abc import Sequence

from asr_tv.seeds import generator

_POOL_BATCHES = 16
"""Lengths are sorted within pools of so many batches: like lengths meet, and neighbours still change by epoch."""


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
