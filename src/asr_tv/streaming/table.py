"""All agents on all orders of a stream, scored against the frozen recogniser: one JSON-able part."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from asr_tv.data.manifest import Manifest
from asr_tv.data.orders import in_orders
from asr_tv.scoring.bootstrap import Bootstrap, Difference
from asr_tv.store.results import Record
from asr_tv.store.runtime import Runtime
from asr_tv.streaming.harness import Teaching
from asr_tv.streaming.journal import Turn, read_turns
from asr_tv.streaming.metrics import StreamScore, score_stream
from asr_tv.streaming.specs import FROZEN, KINDS, Setup
from asr_tv.streaming.stage import JOURNAL, stream
from asr_tv.text.normalize import Normalizer

Json = dict[str, Any]


@dataclass(frozen=True)
class StreamPlan:
    """Who hears a stream, how often in other orders, and what they are told."""

    agents: tuple[str, ...]
    setup: Setup
    teaching: Teaching
    orders: int = 1


def stream_table(
    runtime: Runtime,
    checkpoint: Record,
    manifest: Manifest,
    plan: StreamPlan,
    normalize: Normalizer,
    bootstrap: Bootstrap,
) -> Json:
    """Every agent's row, the frozen one first; each (agent, order) is cached by itself.

    Raises:
        DataError: as `stream`.
    """
    ordered, setup, teaching = in_orders(manifest, plan.orders), plan.setup, plan.teaching
    names = list(dict.fromkeys([FROZEN, *plan.agents]))
    records = {
        name: [stream(runtime, checkpoint, one, name, setup, teaching, normalize) for one in ordered] for name in names
    }
    turns = {name: [read_turns(record.path / JOURNAL) for record in found] for name, found in records.items()}
    sentences = {u.id: normalize(u.text) for u in manifest}
    rows = [_row(name, turns, records[name], sentences, bootstrap) for name in names]
    learnt = [row["agent"] for row in rows if row["hears"] not in ("nothing", "text")]
    return {
        "turns": len(manifest),
        "seconds": round(manifest.seconds, 1),
        "sentences": len(set(sentences.values())),
        "feedback": asdict(teaching),
        "orders": plan.orders,
        "normalizer": normalize.name,
        "bootstrap": asdict(bootstrap),
        "agents": rows,
        "heard_without_labels": [{"manifest": manifest.name, "digest": manifest.digest, "systems": learnt}]
        if learnt
        else [],
    }


def _row(
    name: str,
    turns: Mapping[str, Sequence[Sequence[Turn]]],
    records: Sequence[Record],
    sentences: Mapping[str, str],
    bootstrap: Bootstrap,
) -> Json:
    scores = [
        score_stream(own, frozen, [sentences[t.id] for t in own], bootstrap)
        for own, frozen in zip(turns[name], turns[FROZEN], strict=True)
    ]
    return {
        "agent": name,
        "hears": KINDS[name].hears,
        "orders": [_told(score) for score in scores],
        "memory": records[0].details.get("memory", []),
        "digests": [record.details["digest"] for record in records],
    }


def _told(score: StreamScore) -> Json:
    return asdict(score) | {"difference": _bounded(score.difference)}


def _bounded(difference: Difference | None) -> Json | None:
    """JSON has no infinity; null stands for an end that is unknown."""
    if difference is None:
        return None
    return {name: value if isfinite(value) else None for name, value in difference._asdict().items()}
