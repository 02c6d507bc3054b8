"""The report of a stream as Markdown: table, curves, memory, and who heard what."""

from collections.abc import Mapping, Sequence
from typing import Any

from asr_tv.report.learning.adapted import between
from asr_tv.report.table import Table, as_markdown, build, count, field, number, rate, text

Json = dict[str, Any]
_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDTH = 40


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
    return f"{100 * d['difference']:+.1f} {between([d['low'], d['high']], signed=True)}" if d else ""


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
