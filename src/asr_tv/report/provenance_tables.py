"""Tables of where the numbers come from: synthesis, ledger, stages, corpora, conditions, settings."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asr_tv.report.score_tables import audio_context, set_title
from asr_tv.report.systems import display_name
from asr_tv.report.table import PAGE_ONLY, Bar, Cell, Column, Table, numeric, percent, table, text, texts, whole

Row = Mapping[str, Any]


def seconds(value: float) -> Cell:
    """A cell of a time."""
    return Cell(f"{value:,.1f}".replace(",", "\u202f"), number=value)


def synthesis_table(report: Row) -> Table | None:
    """What each call of the synthesiser made and lost."""
    titles = ("yield %", "clips", "lost clips", "lost texts", "minutes of speech", "spoken now", "reused")
    rows = [
        [
            text(s["label"]),
            percent(s["yield"]),
            whole(s["clips"]),
            whole(s["dropped_clips"]),
            whole(s["details"].get("dropped_texts")),
            seconds(s["seconds"] / 60),
            *(whole(s["details"].get(key)) for key in ("executed_clips", "reused_clips")),
        ]
        for s in report["synthesis"]
    ]
    return table("synthesis", "Synthesis yield", [*texts("synthesis"), *numeric(*titles)], rows)


def gate_table(report: Row) -> Table | None:
    """What the quality gate kept, one row per set of clips and voice; None where there was no gate."""
    columns = [
        *texts("clips", "voice", "kept", "all voices", "rare words", "common words"),
        *numeric("retakes", "lost texts"),
        *texts("why"),
    ]
    rows = [
        [
            text(what),
            # Where several engines speak, each voice already carries its engine's name.
            text(voice if "+" in gate["engine"] else f"{gate['engine']} {voice}"),
            *map(_share, (counts, gate["all"], gate["rare"], gate["common"])),
            whole(gate["retakes"]),
            whole(len(gate["lost_texts"])),
            text(", ".join(f"{reason}: {count}" for reason, count in gate["reasons"].items()) or None),
        ]
        for what, gate in report.get("gates", {}).items()
        for voice, counts in gate["voices"].items()
    ]
    note = "Kept of judged clips, retakes included. Rare: a word of the text is not one token of Whisper's vocabulary."
    return table("gates", "Quality gate", columns, rows, note=note)


def _share(counts: Row) -> Cell:
    if counts["rate"] is None:
        return text(None)
    return text(f"{counts['kept']} of {counts['clips']} ({100 * counts['rate']:.1f} %)")


def ledger_tables(report: Row) -> tuple[Table | None, Table | None]:
    """Reads that should not have been, and what each kind of stage read."""
    ledger = report["ledger"]
    leaks = [
        (row["stage"], row["label"], row["manifest"], *(", ".join(row[key]) for key in ("domains", "origins")))
        for row in ledger["target_recordings_read_before_scoring"]
    ]
    kinds = Counter(
        (row["stage"], *(", ".join(row[key]) for key in ("origins", "splits", "domains"))) for row in ledger["entries"]
    )
    summary = [[*map(text, kind), whole(count)] for kind, count in kinds.items()]
    columns = [*texts("stage", "origins", "splits", "domains"), *numeric("reads")]
    titles = ("stage", "label", "manifest", "domains", "origins")
    return (
        _texts("leaks", "Target recordings read before the final scoring", titles, leaks),
        table("ledger", "What each kind of stage read", columns, summary),
    )


def dropped_tables(report: Row) -> tuple[Table | None, Table | None]:
    """Reasons with their counts, and the utterances themselves."""
    dropped = report["dropped"]
    reasons = [[text(reason), whole(count)] for reason, count in dropped["by_reason"].items()]
    rows = [[text(row[key]) for key in ("id", "stage", "reason")] for row in dropped["utterances"]]
    columns = [*texts("reason"), *numeric("utterances")]
    return (
        table("dropped-reasons", "Why utterances were left out", columns, reasons),
        table("dropped", "Utterances left out", texts("id", "stage", "reason"), rows, most=200),
    )


def stage_table(report: Row) -> Table | None:
    """Every stage with its time and whether it was in the cache."""
    longest = max((s["seconds"] for s in report["stages"]), default=0.0) or 1.0
    columns = [
        *numeric("order"),
        *texts("stage", "label", "state"),
        *numeric("seconds"),
        Column("time", True, priority=PAGE_ONLY),
        *texts("key"),
    ]
    rows = [
        [
            whole(number),
            *(text(s[key]) for key in ("name", "label", "state")),
            seconds(s["seconds"]),
            _time_bar(s, longest),
            text(s["key"]),
        ]
        for number, s in enumerate(report["stages"], 1)
    ]
    return table("stages", "Stages in the order of the graph", columns, rows, most=2000)


def _time_bar(stage: Row, longest: float) -> Cell:
    kind = "cached" if stage["state"] == "cached" else "work"
    return Cell("", stage["seconds"], bar=Bar(stage["seconds"] / longest, kind=kind))


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
    rows = [
        [
            *(text(c[key]) for key in ("name", "licence", "simulated_line")),
            whole(c["utterances"]),
            seconds(c["seconds"] / 60),
        ]
        for c in report["corpus"]["corpora"]
    ]
    columns = [*texts("corpus", "licence", "simulated line"), *numeric("utterances", "minutes")]
    return table("corpora", "Corpora", columns, rows)


_NAMED = ("checkpoint", "manifest", "normalizer", "normalizer_version", "simulated_line", "audio_context")


def score_conditions(report: Row) -> Iterator[Table]:
    """The conditions of every score, and the weights it was taken with."""
    scored = [row for row in report["systems"] if row["conditions"]]
    sets = list(dict.fromkeys(_condition(row) for row in scored))
    titles = ("set", "audio context", "normaliser", "its version", "decoding", "references (sha256)", "simulated line")
    weights = list(
        dict.fromkeys((display_name(row["name"]), row["name"], str(row["conditions"]["checkpoint"])) for row in scored)
    )
    made = (
        _texts("conditions", "Conditions of the scores", titles, sets),
        _texts("checkpoints", "Checkpoints", ("system", "name in report.json", "weights (sha256)"), weights),
    )
    yield from (one for one in made if one is not None)


def run_conditions(report: Row) -> Iterator[Table]:
    """Versions and settings of the run."""
    made = (
        _texts("packages", "Versions", ("package", "version"), sorted(report["packages"].items())),
        _texts("settings", "Settings of the run", ("key", "value"), list(_flat(report["settings"]))),
    )
    yield from (one for one in made if one is not None)


def _condition(row: Row) -> tuple[str, ...]:
    values = row["conditions"]
    return (
        f"{set_title(row)}, {row['split']}",
        str(audio_context(row)),
        values["normalizer"],
        values["normalizer_version"],
        ", ".join(f"{key} {value}" for key, value in values.items() if key not in _NAMED) or "not stated",
        values["manifest"],
        str(values.get("simulated_line") or "none"),
    )


def _texts(id: str, caption: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table | None:
    return table(id, caption, texts(*titles), [[text(value) for value in row] for row in rows])


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
