"""Paired bootstrap over sentences: how far a pooled WER, or a difference of two, may be due to chance.

Recordings of one sentence are not independent, so whole sentences (clusters) are drawn with replacement
(Bisani and Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import NamedTuple, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

_BLOCK = 4_000_000
"""Cluster weights held in memory at once; does not affect the result."""


class BootstrapOptions(TypedDict):
    """The fields of `Bootstrap` as keyword arguments."""

    resamples: int
    confidence: float
    seed: int


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals are computed; `confidence` is 0.95 for a 95 % interval."""

    resamples: int
    confidence: float
    seed: int


class Interval(NamedTuple):
    """A two-sided percentile interval of a rate (not percent)."""

    low: float
    high: float

    @property
    def ends(self) -> tuple[float, float] | tuple[None, None]:
        """Both ends for JSON; None where they are not known."""
        return (self.low, self.high) if isfinite(self.high) else (None, None)


class Difference(NamedTuple):
    """Pooled WER of a minus that of b on the same utterances, its interval, and the two-sided p of "no difference"."""

    difference: float
    low: float
    high: float
    p: float


def interval(
    errors: Sequence[int], words: Sequence[int], clusters: Sequence[str], **options: Unpack[BootstrapOptions]
) -> Interval:
    """The interval of the pooled rate, sum(errors) / sum(words).

    With fewer than two clusters their spread is unknown, and the interval is (0, inf). Without any error it is (0, 0):
    the bootstrap cannot show errors that it has not seen. With few clusters (under about 30) percentile intervals are
    a little narrow. Each argument has one entry per utterance: its errors, its words, and its sentence as the cluster.

    Raises:
        ValueError: the lengths differ.
    """
    return ResampledSums(clusters, {"errors": errors, "words": words}, Bootstrap(**options)).interval("errors", "words")


def paired_difference(
    errors_a: Sequence[int],
    errors_b: Sequence[int],
    words: Sequence[int],
    clusters: Sequence[str],
    **options: Unpack[BootstrapOptions],
) -> Difference:
    """The difference of two systems' pooled rates; both are scored on the same drawn sentences each time.

    p = 2 (k + 1) / (resamples + 1), at most 1, where k counts the resampled differences on the rarer side of zero, zero
    included; it is never 0, and agrees with whether the interval excludes zero. With fewer than two clusters, or no
    reference words, nothing is shown: the interval is unbounded and p is 1.

    Raises:
        ValueError: the lengths differ.
    """
    sums = ResampledSums(clusters, {"a": errors_a, "b": errors_b, "words": words}, Bootstrap(**options))
    return sums.difference("a", "b", "words")


class ResampledSums:
    """Columns of counts summed over each resampled set of sentences: one draw serves every rate of a test set.

    Raises:
        ValueError: a column does not have one number per utterance.
    """

    def __init__(self, clusters: Sequence[str], columns: Mapping[str, Sequence[int]], bootstrap: Bootstrap) -> None:
        sums = _cluster_sums(clusters, *columns.values())
        self._index = {name: row for row, name in enumerate(columns)}
        self._totals = sums.sum(axis=1)
        self._confidence = bootstrap.confidence
        self._resampled = _resample(sums, bootstrap.resamples, bootstrap.seed) if sums.shape[1] > 1 else None

    def interval(self, numerator: str, denominator: str) -> Interval:
        """The interval of the pooled rate of one column over another; see the function of that name."""
        if self._resampled is None:
            return Interval(0.0, inf)
        rates = _ratios(self._resampled[self._index[numerator]], self._resampled[self._index[denominator]])
        return _percentiles(rates, self._confidence)

    def difference(self, a: str, b: str, denominator: str) -> Difference:
        """The difference of two columns' pooled rates; see `paired_difference`."""
        left, right, words = self._index[a], self._index[b], self._index[denominator]
        observed = float(_ratios(self._totals[left] - self._totals[right], self._totals[words]))
        if self._resampled is None or not self._totals[words]:
            return Difference(observed, -inf, inf, 1.0)
        differences = _ratios(self._resampled[left] - self._resampled[right], self._resampled[words])
        return resampled_difference(observed, differences, self._confidence)


