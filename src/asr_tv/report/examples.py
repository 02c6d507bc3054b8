"""The utterances that adaptation improved and worsened most, word by word."""

from collections.abc import Sequence
from typing import Any

from asr_tv.report.systems import ADAPTED, MAIN, PRETRAINED
from asr_tv.scoring.evaluation import UtteranceScore
from asr_tv.scoring.scored_set import ScoredSet
from asr_tv.scoring.wer import word_alignment

Json = dict[str, Any]

SHOWN = 8
_MOST_STEPS = 80
"""A loop may run to hundreds of words; the page shows how it begins."""


def examples(scored: ScoredSet) -> Json | None:
    """How many utterances changed between the pretrained and the adapted model, and those that changed most.

    None where one of the two was not scored.
    """
    if not {PRETRAINED, ADAPTED} <= scored.evaluations.keys():
        return None
    before, after = (scored.evaluations[name].utterances for name in (PRETRAINED, ADAPTED))
    change = {a.id: a.word_counts.errors - b.word_counts.errors for b, a in zip(before, after, strict=True)}
    return {
        "before": PRETRAINED,
        "after": ADAPTED,
        "improved": sum(value < 0 for value in change.values()),
        "worsened": sum(value > 0 for value in change.values()),
        "unchanged": sum(value == 0 for value in change.values()),
        "most_improved": _shown(scored, sorted((i for i in change if change[i] < 0), key=lambda i: (change[i], i))),
        "most_worsened": _shown(scored, sorted((i for i in change if change[i] > 0), key=lambda i: (-change[i], i))),
    }


def _shown(scored: ScoredSet, ids: Sequence[str]) -> list[Json]:
    names = [name for name in MAIN if name in scored.evaluations]
    rows = {name: {u.id: u for u in scored.evaluations[name].utterances} for name in names}
    return [_example([(name, rows[name][i]) for name in names]) for i in ids[:SHOWN]]


def _example(rows: Sequence[tuple[str, UtteranceScore]]) -> Json:
    _, first = rows[0]
    return {
        "id": first.id,
        "domain": first.domain,
        "speaker": first.speaker,
        "reference": first.reference,
        "words": first.word_counts.words,
        "systems": [_heard(name, row) for name, row in rows],
    }


def _heard(name: str, row: UtteranceScore) -> Json:
    steps = word_alignment(row.sentence, row.heard)
    return {
        "name": name,
        "errors": row.word_counts.errors,
        "hypothesis": row.hypothesis,
        "steps": [list(step) for step in steps[:_MOST_STEPS]],
        "steps_cut": max(0, len(steps) - _MOST_STEPS),
    }
