"""How two sets of clips differ in one measured attribute: quartiles, KS, P(one > other) with an interval, histogram."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr_tv.scoring.bootstrap import Bootstrap, Interval

_BINS = 16
_FEWEST_PAIRS = 10
"""Sentences that both sets need for a comparison sentence by sentence."""
ALIKE = (0.3, 0.7)
"""P(real > synthetic) within these calls for no change."""


class Value(NamedTuple):
    """An attribute of one clip, and the sentence that is said in it."""

    sentence: str
    value: float


class Quartiles(NamedTuple):
    """Of one set of clips."""

    lower: float
    median: float
    upper: float


@dataclass(frozen=True)
class Histogram:
    """Shares of both sets in equal bins between two ends; what lies beyond an end counts in the last bin."""

    low: float
    high: float
    real: tuple[float, ...]
    synthetic: tuple[float, ...]


@dataclass(frozen=True)
class Gap:
    """One attribute of real against synthetic clips.

    Attributes:
        known: clips of either set whose attribute is known, of so many.
        ks: largest distance of the two distribution functions (Kolmogorov and Smirnov), 0 to 1.
        probability: that a real clip has more of it than a synthetic one, of the same sentence where `sentences` says
            how many both sets have; equal values count as one half.
        interval: of the probability, by drawing sentences.
    """

    attribute: str
    known: tuple[int, int]
    of: tuple[int, int]
    real: Quartiles | None = None
    synthetic: Quartiles | None = None
    ks: float | None = None
    probability: float | None = None
    interval: Interval | None = None
    sentences: int | None = None
    histogram: Histogram | None = None

    @property
    def differs(self) -> bool:
        """Whether P(real > synthetic) is so far from one half that a change is worth its while."""
        return self.probability is not None and not ALIKE[0] <= self.probability <= ALIKE[1]


def compare_attribute(
    attribute: str,
    real: Sequence[Value],
    synthetic: Sequence[Value],
    of: tuple[int, int],
    bootstrap: Bootstrap,
) -> Gap:
    """Compares the known values of an attribute; without any on one side, nothing but their numbers is known.

    Args:
        of: clips of either set.
    """
    known = len(real), len(synthetic)
    first, second = (np.array([v.value for v in side]) for side in (real, synthetic))
    quartiles = _quartiles(first), _quartiles(second)
    if not all(known):
        return Gap(attribute, known, of, *quartiles)
    pairs = _wins_by_sentence(real, synthetic)
    by_sentence = len(pairs) >= _FEWEST_PAIRS
    wins = np.array(list(pairs.values()))[:, None] if by_sentence else _wins(first, second)
    return Gap(
        attribute,
        known,
        of,
        *quartiles,
        ks=ks(first, second),
        probability=float(wins.mean()),
        interval=_interval(wins, bootstrap),
        sentences=len(pairs) if by_sentence else None,
        histogram=_histogram(first, second),
    )


def _quartiles(values: NDArray[np.float64]) -> Quartiles | None:
    return Quartiles(*map(float, np.quantile(values, [0.25, 0.5, 0.75]))) if values.size else None


def ks(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The Kolmogorov-Smirnov statistic of two samples."""
    places = np.concatenate([a, b])
    shares = [np.searchsorted(np.sort(side), places, side="right") / side.size for side in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())


def _wins(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each pair 1 where the value of a is larger, and one half where both are equal [a, b]."""
    wins: NDArray[np.float64] = (np.sign(a[:, None] - b[None, :]) + 1) / 2
    return wins


def _wins_by_sentence(real: Sequence[Value], synthetic: Sequence[Value]) -> dict[str, float]:
    """Sentence -> share of its pairs in which the real clip has more, for the sentences of both."""
    sides: list[Mapping[str, list[float]]] = []
    for values in (real, synthetic):
        side: defaultdict[str, list[float]] = defaultdict(list)
        for one in values:
            side[one.sentence].append(one.value)
        sides.append(side)
    shared = sorted(sides[0].keys() & sides[1].keys())
    return {s: float(_wins(np.array(sides[0][s]), np.array(sides[1][s])).mean()) for s in shared}


def _interval(wins: NDArray[np.float64], bootstrap: Bootstrap) -> Interval | None:
    """The percentile interval of the mean of wins [rows, columns]; both sides are drawn, a column alone is not.

    None with fewer than two rows.
    """
    rows, columns = wins.shape
    if rows < 2:
        return None
    rng = np.random.default_rng(bootstrap.seed)
    chances_a, chances_b = np.full(rows, 1 / rows), np.full(columns, 1 / columns)
    drawn_a = rng.multinomial(rows, chances_a, size=bootstrap.resamples) / rows
    drawn_b = rng.multinomial(columns, chances_b, size=bootstrap.resamples) / columns
    means = np.einsum("na,ab,nb->n", drawn_a, wins, drawn_b, optimize=True)
    tail = (1 - bootstrap.confidence) / 2
    return Interval(*map(float, np.quantile(means, [tail, 1 - tail])))


def _histogram(real: NDArray[np.float64], synthetic: NDArray[np.float64]) -> Histogram:
    low, high = np.quantile(np.concatenate([real, synthetic]), [0.01, 0.99])
    high = high if high > low else low + max(abs(low), 1.0) * 1e-3
    shares = [np.histogram(side.clip(low, high), _BINS, (low, high))[0] / side.size for side in (real, synthetic)]
    return Histogram(float(low), float(high), *(tuple(map(float, share)) for share in shares))
