"""WER by domain, speaker and length of sentence: where a difference comes from."""

from collections.abc import Collection, Iterator
from typing import Any

from asr_tv.report.scores import finite, judged, span
from asr_tv.report.systems import ADAPTED, BASELINE, PRETRAINED
from asr_tv.scoring.evaluation import UtteranceScore
from asr_tv.scoring.scored_set import GroupOf, ScoredSet

Json = dict[str, Any]

_BINS = ((2, "1 to 2 words"), (5, "3 to 5 words"), (10, "6 to 10 words"), (20, "11 to 20 words"))
_NO_WORDS, _LONG = "no words", "more than 20 words"
_ORDER = (_NO_WORDS, *(name for _, name in _BINS), _LONG)
_MOST_GROUPS = 30
_REST = "all others"


def length_bin(utterance: UtteranceScore) -> str:
    """The bin of the reference's number of words."""
    words = utterance.word_counts.words
    return _NO_WORDS if not words else next((name for most, name in _BINS if words <= most), _LONG)


def breakdowns(scored: ScoredSet) -> Iterator[Json]:
    """One table for each way of grouping in which there are two groups or more."""
    speakers = _largest(scored, lambda u: u.speaker or "unknown")
    dimensions = {"domain": _largest(scored, lambda u: u.domain), "speaker": speakers, "length": length_bin}
    for dimension, group_of in dimensions.items():
        groups = scored.grouped(group_of)
        if len(groups) > 1:
            names = sorted(groups, key=_ORDER.index) if dimension == "length" else sorted(groups, key=_rest_last)
            yield {"dimension": dimension, "groups": [_group(name, groups[name]) for name in names]}


def _largest(scored: ScoredSet, group_of: GroupOf) -> GroupOf:
    """The same grouping, with the smallest groups merged where there are more than 30."""
    words: dict[str, int] = {}
    for u in scored.utterances:
        words[group_of(u)] = words.get(group_of(u), 0) + u.word_counts.words
    if len(words) <= _MOST_GROUPS:
        return group_of
    kept: Collection[str] = set(sorted(words, key=lambda name: (-words[name], name))[: _MOST_GROUPS - 1])
    return lambda u: group_of(u) if group_of(u) in kept else _REST


def _rest_last(name: str) -> tuple[bool, str]:
    return name == _REST, name


def _group(name: str, scored: ScoredSet) -> Json:
    names = scored.evaluations
    rivals = [rival for rival in (PRETRAINED, BASELINE) if rival in names and ADAPTED in names]
    return {
        "group": name,
        "utterances": len(scored.utterances),
        "words": sum(u.word_counts.words for u in scored.utterances),
        "systems": {system: _rates(scored, system) for system in names},
        "differences": {rival: judged(scored.difference(ADAPTED, rival)) for rival in rivals},
    }


def _rates(scored: ScoredSet, name: str) -> Json:
    counts = scored.evaluations[name].word_counts
    return {"errors": counts.errors, "wer": finite(counts.rate), **span(scored.interval(name))}
