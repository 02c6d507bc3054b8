"""Matched pairs sentence-segment word error test (Gillick and Cox 1989), the MAPSSWE of NIST's sctk.

Texts are cut where both systems get two consecutive words right, so that segments are nearly independent.
"""

from collections.abc import Sequence
from itertools import count, groupby
from math import erfc, sqrt
from typing import NamedTuple

from asr_tv.scoring.wer import alignment_places

_BUFFER = 2
"""Consecutive words that both systems get right between two segments."""


class MatchedPairs(NamedTuple):
    """Segments with an error in either system, the mean difference of errors in them, z and its two-sided p."""

    segments: int
    mean: float
    z: float | None
    p: float | None


def matched_pairs(differences: Sequence[int]) -> MatchedPairs:
    """The test on errors of a minus errors of b, one number per segment.

    z and p are None for fewer than two segments, where nothing can be tested. Without any variation z is None too, and
    p is 1 for equal systems and 0 otherwise. The normal approximation needs about 30 segments.
    """
    segments = len(differences)
    mean = sum(differences) / segments if segments else 0.0
    if segments < 2:
        return MatchedPairs(segments, mean, None, None)
    variance = sum((d - mean) ** 2 for d in differences) / (segments - 1)
    if not variance:
        return MatchedPairs(segments, mean, None, 0.0 if mean else 1.0)
    z = mean / sqrt(variance / segments)
    return MatchedPairs(segments, mean, z, erfc(abs(z) / sqrt(2)))


def error_slots(reference: str, hypothesis: str) -> list[int]:
    """Errors at each place of the reference; places as in `alignment_places`."""
    if reference == hypothesis:
        return [0] * (2 * len(reference.split()) + 1)
    return [sum(step.op != "hit" for step in place) for place in alignment_places(reference, hypothesis)]


def segment_differences(a: Sequence[int], b: Sequence[int]) -> list[int]:
    """Errors of a minus those of b in each segment with an error in either, from the `error_slots` of one reference."""
    places = zip(count(), a, b, strict=False)
    segments: list[int] = []
    apart = True
    for wrong, group in groupby(places, key=lambda place: bool(place[1] or place[2])):
        run = list(group)
        if not wrong:
            apart = sum(index % 2 for index, _, _ in run) >= _BUFFER  # words stand at odd places
            continue
        difference = sum(left - right for _, left, right in run)
        if apart or not segments:
            segments.append(difference)
        else:
            segments[-1] += difference
    return segments
