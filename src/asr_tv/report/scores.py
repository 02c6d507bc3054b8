"""The scores in a report: each system's rates, adapted against each rival, terms, and what was forgotten."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import inf, isfinite
from typing import Any

from asr_tv.report.inputs import BoundInput, ReportInputs, SystemInput, TermsInput
from asr_tv.report.likeness.bound import domain_words_part
from asr_tv.report.systems import ADAPTED, ADAPTED_SHORT, MAIN, PRETRAINED
from asr_tv.report.verdict import NO_TARGET, difference_verdict, set_of
from asr_tv.scoring.bootstrap import Difference, Interval
from asr_tv.scoring.evaluation import AUDIO_CONTEXT, Conditions
from asr_tv.scoring.scored_set import ScoredSet
from asr_tv.scoring.terms import TermCounts

Json = dict[str, Any]
SetName = tuple[str, str, str]
Sets = Mapping[SetName, ScoredSet]

_IDS = 20  # of looping utterances, at most


def system_row(system: SystemInput, sets: Sets) -> Json:
    """One row of the WER table; its numbers are null where the system was not scored."""
    row: Json = {
        "name": system.name,
        "role": system.role,
        "domain": system.domain,
        "split": system.split,
        "text_only": system.text_only,
        "scaling_coef": system.scaling_coef,
        **dict.fromkeys(("wer", "cer", "ci_low", "ci_high", "errors", "words", "characters", "hits")),
        **dict.fromkeys(("substitutions", "deletions", "insertions", "utterances", "sentences")),
        **dict.fromkeys(("raw_wer", "raw_errors", "raw_words", "loops")),
        "loop_ids": [],
        "conditions": {},
        "note": None,
    }
    if system.evaluation is None:
        return {**row, "note": system.note or (NO_TARGET if system.role == "target" else "no recordings")}
    return {**row, **_scores(system, sets[system.set])}


def _scores(system: SystemInput, scored: ScoredSet) -> Json:
    evaluation = scored.evaluations[system.name]
    loops, raw = scored.loops(system.name), evaluation.raw_word_counts
    return {
        "wer": finite(evaluation.wer),
        "cer": finite(evaluation.cer),
        **span(scored.interval(system.name)),
        "errors": evaluation.word_counts.errors,
        "words": evaluation.word_counts.words,
        "characters": evaluation.character_counts.words,
        **asdict(evaluation.word_counts),
        "utterances": len(evaluation.utterances),
        "sentences": evaluation.sentences,
        "raw_wer": finite(raw.rate),
        "raw_errors": raw.errors,
        "raw_words": raw.words,
        "loops": len(loops),
        "loop_ids": loops[:_IDS],
        "conditions": _conditions(evaluation.conditions, system.simulated_line),
    }


def span(interval: Interval) -> Json:
    """An interval's ends for JSON, null where they are unknown."""
    low, high = interval.ends
    return {"ci_low": low, "ci_high": high}


def _conditions(conditions: Conditions, simulated_line: str | None) -> Json:
    return {
        AUDIO_CONTEXT: None,
        **dict(conditions.decoding),
        "checkpoint": conditions.checkpoint,
        "manifest": conditions.manifest,
        "normalizer": conditions.normalizer,
        "normalizer_version": conditions.normalizer_version,
        "simulated_line": simulated_line,
    }


def finite(value: float) -> float | None:
    """The value, or None (JSON's null) where it is infinite or undefined."""
    return value if isfinite(value) else None


def comparison_rows(systems: Sequence[SystemInput], sets: Sets) -> list[Json]:
    """Adapted against every other system on each set that both were scored on."""
    return [
        _compared(rival, sets[rival.set])
        for rival in systems
        if rival.evaluation is not None
        and rival.name not in (ADAPTED, ADAPTED_SHORT)
        and ADAPTED in sets[rival.set].evaluations
    ]


def _compared(rival: SystemInput, scored: ScoredSet) -> Json:
    result, wer = scored.difference(ADAPTED, rival.name), scored.evaluations[rival.name].wer
    return {
        "rival": rival.name,
        "role": rival.role,
        "domain": rival.domain,
        "split": rival.split,
        "text_only": rival.text_only,
        **difference_row(result),
        "relative": finite(result.difference / wer) if wer else None,
        "verdict": difference_verdict(result.low, result.high),
        "matched_pairs": scored.matched_pairs(ADAPTED, rival.name)._asdict(),
    }


def difference_row(result: Difference) -> Json:
    """A difference with its interval for JSON, null where they are unknown."""
    low, high = finite(result.low), finite(result.high)
    return {"difference": finite(result.difference), "ci_low": low, "ci_high": high, "p": result.p}


def judged(result: Difference) -> Json:
    """A difference of WER with its interval and its verdict."""
    return {**difference_row(result), "verdict": difference_verdict(result.low, result.high)}


