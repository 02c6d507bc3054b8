"""The leave-one-domain-out table as Markdown, conclusions first; the input is `build_table`'s dictionary."""

from collections.abc import Mapping, Sequence
from typing import Any

from asr_tv.report.score_tables import retention_table
from asr_tv.report.table import (
    Cell,
    Column,
    Table,
    as_markdown,
    difference_cells,
    difference_columns,
    numeric,
    percent,
    percent_span,
    system,
    table,
    text,
    texts,
    whole,
)
from asr_tv.safe_text import inert

Row = Mapping[str, Any]

_HEADERS = {
    "target": "Word error rates on the targets' tests",
    "source": "The source domains' tests (source real)",
    "general": "General speech",
}
_FAR = "far from 1"
_WHOLE = 10_000
"""More rows than any benchmark has: its tables are not cut."""


def render_table(report: Row) -> str:
    """The whole page."""
    sections = {
        **{_HEADERS.get(test, test): _drawn(system_table(report, test)) for test in report["tables"]},
        "What a vector adds to a row": _drawn(gain_table(report["tables"]["target"])),
        "What the folds chose": _drawn(choice_table(report["choices"])),
        "Coefficient curves": _drawn(curve_table(report["curves"])),
        "Directions": _directions(report),
        "Number of source domains": _drawn(count_table(report["source_counts"])) if report["source_counts"] else "",
        "Forgetting": _forgetting(report["forgetting"]),
        "What else was kept": _drawn(retention_table(report["retention"])) if report["retention"] else "",
        "Leak ledger": _ledger(report),
        "Conditions": _conditions(report),
    }
    head = [
        f"# {inert(report['name'])}: every domain in turn is the target",
        "\n".join(f"- {inert(line)}" for line in report["conclusions"]),
    ]
    return "\n\n".join([*head, *(f"## {inert(title)}\n\n{body}" for title, body in sections.items() if body)]) + "\n"


def _drawn(made: Table | None) -> str:
    """The table behind its note."""
    drawn = as_markdown(made, most_rows=_WHOLE, cell_limit=None)
    return f"{inert(made.note)}\n\n{drawn}" if made is not None and made.note else drawn


def _number(value: float | None, form: str = "g") -> Cell:
    return text(None) if value is None else Cell(f"{value:{form}}", number=value)


def system_table(report: Row, test: str) -> Table | None:
    """One row per system, one column per target, and the mean over targets with its interval."""
    rows, targets = report["tables"][test], report["targets"]
    extra = {"capitals %": "casing", "marks %": "punctuation", "loops %": "repetition"} if test != "target" else {}
    if any(row["paper_scorer_wer"] is not None for row in rows):
        extra |= {"released scorer": "paper_scorer_wer"}
    columns = [
        *texts("system"),
        *numeric(*targets, "mean"),
        Column("interval", True, more=("mean low", "mean high")),
        *difference_columns("this"),
        *numeric(*extra),
    ]
    cells = [
        [
            _system(row),
            *(percent(row["per_target"].get(target, {}).get("wer")) for target in targets),
            percent(row["wer"]),
            percent_span(row["ci_low"], row["ci_high"]),
            *difference_cells(row["adapted_minus_this"]),
            *(percent(row[key]) for key in extra.values()),
        ]
        for row in rows
    ]
    return table(f"systems-{test}", _HEADERS.get(test, test), columns, cells, note=_sizes(rows, report))


def _system(row: Row) -> Cell:
    cell = system(row["system"])
    return cell if row["text_only"] else text(f"{cell.text} (target recordings)")


def _sizes(rows: Sequence[Row], report: Row) -> str:
    cells = {t: cell for row in rows for t, cell in row["per_target"].items()}
    sizes = ", ".join(f"{t} {c['utterances']} recordings, {c['words']} words" for t, c in sorted(cells.items()))
    level = f"{100 * report['bootstrap']['confidence']:g} %"
    return f"WER %, {len(report['seeds'])} seed(s) averaged, {level} intervals over sentences. {sizes}."


def gain_table(rows: Sequence[Row]) -> Table | None:
    """Each row with a vector, minus the same row without."""
    columns = [
        *texts("row"),
        *numeric("mean WER %"),
        *texts("coefficients"),
        *difference_columns(hint="minus the row without the vector", verdict="the vector is"),
    ]
    cells = [
        [system(row["system"]), percent(row["wer"]), text(_coefs(row)), *difference_cells(row["versus_base"])]
        for row in rows
        if row["base"]
    ]
    note = (
        "Coefficients were chosen on source domains, per target and seed; 0 means that none was better. "
        "Differences are in points, minus the row without the vector."
    )
    return table("gains", "What a vector adds to a row", columns, cells, note=note)


def _coefs(row: Row) -> str:
    values = (c for cell in row["per_target"].values() for c in cell["scaling_coefs"].values())
    return " ".join(f"{value:g}" for value in values)


def choice_table(choices: Sequence[Row]) -> Table | None:
    """What the folds chose, per target and seed."""
    columns = [
        *texts("target", "seed", "adapted", "vector"),
        *numeric("coefficient"),
        *texts("folds"),
        *numeric("WER % on folds"),
    ]
    cells = [
        [
            text(c["target"]),
            text(c["seed"]),
            system(c["system"]),
            text(c["vector"] or "none"),
            _number(c["scaling_coef"]),
            text(", ".join(c["folds"]) or "fixed"),
            percent(c["wer"]),
        ]
        for c in choices
    ]
    return table("choices", "What the folds chose", columns, cells, most=_WHOLE)


