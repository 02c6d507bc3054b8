"""What test-time adaptation changed on a set of recordings, against the same model unadapted, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from asr_tv.decoding.test_time.methods import AdaptedTurn
from asr_tv.decoding.test_time.transcribing import summary
from asr_tv.scoring.bootstrap import Bootstrap, Difference, Interval, interval, paired_difference
from asr_tv.scoring.wer import ErrorCounts, count_words


@dataclass(frozen=True)
class AdaptedScore:
    """One method on one test set; of several orders, the first, and the rates of all.

    Attributes:
        difference: from unadapted, in pooled WER; None for the unadapted row itself.
        better, equal, worse: recordings with fewer, as many and more errors than unadapted.
        seconds: of computing per second of audio; None where it was not measured.
        told: what `summary` counts.
    """

    method: str
    words: int
    wer: float
    interval: Interval
    difference: Difference | None = None
    better: int = 0
    equal: int = 0
    worse: int = 0
    rates: tuple[float, ...] = ()
    seconds: float | None = None
    told: Mapping[str, object] = field(default_factory=dict)


def unadapted_score(references: Mapping[str, str], texts: Mapping[str, str], bootstrap: Bootstrap) -> AdaptedScore:
    """The row of the model as it is.

    Args:
        references, texts: normalised, by id.
    """
    counts = _counts(references, texts)
    return AdaptedScore("none", *_pooled(counts), _interval(references, counts, bootstrap))


def adapted_score(
    method: str,
    references: Mapping[str, str],
    plain: Mapping[str, str],
    orders: Sequence[tuple[Sequence[AdaptedTurn], Mapping[str, str]]],
    seconds: float,
    bootstrap: Bootstrap,
) -> AdaptedScore:
    """A method's row.

    Args:
        references, plain: normalised references, and normalised texts of the unadapted model, by id.
        orders: for each order of the recordings its turns, and its normalised texts by id.
        seconds: of audio.
    """
    turns, texts = orders[0]
    before, after = _counts(references, plain), _counts(references, texts)
    errors, base = [c.errors for c in after], [c.errors for c in before]
    clusters, words = list(references.values()), [c.words for c in after]
    changes = [own - other for own, other in zip(errors, base, strict=True)]
    return AdaptedScore(
        method,
        *_pooled(after),
        _interval(references, after, bootstrap),
        paired_difference(errors, base, words, clusters, **asdict(bootstrap)),
        better=sum(change < 0 for change in changes),
        equal=changes.count(0),
        worse=sum(change > 0 for change in changes),
        rates=tuple(sum(_counts(references, own), ErrorCounts()).rate for _, own in orders),
        seconds=sum(turn.seconds for turn in turns) / seconds if seconds else None,
        told=summary(turns),
    )


def _counts(references: Mapping[str, str], texts: Mapping[str, str]) -> list[ErrorCounts]:
    return [count_words(reference, texts[name]) for name, reference in references.items()]


def _pooled(counts: Sequence[ErrorCounts]) -> tuple[int, float]:
    total = sum(counts, ErrorCounts())
    return total.words, total.rate


def _interval(references: Mapping[str, str], counts: Sequence[ErrorCounts], bootstrap: Bootstrap) -> Interval:
    errors, words = [c.errors for c in counts], [c.words for c in counts]
    return interval(errors, words, list(references.values()), **asdict(bootstrap))
