"""The leave-one-domain-out table as Markdown, conclusions first; the input is `build_table`'s dictionary."""

from collections.abc import Mapping, Sequence
from typing import Any

from asr_tv.report.likeness.probes import kept_tables
from asr_tv.report.table import (
    Cell,
    Table,
    as_markdown,
    at,
    build,
    count,
    difference,
    field,
    interval,
    number,
    percent,
    rate,
    system,
    text,
    words,
)
from asr_tv.safe_text import counted, inert

Row = Mapping[str, Any]

_HEADERS = {
    "target": "Error rates on the targets' tests",
    "source": "The source domains' tests (source real)",
    "general": "General speech",
}
_FAR = "far from 1"
_WHOLE = 10_000  # more rows than any benchmark has: its tables are not cut


def render_table(report: Row) -> str:
    """The whole page."""
    sections = {
        **{_HEADERS.get(test, test): _drawn(system_table(report, test)) for test in report["tables"]},
        "What a vector adds to a row": _drawn(gain_table(report["tables"]["target"], _rates(report))),
        "What the folds chose": _drawn(choice_table(report["choices"], _rates(report))),
        "Coefficient curves": _drawn(curve_table(report["curves"], _rates(report))),
        "Directions": _directions(report),
        "Number of source domains": _drawn(count_table(report["source_counts"], _rates(report)))
        if report["source_counts"]
        else "",
        "Forgetting": _forgetting(report["forgetting"], _rates(report)),
        "What else was kept": "\n\n".join(_drawn(t) for t in kept_tables(report) if t),
        "Leak ledger": _ledger(report),
        "Conditions": _conditions(report),
    }
    head = [
        f"# {inert(report['name'])}: every domain in turn is the target",
        "\n".join(f"- {inert(line)}" for line in report["conclusions"]),
    ]
    return "\n\n".join([*head, *(f"## {inert(title)}\n\n{body}" for title, body in sections.items() if body)]) + "\n"


def _rates(report: Row) -> str:
    """What the rates are; tables of earlier versions do not say it."""
    return str(report.get("rates", "WER"))


def _drawn(made: Table | None) -> str:
    drawn = as_markdown(made, most_rows=_WHOLE, cell_limit=None)
    return f"{inert(made.note)}\n\n{drawn}" if made is not None and made.note else drawn


def system_table(report: Row, test: str) -> Table | None:
    """One row per system, one column per target, and the mean over targets with its interval."""
    rows = report["tables"][test]
    fields = [
        field("system", _system),
        *(rate(target, "per_target", target, "wer") for target in report["targets"]),
        rate("mean", "wer"),
        interval("mean"),
        *difference(at("adapted_minus_this"), "this"),
    ]
    if test != "target":
        fields += [rate("capitals %", "casing"), rate("marks %", "punctuation"), rate("loops %", "repetition")]
    if any(row["paper_scorer_wer"] is not None for row in rows):
        fields.append(rate("released scorer", "paper_scorer_wer"))
    return build(f"systems-{test}", _HEADERS.get(test, test), rows, fields, note=_sizes(rows, report))


def _system(row: Row) -> Cell:
    cell = system(row["system"])
    return cell if row.get("text_only", True) else text(f"{cell.text} (target recordings)")


def _sizes(rows: Sequence[Row], report: Row) -> str:
    cells = {t: cell for row in rows for t, cell in row["per_target"].items()}
    sizes = ", ".join(
        f"{t} {counted(c['utterances'], 'recording')}, {counted(c['words'], 'word')}" for t, c in sorted(cells.items())
    )
    level = f"{100 * report['bootstrap']['confidence']:g} %"
    return f"{_rates(report)} %, {len(report['seeds'])} seed(s) averaged, {level} intervals over sentences. {sizes}."


def gain_table(rows: Sequence[Row], rates: str) -> Table | None:
    """Each row with a vector, minus the same row without."""
    fields = [
        field("row", _system),
        rate(f"mean {rates} %", "wer"),
        field("coefficients", lambda row: text(_coefs(row))),
        *difference(at("versus_base"), verdict="the vector is"),
    ]
    note = (
        "Coefficients were chosen on source domains, per target and seed; 0 means that none was better. "
        "Differences are in points, minus the row without the vector."
    )
    return build("gains", "What a vector adds to a row", [row for row in rows if row["base"]], fields, note=note)


def _coefs(row: Row) -> str:
    return " ".join(f"{c:g}" for cell in row["per_target"].values() for c in cell["scaling_coefs"].values())


def choice_table(choices: Sequence[Row], rates: str) -> Table | None:
    """What the folds chose, per target and seed."""
    fields = [
        words("target"),
        words("seed"),
        field("adapted", _system),
        field("vector", lambda choice: text(choice["vector"] or "none")),
        number("coefficient", "scaling_coef"),
        field("folds", lambda choice: text(", ".join(choice["folds"]) or "fixed")),
        rate(f"{rates} % on folds", "wer"),
    ]
    return build("choices", "What the folds chose", choices, fields, most=_WHOLE)


