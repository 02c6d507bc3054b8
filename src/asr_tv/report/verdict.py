"""The verdict of a report in words: what the adapted model gained, against whom, and where nothing was shown."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from asr_tv.report.systems import ADAPTED, ADAPTED_PROMPTED, BASELINE, PRETRAINED, RATES, rate_name
from asr_tv.safe_text import counted

BETTER, WORSE, UNDECIDED = "better", "worse", "no difference shown"
NO_TARGET = "no target recordings"

Row = Mapping[str, Any]

_PHRASES = {BETTER: "better than", WORSE: "worse than", UNDECIDED: "not shown to differ from"}


def difference_verdict(low: float, high: float) -> str:
    """Whether an interval of WER(adapted) - WER(rival) excludes zero, and on which side."""
    if high < 0:
        return BETTER
    return WORSE if low > 0 else UNDECIDED


def verdict(
    systems: Sequence[Row], comparison: Sequence[Row], forgetting: Row, leaks: Sequence[Row], confidence: float
) -> str:
    """A short paragraph that claims nothing an interval does not show. Arguments are the report's own parts."""
    adapted = [row for row in systems if row["name"] == ADAPTED and row["role"] == "target"]
    told = [_target(row, systems, comparison, confidence) for row in adapted]
    rates = rate_name(systems)
    deaf = [row["name"] for row in systems if row["role"] == "target" and _is_deaf(row)]
    unscored = "" if adapted else "adapted was not scored on the target domain."
    return " ".join(
        filter(None, [_leak(leaks), *told, unscored, heard_nothing(deaf, rates), _forgetting(forgetting, rates)])
    )


def headline(
    systems: Sequence[Row], comparison: Sequence[Row], forgetting: Row, leaks: Sequence[Row], confidence: float
) -> str:
    """What was won and what was lost: WER on the target against baseline and best rival, then general speech."""
    adapted = next((row for row in systems if row["name"] == ADAPTED and row["role"] == "target"), None)
    if adapted is None or adapted["wer"] is None:
        why = adapted["note"] if adapted else "adapted was not scored"
        return (
            f"Nothing was measured on the target domain: {why or f'{rate_name(systems)} undefined'}.{_lost(forgetting)}"
        )
    rivals = {row["rival"]: row for row in comparison if set_of(row) == set_of(adapted)}
    scores = {row["name"]: row["wer"] for row in systems if set_of(row) == set_of(adapted)}
    names = [name for name, _ in _named(rivals, best_rival(rivals, scores))]
    claims = [_short_claim(rivals[name], "the best text-only rival, " if n else "") for n, name in enumerate(names)]
    against = f", {' and '.join(claims)} ({100 * confidence:g} % intervals)" if claims else ""
    start = "NOT TEXT-ONLY: " if leaks else ""
    rate = f"{_percent(adapted['wer'])} {RATES[rate_name([adapted])]}"
    return f"{start}{rate} on {adapted['domain']}{against}.{_lost(forgetting)}"


def _lost(forgetting: Row) -> str:
    """General speech before and after, with the bound and with loops where there are any."""
    told = []
    for row in forgetting["rows"]:
        state = "within" if row["passed"] else "BEYOND"
        change = f"{_percent(row['pretrained'])} to {_percent(row['adapted'])}{loops_told(row)}"
        told.append(f" {row['domain'].capitalize()} speech {change}, {state} the bound.")
    return "".join(told)


def _short_claim(row: Row, remark: str) -> str:
    name = f"{remark}{row['rival']}"
    if row["ci_low"] is None:
        return f"nothing known against {name}"
    if row["verdict"] == UNDECIDED:
        change, low, high = (_points(row[key]) for key in ("difference", "ci_low", "ci_high"))
        return f"not shown to differ from {name} ({change} points, {low} to {high})"
    side, sign = ("below", -1) if row["verdict"] == BETTER else ("above", 1)
    ends = sorted((sign * row["ci_low"], sign * row["ci_high"]))
    between = f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"
    return f"{100 * abs(row['difference']):.1f} points ({between}) {side} {name}"


def _is_deaf(row: Row) -> bool:
    return bool(row["words"]) and not row["hits"] and not row["substitutions"] and not row["insertions"]


def heard_nothing(systems: Sequence[str], rates: str = "WER") -> str:
    """A warning about systems that wrote nothing for any recording, hence 100 % errors; empty if there are none."""
    listed = ", ".join(systems)
    return f"Wrote no word for any recording of the target, so 100 % {rates}: {listed}." if systems else ""


def unfinished(missing: Sequence[str] | None) -> str:
    """The warning that opens the report of an unfinished run; empty for a finished one."""
    if missing is None:
        return ""
    listed = ", ".join(missing[:6]) + (f" and {len(missing) - 6} more" if len(missing) > 6 else "")
    return f"UNFINISHED: this run has not come to its end; missing: {listed}. "


def _leak(leaks: Sequence[Row]) -> str:
    if not leaks:
        return ""
    labels = sorted({row["label"] for row in leaks})
    return f"NOT TEXT-ONLY: target recordings were read before the final scoring, by {', '.join(labels)}."


def _target(adapted: Row, systems: Sequence[Row], comparison: Sequence[Row], confidence: float) -> str:
    if adapted["wer"] is None:
        reason = adapted["note"] or f"{rate_name(systems)} undefined"
        return f"{reason[:1].upper()}{reason[1:]}: nothing was measured on the target domain {adapted['domain']}."
    rivals = {row["rival"]: row for row in comparison if set_of(row) == set_of(adapted)}
    scores = {row["name"]: row["wer"] for row in systems if set_of(row) == set_of(adapted)}
    best = best_rival(rivals, scores)
    named = _named(rivals, best)
    claims = [_claim(rivals[name], scores, confidence, note) for name, note in named]
    line = f"{simulated_line(adapted)}, " if simulated_line(adapted) else ""
    where = f"On the target domain {adapted['domain']} ({line}{counted(adapted['utterances'], 'utterance')})"
    found = f"{where} adapted has {_percent(adapted['wer'])} {rate_name([adapted])}"
    return f"{found}: {'; '.join(claims)}.{_also_better(rivals, dict(named))}{_prompted(rivals)}"