class Group(NamedTuple):
    """One group's errors of two systems, words and clusters, one entry per utterance; to be averaged over groups."""

    errors_a: Sequence[int]
    errors_b: Sequence[int]
    words: Sequence[int]
    clusters: Sequence[str]


def mean_difference(groups: Sequence[Group], **options: Unpack[BootstrapOptions]) -> Difference:
    """The mean over the groups of (pooled rate of a − pooled rate of b); sentences are drawn within each group.

    Every group has the same weight, however many words it has: the average over domains that papers print. With zeros
    for b it is the mean rate of a. With a group of fewer than two clusters nothing is shown, as in `paired_difference`.

    Raises:
        ValueError: no groups, or lengths that differ.
    """
    if not groups:
        raise ValueError("no groups to average over")
    sums = [_cluster_sums(g.clusters, g.errors_a, g.errors_b, g.words) for g in groups]
    totals = np.array([s.sum(axis=1) for s in sums])
    observed = float(_ratios(totals[:, 0] - totals[:, 1], totals[:, 2]).mean())
    if any(s.shape[1] < 2 for s in sums) or not totals[:, 2].all():
        return Difference(observed, -inf, inf, 1.0)
    differences = np.zeros(options["resamples"])
    for number, group in enumerate(sums):
        a, b, words = _resample(group, options["resamples"], options["seed"] + number)
        differences += _ratios(a - b, words) / len(sums)
    return resampled_difference(observed, differences, options["confidence"])


def resampled_difference(observed: float, resampled: NDArray[np.float64], confidence: float) -> Difference:
    """A difference with the interval and the p that its resampled values give."""
    low, high = _percentiles(resampled, confidence)
    rarer = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    return Difference(observed, low, high, min(1.0, 2 * (rarer + 1) / (resampled.size + 1)))


def _cluster_sums(clusters: Sequence[str], *columns: Sequence[int]) -> NDArray[np.int64]:
    """Each column summed within each cluster, shape (columns, clusters), clusters sorted by name."""
    if any(len(column) != len(clusters) for column in columns):
        raise ValueError(f"lengths differ: {[len(column) for column in columns]} values, {len(clusters)} clusters")
    index = {name: position for position, name in enumerate(sorted(set(clusters)))}
    sums = np.zeros((len(columns), len(index)), dtype=np.int64)
    positions = np.fromiter((index[name] for name in clusters), dtype=np.int64, count=len(clusters))
    for row, column in zip(sums, columns, strict=True):
        np.add.at(row, positions, np.asarray(column, dtype=np.int64))
    return sums


def _resample(sums: NDArray[np.int64], resamples: int, seed: int) -> NDArray[np.int64]:
    """Column sums of sets of as many clusters drawn with replacement, shape (columns, resamples)."""
    clusters = sums.shape[1]
    rng = np.random.default_rng(seed)
    chances = np.full(clusters, 1 / clusters)
    block = max(1, _BLOCK // clusters)
    parts = [
        sums @ rng.multinomial(clusters, chances, size=min(block, resamples - start)).T
        for start in range(0, resamples, block)
    ]
    return np.concatenate(parts, axis=1)


def _ratios(numerators: NDArray[np.int64], denominators: NDArray[np.int64]) -> NDArray[np.float64]:
    """Quotients; over zero words, 0 without errors and infinite otherwise, as in `ErrorCounts.rate`."""
    empty = np.where(numerators > 0, inf, np.where(numerators < 0, -inf, 0.0))
    return np.where(denominators > 0, numerators / np.maximum(denominators, 1), empty)


def _percentiles(values: NDArray[np.float64], confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    # Order statistics rather than interpolation: an infinite rate among the values then affects no other.
    low, high = np.quantile(values, [tail, 1 - tail], method="inverted_cdf")
    return Interval(float(low), float(high))
