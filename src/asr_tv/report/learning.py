"""Tables of test-time adaptation and of streams, from their JSON; drawn in terminals and as Markdown."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asr_tv.report.table import Table, as_markdown, build, count, field, number, rate, text

if TYPE_CHECKING:
    from asr_tv.scoring.adapted import AdaptedScore

Json = dict[str, Any]
_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDTH = 40


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
                "ci": [low, _finite(high)],
                "difference": d and d.difference,
                "difference_ci": d and [_finite(d.low), _finite(d.high)],
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


def _finite(value: float) -> float | None:
    return None if value in (float("inf"), float("-inf")) else value


def adapted_table(rows: Sequence[Mapping[str, Any]]) -> Table | None:
    """Each method against the unadapted model; entropy beside errors, since it can fall while they rise."""
    fields = [
        field("method", lambda row: text(row.get("system", row["method"]))),
        field("hears", lambda row: text(row["hears"])),
        rate("WER %", "wer", priority=0),
        field("95 %", lambda row: text(_between(row["ci"], signed=False))),
        field("minus none, points", lambda row: text(_change(row))),
        field("better / equal / worse", lambda row: text(_moved(row))),
        field("entropy", lambda row: text(_entropy(row["told"]))),
        field("other orders", lambda row: text(", ".join(f"{100 * r:.1f}" for r in row["orders"][1:]))),
        number("s per s", "seconds_per_second"),
    ]
    return build("test_time", "Test-time adaptation", rows, fields)


def _between(ends: Sequence[float | None] | None, *, signed: bool) -> str:
    if not ends or None in ends:
        return "unknown" if ends else ""
    form = "+.1f" if signed else ".1f"
    return f"[{100 * (ends[0] or 0):{form}}, {100 * (ends[1] or 0):{form}}]"


def _change(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return ""
    return f"{100 * row['difference']:+.1f} {_between(row['difference_ci'], signed=True)}"


def _moved(row: Mapping[str, Any]) -> str:
    return "" if row["difference"] is None else f"{row['better']} / {row['equal']} / {row['worse']}"


def _entropy(told: Mapping[str, Any]) -> str:
    return f"{told['entropy_before']:.2f} to {told['entropy_after']:.2f}" if "entropy_before" in told else ""


def stream_agents_table(part: Mapping[str, Any]) -> Table | None:
    """Each agent against the frozen recogniser, on the first order; the range of all orders beside it."""
    fields = [
        field("agent", lambda row: text(row["agent"])),
        field("hears", lambda row: text(row["hears"])),
        rate("WER %", "wer", priority=0),
        field("minus frozen, points", lambda row: text(_stream_change(row))),
        field("all orders, points", lambda row: text(row["range"])),
        field("last quarter", lambda row: text(_points(row["last_quarter"]))),
        field("first said", lambda row: text(_points(row["first"]))),
        field("said again", lambda row: text(_points(row["repeated"]))),
        rate("right %", "right"),
        count("regret", "final_regret"),
        number("s a turn", "seconds"),
    ]
    return build("stream", "Agents on the stream", [_stream_row(row) for row in part["agents"]], fields)


def _stream_row(row: Mapping[str, Any]) -> Json:
    first, *_ = orders = row["orders"]
    changes = [100 * o["difference"]["difference"] for o in orders if o["difference"]]
    told = f"{min(changes):+.1f} to {max(changes):+.1f}" if len(changes) > 1 else ""
    names = {"agent": row["agent"], "hears": row["hears"], "range": told}
    return {**first, **names, "final_regret": first["regret"][-1] if first["regret"] else 0}


def _stream_change(row: Mapping[str, Any]) -> str:
    d = row["difference"]
    return f"{100 * d['difference']:+.1f} {_between([d['low'], d['high']], signed=True)}" if d else ""


def _points(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.1f}"


def curve(values: Sequence[float]) -> str:
    """A line of blocks over the turns; the lowest value is the lowest block."""
    if not values:
        return ""
    picked = [values[n * (len(values) - 1) // max(1, _WIDTH - 1)] for n in range(min(_WIDTH, len(values)))]
    low, span = min(picked), (max(picked) - min(picked)) or 1
    return "".join(_BLOCKS[round((value - low) / span * (len(_BLOCKS) - 1))] for value in picked)


def render_stream(part: Mapping[str, Any]) -> str:
    """The report of a stream as Markdown: table, curves of regret, memory, and who heard what."""
    told = part["feedback"]
    lines = [
        "# Stream\n",
        f"{part['turns']} turns, {part['sentences']} sentences, feedback: {told['mode']} on {100 * told['ask']:g} % of "
        f"the turns, orders: {part['orders']}. Differences are to the frozen recogniser on the same turns, with 95 % "
        "intervals over blocks of 20 turns.\n",
        as_markdown(stream_agents_table(part)),
        "\n## Regret: errors more than the frozen recogniser's, over the turns\n",
    ]
    for row in part["agents"][1:]:
        regret = row["orders"][0]["regret"]
        lines.append(f"    {row['agent']:<20} {curve(regret)} {regret[-1] if regret else 0:+d}")
    memories = [(row["agent"], row["memory"]) for row in part["agents"] if row["memory"]]
    if memories:
        lines.append("\n## What is remembered at the end\n")
        lines += [f"- {name}: {', '.join(map(_item, memory[:20]))}" for name, memory in memories]
    lines.append("\n## Heard without labels or with feedback\n")
    heard = [f"- {row['manifest']}: {', '.join(row['systems'])}" for row in part["heard_without_labels"]]
    lines += heard or ["- nobody heard recordings of the target before answering them"]
    lines.append("\nThese agents learn from the target's recordings: none of them counts as adapted from text alone.")
    return "\n".join(lines) + "\n"


def _item(item: Any) -> str:
    return f"{item[0]} x{item[1]}" if isinstance(item, list) else f"“{item}”"