def forgetting_part(systems: Sequence[Json], comparison: Sequence[Json], inputs: ReportInputs) -> Json:
    """Adapted against pretrained on general speech, and where almost nothing is said; passed is null without either.

    A model that loops where the pretrained one does not has not passed, whatever its WER.
    """
    bound, dev = inputs.max_relative, inputs.bound
    scored = {(row["name"], *set_of(row)): row for row in systems}
    rows = [
        _forgotten(row, scored[PRETRAINED, *set_of(row)], scored[ADAPTED, *set_of(row)], bound, dev.speakers)
        for row in comparison
        if row["role"] == "general" and row["rival"] == PRETRAINED
    ]
    passed = all(row["passed"] for row in rows) if rows else None
    loops = _probed_loops(inputs.retention)
    if loops_more(inputs.retention, ADAPTED):
        passed = False
    words = domain_words_part(inputs.retention, inputs.max_domain_words)
    if words and not words["domain_words"]["passed"]:
        passed = False
    return {"bound": bound, "passed": passed, "rows": rows, "probed_loops": loops, "dev": _dev_part(dev), **words}


def loops_more(retention: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether a system looped more often than the pretrained model where almost nothing was said."""
    loops = _probed_loops(retention) or {}
    return loops.get(name, 0) > loops.get(PRETRAINED, 0)


def _probed_loops(retention: Sequence[Mapping[str, Any]]) -> dict[str, int] | None:
    """System -> hypotheses that loop, of all kinds of clip; None where nothing was probed."""
    return {row["system"]: sum(row["loops"].values()) for row in retention if "loops" in row} or None


def within_bound(before: Json, after: Json, bound: float) -> bool:
    """Whether a row of the WER table has lost no more than the bound on another one, and loops no more often."""
    known = before["wer"] is not None and after["wer"] is not None
    return known and after["wer"] <= before["wer"] * (1 + bound) and after["loops"] <= before["loops"]


def _forgotten(row: Json, pretrained: Json, adapted: Json, bound: float, speakers: int | None) -> Json:
    return {
        **{key: row[key] for key in ("domain", "split", "difference", "ci_low", "ci_high", "p", "relative")},
        "pretrained": pretrained["wer"],
        "adapted": adapted["wer"],
        "pretrained_loops": pretrained["loops"],
        "adapted_loops": adapted["loops"],
        "words": adapted["words"],
        "speakers": speakers,
        "passed": within_bound(pretrained, adapted, bound),
    }


def _dev_part(dev: BoundInput) -> Json:
    """What the choice knew: general dev recordings by recipe; and the target's test, which it did not know."""
    recipes = [{**recipe.model_dump(), "general": finite(wer)} for recipe, wer in dev.recipes.items()]
    for recipe in recipes:
        scored = dev.target.get(recipe["pretrained_weight"])
        recipe["target"] = None if scored is None else finite(scored.wer)
    pretrained = None if dev.pretrained is None else finite(dev.pretrained)
    return {"pretrained": pretrained, "within": dev.within, "recipes": recipes}


def terms_part(terms: TermsInput, sets: Sets) -> Json:
    """Recall and precision of the domain's terms on the target's recordings."""
    scored = [(key, s) for key, s in sets.items() if key[0] == "target"] if terms.terms else []
    return {"origin": terms.origin, "terms": list(terms.terms), "sets": [_term_set(key, s) for key, s in scored]}


def _term_set(key: SetName, scored: ScoredSet) -> Json:
    counts = {name: scored.term_counts(name) for name in scored.evaluations}
    rivals = [name for name in counts if name not in (ADAPTED, ADAPTED_SHORT)] if ADAPTED in counts else []
    return {
        **dict(zip(("role", "domain", "split"), key, strict=True)),
        "systems": [_term_row(name, scored, counts[name]) for name in counts],
        "differences": [_recall_difference(rival, scored) for rival in rivals],
        "by_term": _by_term(counts),
    }


def _term_row(name: str, scored: ScoredSet, counts: Mapping[str, TermCounts]) -> Json:
    total = sum(counts.values(), TermCounts())
    interval = span(scored.recall_interval(name)) if total.expected else span(Interval(0.0, inf))
    return {"name": name, **asdict(total), "recall": total.recall, "precision": total.precision, **interval}


def _recall_difference(rival: str, scored: ScoredSet) -> Json:
    result = scored.recall_difference(ADAPTED, rival)
    # A recall is better when it is higher.
    return {"rival": rival, **difference_row(result), "verdict": difference_verdict(-result.high, -result.low)}


def _by_term(counts: Mapping[str, Mapping[str, TermCounts]]) -> list[Json]:
    names = [name for name in MAIN if name in counts]
    spoken = {t: c.expected for rows in counts.values() for t, c in rows.items()}
    heard = {name: {t: counts[name].get(t, TermCounts(spoken[t])) for t in spoken} for name in names}
    return [
        {"term": term, "expected": spoken[term], "systems": {name: asdict(heard[name][term]) for name in names}}
        for term in sorted(spoken, key=lambda t: (-spoken[t], t))
    ]
