"""The part of a report on decode-time methods: listed and other words apart, recall, false alarms, and prompts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from asr_tv.report.scores import judged, span
from asr_tv.report.systems import ADAPTED, ADAPTED_PROMPTED, PRETRAINED, PRETRAINED_PROMPTED
from asr_tv.report.table import Table, build, count, difference, field, interval, number, rate, system, text
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.evaluation import Evaluation, compare
from asr_tv.scoring.listed import ListedScore, listed_score

Json = dict[str, Any]


def biasing_part(
    evaluations: Mapping[str, Evaluation],
    terms: Sequence[str],
    distractors: Sequence[str],
    seconds: float,
    bootstrap: Bootstrap,
) -> Json:
    """Every system under the same list; distractors count as listed, since a word of theirs is a false alarm.

    Args:
        terms, distractors: normalised.
        seconds: of the recordings.
    """
    listed = (*terms, *distractors)
    rows = [_row(name, listed_score(e, listed, seconds, bootstrap)) for name, e in evaluations.items()]
    prompted = list(_prompted(evaluations, bootstrap))
    return {"terms": list(terms), "distractors": list(distractors), "systems": rows, "prompted": prompted}


def _prompted(evaluations: Mapping[str, Evaluation], bootstrap: Bootstrap) -> Iterator[Json]:
    """What a prompt changes of each model, and the two models with the prompt against each other."""
    pairs = ((PRETRAINED_PROMPTED, PRETRAINED), (ADAPTED_PROMPTED, ADAPTED), (ADAPTED_PROMPTED, PRETRAINED_PROMPTED))
    for name, against in pairs:
        if name in evaluations and against in evaluations:
            result = compare(evaluations[name], evaluations[against], **asdict(bootstrap))
            yield {"system": name, "against": against, **judged(result)}


def _row(name: str, score: ListedScore) -> Json:
    return {
        "system": name,
        "listed_wer": score.listed_wer,
        "listed": span(score.listed_interval),
        "other_wer": score.other_wer,
        "other": span(score.other_interval),
        "recall": score.terms.recall,
        "precision": score.terms.precision,
        "expected": score.terms.expected,
        "false_alarms": score.false_alarms,
        "false_alarms_per_hour": score.false_alarms_per_hour,
    }


def biasing_note(part: Mapping[str, Any]) -> str:
    """What the table counts."""
    return (
        f"{len(part['terms'])} terms and {len(part['distractors'])} distractors are listed. Errors are counted apart "
        "for words that stand in a listed term and for all others; a false alarm is a listed term that was heard and "
        "not said."
    )


def biasing_table(part: Mapping[str, Any], rates: str = "WER") -> Table | None:
    """Each system's errors in listed and in other words, its recall, and its false alarms."""
    fields = [
        field("system", lambda row: system(row["system"])),
        rate(f"listed {rates} %", "listed_wer"),
        interval(f"listed {rates} %", "listed"),
        rate(f"other {rates} %", "other_wer"),
        interval(f"other {rates} %", "other"),
        rate("recall %", "recall"),
        rate("precision %", "precision"),
        count("false alarms", "false_alarms"),
        number("an hour", "false_alarms_per_hour", form=".0f"),
    ]
    return build("biasing", "What words alone bought, and what they cost", part["systems"], fields)


def prompt_table(part: Mapping[str, Any]) -> Table | None:
    """Whether a model can be prompted: a model tuned without prompts may get worse by one."""
    fields = [
        field("system", lambda row: system(row["system"])),
        field("against", lambda row: system(row["against"])),
        *difference(lambda row: row, hint="system minus against, in points of WER", verdict="it is"),
    ]
    return build("prompted", "Whether a prompt still works, on the target", part.get("prompted", ()), fields)


def choice_table(part: Mapping[str, Any]) -> Table | None:
    """What each row set, and on how many words of the folds that was chosen."""
    fields = [
        field("system", lambda row: system(row["system"])),
        field("chosen", lambda row: text(setting_told(row["chosen"]))),
        field("among", lambda row: text(_tried(row["tried"]))),
    ]
    return build("biasing_choices", "Strengths, chosen on the folds", part["choices"], fields)


def setting_told(setting: Mapping[str, float]) -> str:
    """What a row sets, by name."""
    return ", ".join(f"{name} {value:g}" for name, value in setting.items()) or "off"


def _tried(tried: Sequence[tuple[Mapping[str, float], int, int]]) -> str:
    rates = [f"{setting_told(setting)}: {100 * errors / words:.1f} %" for setting, errors, words in tried if words]
    return "; ".join(rates) or "not chosen on recordings"
