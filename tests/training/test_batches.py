"""Batches hold each utterance once, of like length, and depend on seed and epoch alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asr_tv.seeds import generator
from asr_tv.training.batches import group_by_length


@given(st.lists(st.floats(0.1, 30), min_size=1, max_size=200), st.integers(1, 9), st.integers(0, 3))
def test_every_index_once(durations: list[float], size: int, epoch: int) -> None:
    batches = group_by_length(durations, size, seed=1, epoch=epoch)
    assert sorted(i for batch in batches for i in batch) == list(range(len(durations)))
    assert max(map(len, batches)) <= size


def test_same_seed_and_epoch_same_batches_other_epoch_other_batches() -> None:
    durations = list(np.linspace(1, 9, 100))
    first = group_by_length(durations, 8, seed=1, epoch=0)
    assert first == group_by_length(durations, 8, seed=1, epoch=0)
    assert first != group_by_length(durations, 8, seed=1, epoch=1)
    assert first != group_by_length(durations, 8, seed=2, epoch=0)


def test_batches_pad_less_than_random_ones() -> None:
    durations = np.random.default_rng(0).uniform(1, 10, 512)
    padded = sum(max(durations[b]) * len(b) for b in group_by_length(list(durations), 8, seed=0, epoch=0))
    random = sum(max(durations[i : i + 8]) * 8 for i in range(0, 512, 8))
    assert padded < 0.75 * random


def test_generator_differs_by_every_part_and_not_by_process() -> None:
    assert generator("a", 1, "b").integers(10**9) == generator("a", 1, "b").integers(10**9)
    assert generator("a", 1, "b").integers(10**9) != generator("a", 11, "b").integers(10**9)
    assert generator("augment", 17, 0, "x").integers(10**9) == 490180052
