"""The page's tables of where the numbers come from: synthesis, ledger, stages, corpora, conditions, settings."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asr_tv.report.charts import Slice, time_strip
from asr_tv.report.score_tables import set_title
from asr_tv.report.table import Bar, Cell, Column, Table, percent, table, text, whole

Row = Mapping[str, Any]


def seconds(value: float) -> Cell:
    """A cell of a time."""
    return Cell(f"{value:,.1f}".replace(",", "\u202f"), number=value)


def synthesis_table(report: Row) -> Table | None:
    """What each call of the synthesiser made and lost."""
    numeric = ("yield %", "clips", "lost clips", "lost texts", "minutes of speech", "spoken now", "reused")
    columns = [Column("synthesis"), *(Column(title, True) for title in numeric)]
    rows = []
    for s in report["synthesis"]:
        details = s["details"]
        made, lost = whole(s["clips"]), whole(s["dropped_clips"])
        counted = [whole(details.get(key)) for key in ("dropped_texts", "executed_clips", "reused_clips")]
        rows.append(
            [text(s["label"]), percent(s["yield"]), made, lost, counted[0], seconds(s["seconds"] / 60), *counted[1:]]
        )
    return table("synthesis", "Synthesis yield", columns, rows)


def gate_table(report: Row) -> Table | None:
    """What the quality gate let through; None where there was none."""
    rows = [[text(cell) for cell in row] for row in yield_rows(report.get("gates", {}))]
    return table("gates", "Quality gate", [Column(title) for title in YIELD_HEADER], rows) if rows else None


def ledger_tables(report: Row) -> tuple[Table | None, Table | None]:
    """Reads that should not have been, and a line a kind of stage of all reads."""
    ledger = report["ledger"]
    titles = ("stage", "label", "manifest", "domains", "origins")
    leaks = [
        [text(row["stage"]), text(row["label"]), text(row["manifest"]), *(text(", ".join(row[k])) for k in titles[3:])]
        for row in ledger["target_recordings_read_before_scoring"]
    ]
    kinds: dict[tuple[str, str, str, str], int] = Counter()
    for row in ledger["entries"]:
        kinds[row["stage"], *(", ".join(row[k]) for k in ("origins", "splits", "domains"))] += 1
    summary = [[*map(text, kind), whole(count)] for kind, count in kinds.items()]
    columns = [*map(Column, ("stage", "origins", "splits", "domains")), Column("reads", True)]
    return (
        table("leaks", "Target recordings read before the final scoring", [Column(t) for t in titles], leaks),
        table("ledger", "What each kind of stage read", columns, summary),
    )


def dropped_tables(report: Row) -> tuple[Table | None, Table | None]:
    """Reasons with their counts, and the utterances themselves."""
    dropped = report["dropped"]
    reasons = [[text(reason), whole(count)] for reason, count in dropped["by_reason"].items()]
    rows = [[text(row["id"]), text(row["stage"]), text(row["reason"])] for row in dropped["utterances"]]
    return (
        table(
            "dropped-reasons", "Why utterances were left out", (Column("reason"), Column("utterances", True)), reasons
        ),
        table("dropped", "Utterances left out", [Column(t) for t in ("id", "stage", "reason")], rows, most=200),
    )


def stage_table(report: Row) -> Table | None:
    """Every stage with its time and whether it was in the cache."""
    longest = max((s["seconds"] for s in report["stages"]), default=0.0) or 1.0
    columns = (
        Column("order", True),
        Column("stage"),
        Column("label"),
        Column("state"),
        Column("seconds", True),
        Column("time", True),
        Column("key"),
    )
    rows = [
        [
            whole(number),
            text(s["name"]),
            text(s["label"]),
            text(s["state"]),
            seconds(s["seconds"]),
            Cell(
                "", s["seconds"], bar=Bar(s["seconds"] / longest, kind="cached" if s["state"] == "cached" else "work")
            ),
            text(s["key"]),
        ]
        for number, s in enumerate(report["stages"], 1)
    ]
    return table("stages", "Stages in the order of the graph", columns, rows, most=2000)


def strip(report: Row) -> tuple[Slice, ...]:
    """The stages' times side by side."""
    return time_strip([(s["name"], s["label"], s["state"] == "cached", s["seconds"]) for s in report["stages"]])


