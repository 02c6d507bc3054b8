"""Tables of where the numbers come from: synthesis, ledger, stages, corpora, conditions, settings."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asr_tv.report.score_tables import audio_context, set_title
from asr_tv.report.systems import display_name
from asr_tv.report.table import PAGE_ONLY, Bar, Cell, Table, build, count, field, number, plain, rate, text, words

Row = Mapping[str, Any]


def _minutes(row: Row) -> Cell:
    return plain(row["seconds"] / 60, ",.1f")


def synthesis_table(report: Row) -> Table | None:
    """What each call of the synthesiser made and lost."""
    fields = [
        words("synthesis", "label"),
        rate("yield %", "yield"),
        count("clips"),
        count("lost clips", "dropped_clips"),
        count("lost texts", "details", "dropped_texts"),
        field("minutes of speech", _minutes, numeric=True),
        count("spoken now", "details", "executed_clips"),
        count("reused", "details", "reused_clips"),
    ]
    return build("synthesis", "Synthesis yield", report["synthesis"], fields)


def gate_table(report: Row) -> Table | None:
    """What the quality gate kept, one row per set of clips and voice; None where there was no gate."""
    rows = [
        {**gate, "what": what, "voice": voice, "own": counts}
        for what, gate in report.get("gates", {}).items()
        for voice, counts in gate["voices"].items()
    ]
    fields = [
        words("clips", "what"),
        # Where several engines speak, each voice already carries its engine's name.
        field("voice", lambda g: text(g["voice"] if "+" in g["engine"] else f"{g['engine']} {g['voice']}")),
        field("kept", lambda g: _share(g["own"])),
        field("all voices", lambda g: _share(g["all"])),
        field("rare words", lambda g: _share(g["rare"])),
        field("common words", lambda g: _share(g["common"])),
        count("retakes"),
        field("lost texts", lambda g: plain(len(g["lost_texts"])), numeric=True),
        field("why", lambda g: text(", ".join(f"{reason}: {n}" for reason, n in g["reasons"].items()) or None)),
    ]
    note = "Kept of judged clips, retakes included. Rare: a word of the text is not one token of Whisper's vocabulary."
    return build("gates", "Quality gate", rows, fields, note=note)


def _share(counts: Row) -> Cell:
    if counts["rate"] is None:
        return text(None)
    return text(f"{counts['kept']} of {counts['clips']} ({100 * counts['rate']:.1f} %)")


def ledger_tables(report: Row) -> tuple[Table | None, Table | None]:
    """Reads that should not have been, and what each kind of stage read."""
    kinds: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in map(_joined, report["ledger"]["entries"]):
        read = tuple(row[key] for key in ("stage", "origins", "splits", "domains"))
        kinds.setdefault(read, {**row, "reads": 0})["reads"] += 1
    leaks = map(_joined, report["ledger"]["target_recordings_read_before_scoring"])
    leak_fields = map(words, ("stage", "label", "manifest", "domains", "origins"))
    kind_fields = [*map(words, ("stage", "origins", "splits", "domains")), count("reads")]
    return (
        build("leaks", "Target recordings read before the final scoring", leaks, [*leak_fields]),
        build("ledger", "What each kind of stage read", kinds.values(), kind_fields),
    )


def _joined(row: Row) -> Row:
    return {**row, **{key: ", ".join(row[key]) for key in ("origins", "splits", "domains")}}


def dropped_tables(report: Row) -> tuple[Table | None, Table | None]:
    """Reasons with their counts, and the utterances themselves."""
    dropped = report["dropped"]
    reasons = [{"reason": reason, "utterances": n} for reason, n in dropped["by_reason"].items()]
    each = [*map(words, ("id", "stage", "reason"))]
    return (
        build("dropped-reasons", "Why utterances were left out", reasons, [words("reason"), count("utterances")]),
        build("dropped", "Utterances left out", dropped["utterances"], each, most=200),
    )


def stage_table(report: Row) -> Table | None:
    """Every stage with its time and whether it was in the cache."""
    longest = max((s["seconds"] for s in report["stages"]), default=0.0) or 1.0
    rows = [{**stage, "order": n} for n, stage in enumerate(report["stages"], 1)]
    fields = [
        count("order"),
        words("stage", "name"),
        words("label"),
        words("state"),
        number("seconds", form=",.1f"),
        field("time", lambda s: _time_bar(s, longest), numeric=True, priority=PAGE_ONLY),
        words("key"),
    ]
    return build("stages", "Stages in the order of the graph", rows, fields, most=2000)


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
    fields = [
        words("corpus", "name"),
        words("licence"),
        words("simulated line", "simulated_line"),
        count("utterances"),
        field("minutes", _minutes, numeric=True),
    ]
    return build("corpora", "Corpora", report["corpus"]["corpora"], fields)


def voice_table(report: Row) -> Table | None:
    """Voices with their licences, and what they spoke."""
    spoken: dict[tuple[str, str], list[str]] = {}
    for entry in report["synthesis"]:
        for voice, licence in entry["details"].get("voice_licences", {}).items():
            spoken.setdefault((voice, licence), []).append(entry["label"].removeprefix("synthesize "))
    rows = [{"voice": v, "licence": licence, "spoke": ", ".join(what)} for (v, licence), what in spoken.items()]
    return build("voices", "Voices", rows, [words("voice"), words("licence"), words("spoke")])


_NAMED = ("checkpoint", "manifest", "normalizer", "normalizer_version", "simulated_line", "audio_context")


def score_conditions(report: Row) -> Iterator[Table]:
    """The conditions of every score, and the weights it was taken with."""
    scored = [row for row in report["systems"] if row["conditions"]]
    sets = list(dict.fromkeys(_condition(row) for row in scored))
    titles = ("set", "audio context", "normaliser", "its version", "decoding", "references (sha256)", "simulated line")
    named = ((display_name(row["name"]), row["name"], str(row["conditions"]["checkpoint"])) for row in scored)
    weights = list(dict.fromkeys(named))
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
    return build(id, caption, [dict(zip(titles, row, strict=True)) for row in rows], [*map(words, titles)])


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