def set_of(row: Row) -> tuple[str, str, str]:
    """The set of recordings a row was scored on; rows are compared only within a set."""
    return row["role"], row["domain"], row["split"]


def best_rival(rivals: Mapping[str, Row], scores: Mapping[str, float | None]) -> str | None:
    """The rival of lowest WER among those that used no target recordings."""
    fair = [(wer, name) for name, row in rivals.items() if row["text_only"] and (wer := scores[name]) is not None]
    return min(fair)[1] if fair else None


def _named(rivals: Mapping[str, Row], best: str | None) -> list[tuple[str, str]]:
    """The plain method, or pretrained where a run from text alone does not train it; then the best rival."""
    remark = ", the best rival that used no target recordings"
    first = BASELINE if BASELINE in rivals else PRETRAINED
    named = [(first, remark if best == first else "")] if first in rivals else []
    return named if best in (None, first) else [*named, (best, remark)]


def simulated_line(row: Row) -> str:
    """The label of a score on studio recordings made noisy; empty for any other."""
    return "simulated line" if row["conditions"].get("simulated_line") else ""


def _claim(row: Row, scores: Mapping[str, float | None], confidence: float, remark: str) -> str:
    name, wer = row["rival"], _percent(scores[row["rival"]])
    if row["difference"] == row["ci_low"] == row["ci_high"] == 0:
        return f"no word more or less wrong than {name} at {wer}{remark}"
    relative = "" if row["relative"] is None else f", {100 * row['relative']:+.0f} % relative"
    if row["ci_low"] is None:
        spread = "interval unknown: fewer than two sentences"
    else:
        spread = f"{100 * confidence:g} % interval {_points(row['ci_low'])} to {_points(row['ci_high'])}"
    numbers = f"{_points(row['difference'])} points, {spread}{relative}"
    return f"{_PHRASES[row['verdict']]} {name} at {wer}{remark} ({numbers})"


def _also_better(rivals: Mapping[str, Row], named: Container[str]) -> str:
    others = [n for n, r in rivals.items() if r["verdict"] == WORSE and r["text_only"] and n not in named]
    return f" Also better than adapted: {', '.join(sorted(others))}." if others else ""


def _prompted(rivals: Mapping[str, Row]) -> str:
    """Whether the adapted model can still be prompted, where it was; the rows have adapted minus its prompted self."""
    row = rivals.get(ADAPTED_PROMPTED)
    if row is None:
        return ""
    told = {WORSE: "makes it better", BETTER: "makes it worse", UNDECIDED: "is not shown to change it"}[row["verdict"]]
    change, low, high = (_points(row[key] and -row[key]) for key in ("difference", "ci_high", "ci_low"))
    spread = "interval unknown" if row["ci_low"] is None else f"{low} to {high}"
    return f" The prompt that was chosen for pretrained {told} ({change} points, {spread})."


def _forgetting(forgetting: Row, name: str) -> str:
    failed = [row for row in forgetting["rows"] if not row["passed"]]
    if not forgetting["rows"]:
        return _probed(forgetting).strip()
    bound = f"the bound of {100 * forgetting['bound']:g} % relative"
    if not failed:
        rates = ", ".join(f"{_percent(r['pretrained'])} to {_percent(r['adapted'])}" for r in forgetting["rows"])
        told = f"General speech stays within {bound}: {rates} {name}, no more loops than before."
    else:
        told = f"General speech was lost beyond {bound}: {', '.join(map(_failure, failed))}."
    return f"{told} {_ground(forgetting)}{_probed(forgetting)}"


def _probed(forgetting: Row) -> str:
    """Loops where almost nothing is said, where that was probed."""
    loops = forgetting.get("probed_loops")  # reports of before know none
    if not loops:
        return ""
    before, after = loops[PRETRAINED], loops[ADAPTED]
    told = f" In silence, noise, music and clips of one or two words it has {counted(after, 'loop')}"
    return f"{told}, pretrained {before}{': DO NOT USE IT AS IT IS.' if after > before else '.'}"


_FEW_ERRORS = 5
"""A bound of fewer errors is crossed by chance."""


def _ground(forgetting: Row) -> str:
    """On how much speech the bound was tested."""
    words = sum(row["words"] for row in forgetting["rows"])
    speakers = {row["speakers"] for row in forgetting["rows"]} - {None}
    of = f" of {'one speaker' if speakers == {1} else f'{max(speakers)} speakers'}" if speakers else ""
    allowed = forgetting["bound"] * sum((row["pretrained"] or 0) * row["words"] for row in forgetting["rows"])
    told = f"That rests on {counted(words, 'word')}{of}, where the bound is {allowed:.1f} errors"
    return f"{told}: too few to tell a small loss from chance." if allowed < _FEW_ERRORS else f"{told}."


def _failure(row: Row) -> str:
    return f"{row['domain']} {_percent(row['pretrained'])} to {_percent(row['adapted'])}{loops_told(row)}"


def loops_told(row: Row) -> str:
    """What is added to a change on general speech whose rows count loops, and adapted has any."""
    return f", {row['pretrained_loops']} to {row['adapted_loops']} loops" if row.get("adapted_loops") else ""


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f} %"


def _points(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:+.1f}"
