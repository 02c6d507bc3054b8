"""Domain words heard where nobody said them: per 1,000 words of speech, and per minute without any."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from asr_tv.scoring.bootstrap import Bootstrap, Interval, ResampledSums
from asr_tv.scoring.terms import TermCounter

Unit = Literal["1000 words", "minute"]
_PER = {"1000 words": 1000.0, "minute": 60_000.0}
"""Of words, and of milliseconds."""


class HeardText(NamedTuple):
    """A recording: its sentence and what was heard, both normalised, and its length in seconds."""

    said: str
    heard: str
    seconds: float


@dataclass(frozen=True)
class Unsaid:
    """How often terms were heard beyond how often they were said.

    Attributes:
        amount: of thousands of words said, or of minutes.
        rate: per unit; its interval by drawing sentences, or recordings where nothing is said. None where there is
            nothing to divide by, or too little to draw from.
    """

    count: int
    amount: float
    unit: Unit
    rate: float | None
    ci_low: float | None = None
    ci_high: float | None = None


def unsaid_terms(recordings: Sequence[HeardText], terms: Sequence[str], unit: Unit, bootstrap: Bootstrap) -> Unsaid:
    """Counts terms heard in recordings more often than they are said there."""
    counter = TermCounter(terms)
    counts = [sum(max(0, c.heard - c.expected) for c in counter.count(r.said, r.heard).values()) for r in recordings]
    parts = [len(r.said.split()) if unit == "1000 words" else round(1000 * r.seconds) for r in recordings]
    total, count = sum(parts), sum(counts)
    amount = total / _PER[unit]
    if not total:
        return Unsaid(count, amount, unit, None)
    clusters = [r.said or str(number) for number, r in enumerate(recordings)]
    sums = ResampledSums(clusters, {"count": counts, "part": parts}, bootstrap)
    low, high = sums.interval("count", "part")
    return Unsaid(count, amount, unit, count / amount, *Interval(low * _PER[unit], high * _PER[unit]).ends)


def unsaid_rows(
    recordings: Mapping[str, Sequence[HeardText]], terms: Sequence[str], bootstrap: Bootstrap
) -> dict[str, dict[str, Any]]:
    """Where -> counts for JSON: by words where something is said, by minutes where nothing is."""
    found = {}
    for where, own in recordings.items():
        unit: Unit = "1000 words" if any(r.said for r in own) else "minute"
        found[where] = asdict(unsaid_terms(own, terms, unit, bootstrap))
    return found
