"""The table of test-time adaptation, from scores to JSON to cells."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asr_tv.report.scores import finite
from asr_tv.report.table import Table, build, field, number, rate, text

if TYPE_CHECKING:
    from asr_tv.scoring.adapted import AdaptedScore

Json = dict[str, Any]


def adapted_rows(scores: Sequence["AdaptedScore"]) -> list[Json]:
    """The rows of a table of test-time adaptation as JSON."""
    rows = []
    for score in scores:
        low, high = score.interval
        d = score.difference
        rows.append(
            {
                "method": score.method,
                "hears": HEARS[score.method],
                "wer": score.wer,
                "words": score.words,
                "ci": [low, finite(high)],
                "difference": d and d.difference,
                "difference_ci": d and [finite(d.low), finite(d.high)],
                "p": d and d.p,
                "better": score.better,
                "equal": score.equal,
                "worse": score.worse,
                "orders": list(score.rates),
                "seconds_per_second": score.seconds,
                "told": dict(score.told),
            }
        )
    return rows


HEARS = {
    "none": "nothing",
    "pseudo_label": "the recording itself",
    "suta": "the recording itself",
    "continual": "earlier recordings",
    "fast_slow": "earlier recordings",
    "fast_slow+reset": "earlier recordings",
}


def adapted_table(rows: Sequence[Mapping[str, Any]]) -> Table | None:
    """Each method against the unadapted model; entropy beside errors, since it can fall while they rise."""
    fields = [
        field("method", lambda row: text(row.get("system", row["method"]))),
        field("hears", lambda row: text(row["hears"])),
        rate("WER %", "wer", priority=0),
        field("95 %", lambda row: text(between(row["ci"], signed=False))),
        field("minus none, points", lambda row: text(_change(row))),
        field("better / equal / worse", lambda row: text(_moved(row))),
        field("entropy", lambda row: text(_entropy(row["told"]))),
        field("other orders", lambda row: text(", ".join(f"{100 * r:.1f}" for r in row["orders"][1:]))),
        number("s per s", "seconds_per_second"),
    ]
    return build("test_time", "Test-time adaptation", rows, fields)


def between(ends: Sequence[float | None] | None, *, signed: bool) -> str:
    """The ends of an interval in percent; "unknown" where one is, nothing where there is no interval."""
    if not ends or None in ends:
        return "unknown" if ends else ""
    form = "+.1f" if signed else ".1f"
    return f"[{100 * (ends[0] or 0):{form}}, {100 * (ends[1] or 0):{form}}]"


def _change(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return ""
    return f"{100 * row['difference']:+.1f} {between(row['difference_ci'], signed=True)}"


def _moved(row: Mapping[str, Any]) -> str:
    return "" if row["difference"] is None else f"{row['better']} / {row['equal']} / {row['worse']}"


def _entropy(told: Mapping[str, Any]) -> str:
    return f"{told['entropy_before']:.2f} to {told['entropy_after']:.2f}" if "entropy_before" in told else ""
