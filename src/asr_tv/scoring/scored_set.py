"""Several systems on one set of recordings: rates, intervals and differences from one set of bootstrap samples."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from asr_tv.scoring.bootstrap import Bootstrap, Difference, Interval, ResampledSums
from asr_tv.scoring.evaluation import Evaluation, UtteranceScore, require_comparable
from asr_tv.scoring.loops import looped
from asr_tv.scoring.matched_pairs import MatchedPairs, error_slots, matched_pairs, segment_differences
from asr_tv.scoring.terms import TermCounter, TermCounts

GroupOf = Callable[[UtteranceScore], str]
_WORDS, _SPOKEN = "words", "spoken"


class ScoredSet:
    """Systems by name, scored on the same utterances under the same conditions except checkpoint and audio context.

    All intervals and differences use the same resampled sentences.

    Raises:
        DataError: two of the evaluations cannot be compared.
    """

    def __init__(self, evaluations: Mapping[str, Evaluation], bootstrap: Bootstrap, terms: TermCounter) -> None:
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
        """Those of the first system; ids, references and domains are the same for all."""
        return next(iter(self.evaluations.values())).utterances

    def interval(self, name: str) -> Interval:
        """Confidence interval of the pooled WER."""
        return self._sums.interval(f"errors {name}", _WORDS)

    def difference(self, a: str, b: str) -> Difference:
        """WER of a minus WER of b."""
        return self._sums.difference(f"errors {a}", f"errors {b}", _WORDS)

    def matched_pairs(self, a: str, b: str) -> MatchedPairs:
        """The matched pairs test of errors of a minus errors of b."""
        pairs = zip(self._slots_of(a), self._slots_of(b), strict=True)
        return matched_pairs([d for left, right in pairs for d in segment_differences(left, right)])

    def term_counts(self, name: str) -> Mapping[str, TermCounts]:
        """Term -> counts over all utterances, for terms that occur in any reference or hypothesis."""
        totals: dict[str, TermCounts] = {}
        for row in self._term_rows[name]:
            for term, counts in row.items():
                totals[term] = totals.get(term, TermCounts()) + counts
        return totals

    def recall_interval(self, name: str) -> Interval:
        """Confidence interval of the recall of terms."""
        missed = self._sums.interval(f"missed {name}", _SPOKEN)
        return Interval(max(0.0, 1 - missed.high), 1 - missed.low)

    def recall_difference(self, a: str, b: str) -> Difference:
        """Recall of terms of a minus that of b."""
        return self._sums.difference(f"missed {b}", f"missed {a}", _SPOKEN)

    def loops(self, name: str) -> list[str]:
        """Ids of the utterances whose hypothesis loops."""
        return [u.id for u in self.evaluations[name].utterances if looped(u.hypothesis)]

    def grouped(self, group_of: GroupOf) -> dict[str, "ScoredSet"]:
        """Group name -> the set of its utterances; without terms."""
        groups: dict[str, set[str]] = defaultdict(set)
        for u in self.utterances:
            groups[group_of(u)].add(u.id)
        sets: dict[str, ScoredSet] = {}
        for group, ids in sorted(groups.items()):
            part = {
                name: Evaluation(tuple(u for u in e.utterances if u.id in ids), e.conditions)
                for name, e in self.evaluations.items()
            }
            sets[group] = ScoredSet(part, self._bootstrap, TermCounter(()))
        return sets

    def _slots_of(self, name: str) -> list[list[int]]:
        if name not in self._slots:
            self._slots[name] = [error_slots(u.sentence, u.heard) for u in self.evaluations[name].utterances]
        return self._slots[name]

    @cached_property
    def _term_rows(self) -> dict[str, list[Mapping[str, TermCounts]]]:
        count = self._terms.count
        return {name: [count(u.sentence, u.heard) for u in e.utterances] for name, e in self.evaluations.items()}

    @cached_property
    def _sums(self) -> ResampledSums:
        columns: dict[str, Sequence[int]] = {_WORDS: [u.word_counts.words for u in self.utterances]}
        for name, evaluation in self.evaluations.items():
            pooled = [sum(row.values(), TermCounts()) for row in self._term_rows[name]]
            columns[f"errors {name}"] = [u.word_counts.errors for u in evaluation.utterances]
            columns[f"missed {name}"] = [counts.expected - counts.right for counts in pooled]
            columns[_SPOKEN] = [counts.expected for counts in pooled]
        return ResampledSums([u.sentence for u in self.utterances], columns, self._bootstrap)