def curve_table(points: Sequence[Row], rates: str) -> Table | None:
    """WER over the coefficient: one row per system, vector and target."""
    coefs = [f"{coef:g}" for coef in sorted({point["scaling_coef"] for point in points})]
    curves: dict[tuple[str, str, str], dict[str, Any]] = {}
    for p in points:
        curve = curves.setdefault((p["target"], p["system"], p["vector"]), {**p, "by_coef": {}})
        curve["by_coef"][f"{p['scaling_coef']:g}"] = p["wer"]
    fields = [field("row", _system), words("vector"), words("target"), *(rate(coef, "by_coef", coef) for coef in coefs)]
    note = (
        f"{rates} % on the target's test, averaged over seeds; decoded after every choice was made, and no choice used "
        "it."
    )
    rows = [curve for _, curve in sorted(curves.items())]
    return build("curves", "Coefficient curves", rows, fields, most=_WHOLE, note=note)


def direction_table(cosines: Row) -> Table | None:
    """Norms of the first seed's vectors, and the cosine of each pair."""
    whole = cosines["parts"][0]
    rows = [
        {"vector": f"{n} {name}", "norm": norm, **{str(m): cosine for m, cosine in enumerate(own, 1)}}
        for n, (name, norm, own) in enumerate(zip(cosines["names"], whole["norms"], whole["cosines"], strict=True), 1)
    ]
    others = [number(str(n), form=".2f") for n in range(1, len(rows) + 1)]
    note = (
        'Cosines of the first seed\'s vectors. "of X" is source_real − source_synthetic of one domain, the oracle '
        "vector where X is the target."
    )
    return build("directions", "Directions", rows, [words("vector"), number("norm", form=".3g"), *others], note=note)


def ratio_table(ratios: Mapping[str, Row]) -> Table | None:
    """How far the two trainings behind each vector went, as the ratio of their norms."""
    rows = [{"sources": name, **ratio} for name, ratio in ratios.items()]
    far = field("", lambda row: text(_FAR if row["far_from_1"] else ""))
    note = "Norm of source_real − pretrained over norm of source_synthetic − pretrained:"
    return build("ratios", "Norm ratios", rows, [words("sources"), number("ratio", form=".2f"), far], note=note)


def _directions(report: Row) -> str:
    ratios = report["norm_ratios"]
    far = inert(", ".join(sorted(name for name, r in ratios.items() if r["far_from_1"])))
    warning = f"**Warning:** {far}: a ratio {_FAR} says that the vector also holds how much was trained."
    parts = [_drawn(direction_table(report["cosines"])), _drawn(ratio_table(ratios))]
    return "\n\n".join([*parts, *([warning] if far else [])])


def _counts(report: Row) -> str:
    return _drawn(count_table(report["source_counts"], _rates(report)))


def count_table(entries: Sequence[Row], rates: str) -> Table | None:
    """WER over the number of source domains that a mean vector is made of, mean of the draws."""
    grouped: dict[tuple[str, int], list[Row]] = {}
    for entry in entries:
        grouped.setdefault((entry["target"], entry["count"]), []).append(entry)
    rows = [
        {
            "target": target,
            "domains": domains,
            "draws": len(own),
            "wer": {coef: _spread([e["wer"][coef] for e in own]) for coef in own[0]["wer"]},
        }
        for (target, domains), own in grouped.items()
    ]
    note = (
        f"Mean of this many domains' vectors added to {entries[0]['system']}; {rates} %, mean of the draws "
        "(lowest to highest)."
    )
    spreads = [field(f"c = {coef}", at("wer", coef), numeric=True) for coef in entries[0]["wer"]]
    fields = [words("target"), count("domains"), count("draws"), *spreads]
    return build("counts", "Number of source domains", rows, fields, note=note)


def _spread(values: Sequence[float | None]) -> Cell:
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return percent(known[0] if known else None)
    mean = sum(known) / len(known)
    low, high = (f"{100 * end:.1f}" for end in (min(known), max(known)))
    return Cell(f"{100 * mean:.1f} ({low} to {high})", number=100 * mean)


def _forgetting(forgetting: Row, rates: str) -> str:
    if forgetting["passed"] is None:
        return "No general speech was given."
    fields = [
        words("target"),
        rate(f"pretrained {rates} %", "pretrained"),
        rate(f"adapted {rates} %", "adapted"),
        field("within the bound", lambda row: text("kept" if row["passed"] else "LOST")),
    ]
    note = f"General speech, bound {100 * forgetting['bound']:g} % relative."
    return _drawn(build("forgetting", "Forgetting", forgetting["rows"], fields, note=note))


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
        f"- {inert(c['name'])}: {counted(c['utterances'], 'recording')}, {c['seconds'] / 60:.1f} min, "
        f"{inert(c['licence'])}" + (f"; simulated line: {c['simulated_line']}" if c["simulated_line"] else "")
        for c in report["corpora"]
    )
    done = "left out" if shared["left_out"] else "kept"
    domains = [{"domain": name, **sizes} for name, sizes in report["domains"].items()]
    fields = [words("domain"), *map(count, ("train", "dev", "test"))]
    parts = [
        inert(report["plan"]["text"]) + ".",
        corpora,
        f"{len(shared['utterances'])} train utterances share a sentence with another domain's dev or test: {done}.",
        _drawn(build("domains", "Domains", domains, fields)),
        "The whole configuration, and label, key and seconds of every stage, are in benchmark.json.",
    ]
    return "\n\n".join(parts)
