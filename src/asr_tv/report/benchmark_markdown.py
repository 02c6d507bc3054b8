"""The leave-one-domain-out table as Markdown, conclusions first; the input is `build_table`'s dictionary."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asr_tv.report.retention_tables import retention_table
from asr_tv.safe_text import inert

Row = Mapping[str, Any]

_HEADERS = {
    "target": "Word error rates on the targets' tests",
    "source": "The source domains' tests (source real)",
    "general": "General speech",
}
_FAR = "far from 1"


def render_table(report: Row) -> str:
    """The whole page."""
    parts = [
        f"# {inert(report['name'])}: every domain in turn is the target",
        _bullets(report["conclusions"]),
        *(f"## {_HEADERS.get(test, test)}\n\n{_table_of(report, test)}" for test in report["tables"]),
        f"## What a vector adds to a row\n\n{_gains(report['tables']['target'])}",
        f"## What the folds chose\n\n{_choices(report['choices'])}",
        f"## Coefficient curves\n\n{_curves(report['curves'])}",
        f"## Directions\n\n{_directions(report)}",
        *([f"## Number of source domains\n\n{_counts(report['source_counts'])}"] if report["source_counts"] else []),
        f"## Forgetting\n\n{_forgetting(report['forgetting'])}",
        *([f"## What else was kept\n\n{retention_table(report['retention'])}"] if report["retention"] else []),
        f"## Leak ledger\n\n{_ledger(report)}",
        f"## Conditions\n\n{_conditions(report)}",
    ]
    return "\n\n".join(parts) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(inert(str(cell).replace('|', '/')) for cell in line)} |" for line in lines)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {inert(line)}" for line in lines)


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _span(row: Row) -> str:
    return "unknown" if row["ci_low"] is None else f"{_rate(row['ci_low'])} to {_rate(row['ci_high'])}"


def _difference(found: Row | None) -> str:
    if found is None:
        return ""
    if found["ci_low"] is None:
        return f"{100 * found['difference']:+.1f} [unknown]"
    low, high = (100 * found[key] for key in ("ci_low", "ci_high"))
    return f"{100 * found['difference']:+.1f} [{low:+.1f}, {high:+.1f}] {found['verdict']}"


def _table_of(report: Row, test: str) -> str:
    """A row a system, a column a target, the mean over targets with its interval."""
    rows, targets = report["tables"][test], report["targets"]
    kept = test != "target"
    paper = any(row["paper_scorer_wer"] is not None for row in rows)
    header = ["system", *targets, "mean", "interval", "adapted minus this"]
    header += ["capitals %", "marks %", "loops %"] if kept else []
    header += ["released scorer"] if paper else []
    lines = []
    for row in rows:
        name = row["system"] + ("" if row["text_only"] else " (target recordings)")
        cells = [_rate(row["per_target"][t]["wer"]) if t in row["per_target"] else "-" for t in targets]
        line = [name, *cells, _rate(row["wer"]), _span(row), _difference(row["adapted_minus_this"])]
        line += [_rate(row[key]) for key in ("casing", "punctuation", "repetition")] if kept else []
        lines.append(line + ([_rate(row["paper_scorer_wer"])] if paper else []))
    return f"{_sizes(rows, report)}\n\n{_table(header, lines)}"


def _sizes(rows: Sequence[Row], report: Row) -> str:
    cells = {t: cell for row in rows for t, cell in row["per_target"].items()}
    sizes = ", ".join(f"{inert(t)} {c['utterances']} recordings, {c['words']} words" for t, c in sorted(cells.items()))
    return f"WER %, {len(report['seeds'])} seed(s) averaged, {_level(report)} intervals over sentences. {sizes}."


def _level(report: Row) -> str:
    return f"{100 * report['bootstrap']['confidence']:g} %"


def _gains(rows: Sequence[Row]) -> str:
    lines = [
        [row["system"], _rate(row["wer"]), _coefs(row), _difference(row["versus_base"])] for row in rows if row["base"]
    ]
    note = "Coefficients were chosen on source domains, target by target and seed by seed; 0 means: none was better."
    return f"{note}\n\n{_table(['row', 'mean WER %', 'coefficients', 'minus the row without'], lines)}"


def _coefs(row: Row) -> str:
    values = (c for cell in row["per_target"].values() for c in cell["scaling_coefs"].values())
    return " ".join(f"{value:g}" for value in values)


def _choices(choices: Sequence[Row]) -> str:
    lines = [
        [
            c["target"],
            str(c["seed"]),
            c["system"],
            c["vector"] or "none",
            f"{c['scaling_coef']:g}",
            ", ".join(c["folds"]) or "fixed",
            _rate(c["wer"]),
        ]
        for c in choices
    ]
    return _table(["target", "seed", "adapted", "vector", "coefficient", "folds", "WER % on folds"], lines)


def _curves(points: Sequence[Row]) -> str:
    coefs = sorted({point["scaling_coef"] for point in points})
    lines: dict[tuple[str, str, str], dict[float, str]] = {}
    for p in points:
        lines.setdefault((p["target"], p["system"], p["vector"]), {})[p["scaling_coef"]] = _rate(p["wer"])
    rows = [[key[1], key[2], key[0], *(row.get(c, "-") for c in coefs)] for key, row in sorted(lines.items())]
    note = "WER % on the target's test, seeds averaged; decoded after every choice was made, and chosen from by nobody."
    return f"{note}\n\n{_table(['row', 'vector', 'target', *(f'{c:g}' for c in coefs)], rows)}"


def _directions(report: Row) -> str:
    names = report["cosines"]["names"]
    whole = report["cosines"]["parts"][0]
    header = ["vector", "norm", *(str(number + 1) for number in range(len(names)))]
    rows = [
        [
            f"{n + 1} {name}",
            f"{whole['norms'][n]:.3g}",
            *("-" if c is None else f"{c:.2f}" for c in whole["cosines"][n]),
        ]
        for n, name in enumerate(names)
    ]
    ratios = [
        [name, "-" if r["ratio"] is None else f"{r['ratio']:.2f}", _FAR if r["far_from_1"] else ""]
        for name, r in report["norm_ratios"].items()
    ]
    far = sorted(name for name, r in report["norm_ratios"].items() if r["far_from_1"])
    warning = (
        f"\n\n**Warning:** {inert(', '.join(far))}: a ratio {_FAR} says that the vector "
        "also holds how much was trained." * bool(far)
    )
    return (
        'Cosines of the first seed\'s vectors. "of X" is source_real − source_synthetic of one domain, the oracle '
        f"vector where X is the target.\n\n{_table(header, rows)}\n\n"
        "Norm of source_real − pretrained over norm of source_synthetic − pretrained:\n\n"
        f"{_table(['sources', 'ratio', ''], ratios)}{warning}"
    )


def _counts(entries: Sequence[Row]) -> str:
    coefs = list(entries[0]["wer"])
    grouped: dict[tuple[str, int], list[Row]] = {}
    for entry in entries:
        grouped.setdefault((entry["target"], entry["count"]), []).append(entry)
    rows = [
        [target, str(count), str(len(own)), *(_spread([entry["wer"][c] for entry in own]) for c in coefs)]
        for (target, count), own in grouped.items()
    ]
    note = (
        f"Mean of so many domains' vectors added to {entries[0]['system']}; WER %, mean of the draws (least to most)."
    )
    return f"{note}\n\n{_table(['target', 'domains', 'draws', *(f'c = {c}' for c in coefs)], rows)}"


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = _rate(sum(known) / len(known))
    return mean if len(known) == 1 else f"{mean} ({_rate(min(known))} to {_rate(max(known))})"


def _forgetting(forgetting: Row) -> str:
    if forgetting["passed"] is None:
        return "No general speech was given."
    lines = [
        [row["target"], _rate(row["pretrained"]), _rate(row["adapted"]), "kept" if row["passed"] else "LOST"]
        for row in forgetting["rows"]
    ]
    table = _table(["target", "pretrained WER %", "adapted WER %", "within the bound"], lines)
    return f"General speech, bound {100 * forgetting['bound']:g} % relative.\n\n{table}"


def _ledger(report: Row) -> str:
    ledger = report["ledger"]
    told = (
        f"{ledger['text_only_rows']} rows claim text only. Every stage that they and their choices are made of was "
        f"walked back through the records ({ledger['stages_walked']} visits): "
    )
    if not (leaks := ledger["target_recordings_read"]):
        return f"{told}none read a real recording of its target."
    return f"{told}**{len(leaks)} did read real recordings of their target**, see the JSON."


def _conditions(report: Row) -> str:
    shared = report["shared_sentences"]
    corpora = "\n".join(
        f"- {inert(c['name'])}: {c['utterances']} recordings, {c['seconds'] / 60:.1f} min, {inert(c['licence'])}"
        + (f"; simulated line: {c['simulated_line']}" if c["simulated_line"] else "")
        for c in report["corpora"]
    )
    done = "left out" if shared["left_out"] else "kept"
    domains = [[name, *(str(d[part]) for part in ("train", "dev", "test"))] for name, d in report["domains"].items()]
    return "\n\n".join(
        [
            inert(report["plan"]["text"]) + ".",
            corpora,
            f"{len(shared['utterances'])} train utterances share a sentence with another domain's dev or test: {done}.",
            _table(["domain", "train", "dev", "test"], domains),
            "The whole configuration, and label, key and seconds of every stage, are in benchmark.json.",
        ]
    )
