"""Which utterances are trained together: batches of similar duration, in an order drawn from seed and epoch."""

from collections.abc import Sequence

from asr_tv.seeds import generator

_POOL_BATCHES = 16
"""Durations are sorted within pools of this many batches, so that batches still change from epoch to epoch."""


def group_by_length(durations: Sequence[float], batch_size: int, *, seed: int, epoch: int) -> list[list[int]]:
    """Batches of indices of `durations`; every index once, only the last batch of a pool may be smaller.

    A pure function of its arguments, so an epoch can be repeated after an interruption.
    """
    rng = generator("batches", seed, epoch)
    order = rng.permutation(len(durations))
    pool = batch_size * _POOL_BATCHES
    batches = []
    for start in range(0, len(order), pool):
        members = sorted(order[start : start + pool].tolist(), key=lambda index: durations[index])
        batches += [members[i : i + batch_size] for i in range(0, len(members), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]