def work_note(report: Row) -> str:
    """How much of the work this run did itself."""
    stages = report["stages"]
    done = [s["seconds"] for s in stages if s["state"] == "executed"]
    kept = [s["seconds"] for s in stages if s["state"] == "cached"]
    return (
        f"{len(done)} executed in {sum(done):.0f} s; {len(kept)} from the cache, which took {sum(kept):.0f} s before."
    )


def corpus_table(report: Row) -> Table | None:
    """Corpora with their licences."""
    titles = ("corpus", "licence", "simulated line")
    columns = [*map(Column, titles), Column("utterances", True), Column("minutes", True)]
    rows = [
        [
            text(c["name"]),
            text(c["licence"]),
            text(c["simulated_line"]),
            whole(c["utterances"]),
            seconds(c["seconds"] / 60),
        ]
        for c in report["corpus"]["corpora"]
    ]
    return table("corpora", "Corpora", columns, rows)


_NAMED = ("checkpoint", "manifest", "normalizer", "normalizer_version", "simulated_line", "audio_context")


def condition_tables(report: Row) -> Iterator[Table]:
    """Under what each score was taken, and which weights it is of."""
    scored = [row for row in report["systems"] if row["conditions"]]
    sets = list(dict.fromkeys(_condition(row) for row in scored))
    titles = ("set", "audio context", "normaliser", "its version", "decoding", "references (sha256)", "simulated line")
    weights = list(dict.fromkeys((row["name"], str(row["conditions"]["checkpoint"])) for row in scored))
    made = (
        _texts("conditions", "Conditions of the scores", titles, sets),
        _texts("checkpoints", "Checkpoints", ("system", "weights (sha256)"), weights),
        _texts("packages", "Versions", ("package", "version"), sorted(report["packages"].items())),
        _texts("settings", "Settings of the run", ("key", "value"), list(_flat(report["settings"]))),
    )
    yield from (one for one in made if one is not None)


def _condition(row: Row) -> tuple[str, ...]:
    values = row["conditions"]
    context = values.get("audio_context")
    return (
        set_title(row),
        f"{context:g} s" if isinstance(context, int | float) else str(context),
        values["normalizer"],
        values["normalizer_version"],
        ", ".join(f"{key} {value}" for key, value in values.items() if key not in _NAMED) or "not stated",
        values["manifest"],
        str(values.get("simulated_line") or "none"),
    )


def _texts(id: str, caption: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table | None:
    return table(id, caption, [Column(title) for title in titles], [[text(value) for value in row] for row in rows])


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys, as --set takes them."""
    items = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else None
    )
    plain = items is None or not value or (isinstance(value, list | tuple) and not isinstance(value[0], Mapping))
    if plain:
        yield path, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    else:
        for key, inner in items or ():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))


YIELD_HEADER = ("clips", "voice", "kept", "all voices", "rare words", "common words", "retakes", "lost texts", "why")


YIELD_NOTE = (
    "Clips kept of clips judged, retakes included. Rare: a word of the text is not one token of Whisper's vocabulary."
)


def yield_rows(gates: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A row a set of clips and voice, with `YIELD_HEADER` as its columns.

    Args:
        gates: set of clips -> what `clip_yield` counted, and `lost_texts`.
    """
    return [
        (
            what,
            # Where several engines speak, each voice has its engine's name before it.
            voice if "+" in gate["engine"] else f"{gate['engine']} {voice}",
            _share(counts),
            _share(gate["all"]),
            _share(gate["rare"]),
            _share(gate["common"]),
            str(gate["retakes"]),
            str(len(gate["lost_texts"])),
            ", ".join(f"{reason}: {count}" for reason, count in gate["reasons"].items()) or "-",
        )
        for what, gate in gates.items()
        for voice, counts in gate["voices"].items()
    ]


def _share(counts: Mapping[str, Any]) -> str:
    return "-" if counts["rate"] is None else f"{counts['kept']} of {counts['clips']} ({100 * counts['rate']:.1f} %)"