def curve_table(points: Sequence[Row]) -> Table | None:
    """WER over the coefficient: one row per system, vector and target."""
    coefs = sorted({point["scaling_coef"] for point in points})
    curves: dict[tuple[str, str, str], dict[float, float | None]] = {}
    for p in points:
        curves.setdefault((p["system"], p["vector"], p["target"]), {})[p["scaling_coef"]] = p["wer"]
    cells = [
        [system(key[0]), text(key[1]), text(key[2]), *(percent(rates.get(coef)) for coef in coefs)]
        for key, rates in sorted(curves.items(), key=lambda item: (item[0][2], *item[0][:2]))
    ]
    note = (
        "WER % on the target's test, averaged over seeds; decoded after every choice was made, and no choice used it."
    )
    columns = [*texts("row", "vector", "target"), *numeric(*(f"{coef:g}" for coef in coefs))]
    return table("curves", "Coefficient curves", columns, cells, most=_WHOLE, note=note)


def direction_table(cosines: Row) -> Table | None:
    """Norms of the first seed's vectors, and the cosine of each pair."""
    names, whole_vectors = cosines["names"], cosines["parts"][0]
    cells = [
        [
            text(f"{n + 1} {name}"),
            _number(whole_vectors["norms"][n], ".3g"),
            *(_number(cosine, ".2f") for cosine in whole_vectors["cosines"][n]),
        ]
        for n, name in enumerate(names)
    ]
    columns = [*texts("vector"), *numeric("norm", *(str(n + 1) for n in range(len(names))))]
    note = (
        'Cosines of the first seed\'s vectors. "of X" is source_real − source_synthetic of one domain, the oracle '
        "vector where X is the target."
    )
    return table("directions", "Directions", columns, cells, note=note)


def ratio_table(ratios: Mapping[str, Row]) -> Table | None:
    """How far the two trainings behind each vector went, as the ratio of their norms."""
    cells = [
        [text(name), _number(r["ratio"], ".2f"), text(_FAR if r["far_from_1"] else "")] for name, r in ratios.items()
    ]
    note = "Norm of source_real − pretrained over norm of source_synthetic − pretrained:"
    return table("ratios", "Norm ratios", [*texts("sources"), *numeric("ratio"), *texts("")], cells, note=note)


def _directions(report: Row) -> str:
    ratios = report["norm_ratios"]
    far = sorted(name for name, r in ratios.items() if r["far_from_1"])
    warning = (
        f"**Warning:** {inert(', '.join(far))}: a ratio {_FAR} says that the vector also holds how much was trained."
    )
    parts = [_drawn(direction_table(report["cosines"])), _drawn(ratio_table(ratios))]
    return "\n\n".join([*parts, *([warning] if far else [])])


def count_table(entries: Sequence[Row]) -> Table | None:
    """WER over the number of source domains that a mean vector is made of, mean of the draws."""
    coefs = list(entries[0]["wer"])
    grouped: dict[tuple[str, int], list[Row]] = {}
    for entry in entries:
        grouped.setdefault((entry["target"], entry["count"]), []).append(entry)
    cells = [
        [text(target), whole(count), whole(len(own)), *(_spread([entry["wer"][c] for entry in own]) for c in coefs)]
        for (target, count), own in grouped.items()
    ]
    note = (
        f"Mean of this many domains' vectors added to {entries[0]['system']}; WER %, mean of the draws "
        "(lowest to highest)."
    )
    columns = [*texts("target"), *numeric("domains", "draws", *(f"c = {c}" for c in coefs))]
    return table("counts", "Number of source domains", columns, cells, note=note)


def _spread(values: Sequence[float | None]) -> Cell:
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return percent(known[0] if known else None)
    mean = sum(known) / len(known)
    low, high = (f"{100 * end:.1f}" for end in (min(known), max(known)))
    return Cell(f"{100 * mean:.1f} ({low} to {high})", number=100 * mean)


def _forgetting(forgetting: Row) -> str:
    if forgetting["passed"] is None:
        return "No general speech was given."
    columns = [*texts("target"), *numeric("pretrained WER %", "adapted WER %"), *texts("within the bound")]
    cells = [
        [
            text(row["target"]),
            percent(row["pretrained"]),
            percent(row["adapted"]),
            text("kept" if row["passed"] else "LOST"),
        ]
        for row in forgetting["rows"]
    ]
    note = f"General speech, bound {100 * forgetting['bound']:g} % relative."
    return _drawn(table("forgetting", "Forgetting", columns, cells, note=note))


def _ledger(report: Row) -> str:
    ledger = report["ledger"]
    lead = (
        f"{ledger['text_only_rows']} rows claim text only. Every stage behind them and their choices was walked back "
        f"through the records ({ledger['stages_walked']} visits): "
    )
    if not (leaks := ledger["target_recordings_read"]):
        return f"{lead}none read a real recording of its target."
    return f"{lead}**{len(leaks)} did read real recordings of their target**, see the JSON."


def _conditions(report: Row) -> str:
    shared = report["shared_sentences"]
    corpora = "\n".join(
        f"- {inert(c['name'])}: {c['utterances']} recordings, {c['seconds'] / 60:.1f} min, {inert(c['licence'])}"
        + (f"; simulated line: {c['simulated_line']}" if c["simulated_line"] else "")
        for c in report["corpora"]
    )
    done = "left out" if shared["left_out"] else "kept"
    parts = ("train", "dev", "test")
    cells = [[text(name), *(whole(sizes[part]) for part in parts)] for name, sizes in report["domains"].items()]
    return "\n\n".join(
        [
            inert(report["plan"]["text"]) + ".",
            corpora,
            f"{len(shared['utterances'])} train utterances share a sentence with another domain's dev or test: {done}.",
            _drawn(table("domains", "Domains", [*texts("domain"), *numeric(*parts)], cells)),
            "The whole configuration, and label, key and seconds of every stage, are in benchmark.json.",
        ]
    )
