"""What a list of terms buys and costs: errors in listed words and in all others, and terms heard that nobody said."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from asr_tv.scoring.bootstrap import Bootstrap, Interval, ResampledSums
from asr_tv.scoring.evaluation import Evaluation, UtteranceScore
from asr_tv.scoring.terms import TermCounter, TermCounts
from asr_tv.scoring.wer import word_alignment


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """Errors and reference words, apart for words that stand in an occurrence of a listed term and for others.

    A wrong word is the error of the reference word in its place. An insertion belongs to the listed words if it is part
    of a listed term in the hypothesis, so that a false alarm counts against the list.
    """

    listed_errors: int = 0
    listed_words: int = 0
    other_errors: int = 0
    other_words: int = 0


def split_errors(reference: str, hypothesis: str, terms: Sequence[Sequence[str]]) -> SplitCounts:
    """The errors of one pair of normalised texts; together they are those of `count_words`."""
    in_reference, in_hypothesis = (_inside(text.split(), terms) for text in (reference, hypothesis))
    listed, other = [0, 0], [0, 0]
    expected = heard = 0
    for step in word_alignment(reference, hypothesis):
        is_listed = in_hypothesis[heard] if step.op == "insertion" else in_reference[expected]
        counts = listed if is_listed else other
        counts[0] += step.op != "hit"
        counts[1] += step.op != "insertion"
        expected += step.op != "insertion"
        heard += step.op != "deletion"
    return SplitCounts(*listed, *other)


def _inside(words: Sequence[str], terms: Sequence[Sequence[str]]) -> list[bool]:
    """Whether each word stands in an occurrence of a term."""
    inside = [False] * len(words)
    for term in terms:
        for start in range(len(words) - len(term) + 1):
            if list(words[start : start + len(term)]) == list(term):
                inside[start : start + len(term)] = [True] * len(term)
    return inside


@dataclass(frozen=True, slots=True)
class ListedScore:
    """One system on one set under a list of terms; rates are fractions, null where nothing can be divided by.

    Attributes:
        false_alarms: occurrences of listed terms in the hypotheses that are not in the reference there.
        hours: of speech, to relate them to.
    """

    listed_wer: float | None
    listed_interval: Interval
    other_wer: float | None
    other_interval: Interval
    terms: TermCounts
    hours: float

    @property
    def false_alarms(self) -> int:
        return self.terms.heard - self.terms.right

    @property
    def false_alarms_per_hour(self) -> float | None:
        return self.false_alarms / self.hours if self.hours else None


def listed_score(evaluation: Evaluation, terms: Iterable[str], seconds: float, bootstrap: Bootstrap) -> ListedScore:
    """Scores an evaluation under normalised terms; sentences are drawn for the intervals."""
    listed = tuple(dict.fromkeys(terms))
    split = [tuple(term.split()) for term in listed if term]
    rows = [split_errors(u.sentence, u.heard, split) for u in evaluation.utterances]
    columns = {
        name: [getattr(row, name) for row in rows]
        for name in ("listed_errors", "listed_words", "other_errors", "other_words")
    }
    sums = ResampledSums([u.sentence for u in evaluation.utterances], columns, bootstrap)
    counter = TermCounter(listed)
    counts = sum((_counted(counter, u) for u in evaluation.utterances), TermCounts())
    rates = [_rate(sum(columns[f"{part}_errors"]), sum(columns[f"{part}_words"])) for part in ("listed", "other")]
    return ListedScore(
        listed_wer=rates[0],
        listed_interval=sums.interval("listed_errors", "listed_words"),
        other_wer=rates[1],
        other_interval=sums.interval("other_errors", "other_words"),
        terms=counts,
        hours=seconds / 3600,
    )


def _counted(counter: TermCounter, utterance: UtteranceScore) -> TermCounts:
    return sum(counter.count(utterance.sentence, utterance.heard).values(), TermCounts())


def _rate(errors: int, words: int) -> float | None:
    return errors / words if words else None
