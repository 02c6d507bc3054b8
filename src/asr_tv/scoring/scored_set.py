"""Several systems on one set of recordings: their rates, intervals and differences, from one draw of sentences."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property

from asr_tv.scoring.bootstrap import Bootstrap, Difference, Interval, Resampled
from asr_tv.scoring.evaluation import Evaluation, UtteranceScore, require_comparable
from asr_tv.scoring.loops import looped
from asr_tv.scoring.matched_pairs import MatchedPairs, error_slots, matched_pairs, segment_differences
from asr_tv.scoring.terms import TermCounter, TermCounts

GroupOf = Callable[[UtteranceScore], str]
_WORDS, _SPOKEN = "words", "spoken"


class ScoredSet:
    """Systems by name, scored on the same utterances under the same conditions but for checkpoint and audio context.

    Intervals of two systems come of the same drawn sentences, and so do those of their difference.
    """

    def __init__(self, evaluations: Mapping[str, Evaluation], bootstrap: Bootstrap, terms: TermCounter) -> None:
        """Puts evaluations side by side.

        Raises:
            DataError: two of them cannot be compared.
        """
        first = next(iter(evaluations.values()))
        for evaluation in evaluations.values():
            require_comparable(evaluation, first)
        self.evaluations = {
            name: Evaluation(tuple(sorted(e.utterances, key=lambda u: u.id)), e.conditions)
            for name, e in evaluations.items()
        }
        self._bootstrap, self._terms = bootstrap, terms
        self._slots: dict[str, list[list[int]]] = {}

    @property
    def utterances(self) -> tuple[UtteranceScore, ...]:
        """Of any one system: what is true of the references is true for all."""
        return next(iter(self.evaluations.values())).utterances

    def interval(self, name: str) -> Interval:
        """Of the pooled WER."""
        return self._drawn.interval(f"errors {name}", _WORDS)

    def difference(self, a: str, b: str) -> Difference:
        """WER of a minus WER of b."""
        return self._drawn.difference(f"errors {a}", f"errors {b}", _WORDS)

    def matched_pairs(self, a: str, b: str) -> MatchedPairs:
        """The matched pairs test on errors of a minus errors of b."""
        pairs = zip(self._slots_of(a), self._slots_of(b), strict=True)
        return matched_pairs([d for left, right in pairs for d in segment_differences(left, right)])

    def term_counts(self, name: str) -> Mapping[str, TermCounts]:
        """Term -> counts pooled over the utterances, of the terms that stand in any reference or hypothesis."""
        totals: dict[str, TermCounts] = {}
        for row in self._term_rows[name]:
            for term, counts in row.items():
                totals[term] = totals.get(term, TermCounts()) + counts
        return totals

    def recall_interval(self, name: str) -> Interval:
        """Of the terms' recall: the share of spoken terms that were heard."""
        missed = self._drawn.interval(f"missed {name}", _SPOKEN)
        return Interval(max(0.0, 1 - missed.high), 1 - missed.low)

    def recall_difference(self, a: str, b: str) -> Difference:
        """Recall of a minus recall of b: above zero a hears more terms."""
        return self._drawn.difference(f"missed {b}", f"missed {a}", _SPOKEN)

    def loops(self, name: str) -> list[str]:
        """Ids of the utterances in which the decoder went round in circles."""
        return [u.id for u in self.evaluations[name].utterances if looped(u.hypothesis)]

    def grouped(self, group_of: GroupOf) -> dict[str, "ScoredSet"]:
        """The set cut into groups of utterances, by name; without terms."""
        groups = {u.id: group_of(u) for u in self.utterances}
        sizes = Counter(groups.values())
        return {group: self._only({i for i, g in groups.items() if g == group}) for group in sorted(sizes)}

    def _only(self, ids: set[str]) -> "ScoredSet":
        part = {
            name: Evaluation(tuple(u for u in e.utterances if u.id in ids), e.conditions)
            for name, e in self.evaluations.items()
        }
        return ScoredSet(part, self._bootstrap, TermCounter(()))

    def _slots_of(self, name: str) -> list[list[int]]:
        if name not in self._slots:
            self._slots[name] = [error_slots(u.sentence, u.heard) for u in self.evaluations[name].utterances]
        return self._slots[name]

    @cached_property
    def _term_rows(self) -> dict[str, list[Mapping[str, TermCounts]]]:
        count = self._terms.count
        return {name: [count(u.sentence, u.heard) for u in e.utterances] for name, e in self.evaluations.items()}

    @cached_property
    def _drawn(self) -> Resampled:
        columns: dict[str, Sequence[int]] = {_WORDS: [u.word_counts.words for u in self.utterances]}
        for name, evaluation in self.evaluations.items():
            pooled = [sum(row.values(), TermCounts()) for row in self._term_rows[name]]
            columns[f"errors {name}"] = [u.word_counts.errors for u in evaluation.utterances]
            columns[f"missed {name}"] = [counts.expected - counts.right for counts in pooled]
            columns[_SPOKEN] = [counts.expected for counts in pooled]
        return Resampled([u.sentence for u in self.utterances], columns, **asdict(self._bootstrap))
