"""What a stream shows: accumulated WER, regret against the frozen recogniser, first occurrences apart, intervals.

Turns of a stream depend on each other, so blocks of consecutive turns are drawn, not sentences (moving blocks,
Künsch 1989).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from asr_tv.scoring.bootstrap import Bootstrap, Difference, resampled_difference
from asr_tv.streaming.journal import Turn
from asr_tv.streaming.turns import Nothing

Counts = NDArray[np.int64]
BLOCK = 20
"""Turns drawn together."""


@dataclass(frozen=True)
class StreamScore:
    """An agent on one order of a stream; differences are to the frozen recogniser on the same turns.

    Attributes:
        curve: accumulated WER after each turn.
        regret: accumulated errors minus the frozen one's, after each turn.
        last_quarter: difference of the WERs of the last quarter of the turns.
        first, repeated: differences on first occurrences of a sentence and on repeated ones; None without words there.
        right: share of answers called right among those with feedback; None without feedback.
        seconds: of computing a turn.
    """

    wer: float
    words: int
    difference: Difference | None
    curve: tuple[float, ...]
    regret: tuple[int, ...]
    last_quarter: float
    first: float | None
    repeated: float | None
    right: float | None
    seconds: float


def score_stream(
    turns: Sequence[Turn], frozen: Sequence[Turn], sentences: Sequence[str], bootstrap: Bootstrap, block: int = BLOCK
) -> StreamScore:
    """The score of an agent.

    Args:
        frozen: the frozen recogniser's turns on the same utterances in the same order.
        sentences: what is said in each turn, normalised.

    Raises:
        ValueError: the two are not of the same utterances in the same order.
    """
    if [t.id for t in turns] != [t.id for t in frozen]:
        raise ValueError("an agent and the frozen recogniser must hear the same turns")
    own, base, words = (np.array(column, dtype=np.int64) for column in _columns(turns, frozen))
    new = np.array([sentence not in sentences[:place] for place, sentence in enumerate(sentences)], dtype=bool)
    told = [t.feedback.right for t in turns if not isinstance(t.feedback, Nothing)]
    quarter = np.arange(len(turns)) >= len(turns) - max(1, len(turns) // 4)
    return StreamScore(
        wer=_rate(own, words),
        words=int(words.sum()),
        difference=block_difference([*own], [*base], [*words], bootstrap, block) if turns is not frozen else None,
        curve=tuple(float(e) / max(1, int(n)) for e, n in zip(own.cumsum(), words.cumsum(), strict=True)),
        regret=tuple(accumulate(int(d) for d in own - base)),
        last_quarter=_rate(own[quarter], words[quarter]) - _rate(base[quarter], words[quarter]),
        first=_part(own, base, words, new),
        repeated=_part(own, base, words, ~new),
        right=sum(told) / len(told) if told else None,
        seconds=sum(t.seconds for t in turns) / max(1, len(turns)),
    )


def _columns(turns: Sequence[Turn], frozen: Sequence[Turn]) -> tuple[list[int], list[int], list[int]]:
    return [t.errors for t in turns], [t.errors for t in frozen], [t.words for t in turns]


def _rate(errors: Counts, words: Counts) -> float:
    return float(errors.sum() / max(1, words.sum()))


def _part(own: Counts, base: Counts, words: Counts, chosen: NDArray[np.bool_]) -> float | None:
    if not words[chosen].sum():
        return None
    return _rate(own[chosen], words[chosen]) - _rate(base[chosen], words[chosen])


def block_difference(
    errors_a: Sequence[int], errors_b: Sequence[int], words: Sequence[int], bootstrap: Bootstrap, block: int = BLOCK
) -> Difference:
    """Pooled WER of a minus that of b, with a paired interval over moving blocks of turns.

    With fewer than two blocks' worth of turns nothing is shown: the interval is unbounded.
    """
    columns = np.array([errors_a, errors_b, words], dtype=np.int64)
    a, b, n = columns.sum(1)
    observed = float((a - b) / max(1, n))
    if columns.shape[1] < 2 * block:
        return Difference(observed, -np.inf, np.inf, 1.0)
    drawn = _drawn(columns, bootstrap, block)
    differences = (drawn[0] - drawn[1]) / np.maximum(1, drawn[2])
    return resampled_difference(observed, differences, bootstrap.confidence)


def _drawn(columns: Counts, bootstrap: Bootstrap, block: int) -> Counts:
    """Column sums of as many turns as there are, in blocks drawn with replacement; shape (3, resamples)."""
    turns = columns.shape[1]
    sums = np.cumsum(np.pad(columns, ((0, 0), (1, 0))), axis=1)
    starts = np.random.default_rng(bootstrap.seed).integers(
        0, turns - block + 1, (bootstrap.resamples, -(-turns // block))
    )
    drawn: Counts = (sums[:, starts + block] - sums[:, starts]).sum(-1)
    return drawn
