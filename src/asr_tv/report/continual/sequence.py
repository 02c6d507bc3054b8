"""The matrix R[after, on] of a sequence of domains: backward transfer, final WER, Markdown and a plot."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from asr_tv.report.scores import finite
from asr_tv.safe_text import escaped
from asr_tv.scoring.bootstrap import Bootstrap, Difference, Group, mean_difference
from asr_tv.scoring.evaluation import Evaluation

Json = dict[str, Any]
Cells = Mapping[tuple[str, int, int, str], Evaluation]
"""(row, seed, after so many domains, on a domain) -> evaluation; after 0 is the pretrained model."""


@dataclass(frozen=True)
class SequenceInputs:
    """What the report of a sequence is made of.

    Attributes:
        facts: what is not of one row: sizes, texts written and recited, corpora, configuration.
        seconds: row -> of all trainings behind its checkpoints, each once.
    """

    name: str
    domains: tuple[str, ...]
    rows: tuple[str, ...]
    seeds: tuple[int, ...]
    cells: Cells
    bootstrap: Bootstrap
    seconds: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def build_sequence(inputs: SequenceInputs) -> Json:
    """The content of sequence.json; rates are fractions.

    Backward transfer is the mean over all domains but the last of R[i, i] - R[n, i]: below zero where learning later
    domains has cost earlier ones (Lopez-Paz and Ranzato 2017, with WER, so that its sign is that of a gain).
    """
    last, domains = len(inputs.domains), inputs.domains
    rows = []
    for row in inputs.rows:
        final = [_group(inputs, row, last, d) for d in domains]
        learnt = [_pair(inputs, (row, n), (row, last), d) for n, d in enumerate(domains[:-1], 1)]
        pairs = [_pair(inputs, (row, last), (inputs.rows[0], last), d) for d in domains]
        against = None if row == inputs.rows[0] else _shown(mean_difference(pairs, **_options(inputs)))
        rows.append(
            {
                "row": row,
                "matrix": [[_cell(inputs, row, after, d) for d in domains] for after in range(last + 1)],
                "backward_transfer": _shown(mean_difference(learnt, **_options(inputs))),
                "final": _shown(mean_difference(final, **_options(inputs))),
                "against_first": against,
                "minutes": inputs.seconds.get(row, 0.0) / 60,
            }
        )
    return {
        "schema_version": 1,
        "name": inputs.name,
        "domains": list(domains),
        "seeds": list(inputs.seeds),
        "rows": rows,
        "sizes": {d: _size(inputs, d) for d in domains},
        "bootstrap": asdict(inputs.bootstrap),
        **inputs.facts,
    }


def _options(inputs: SequenceInputs) -> Any:
    return asdict(inputs.bootstrap)


def _columns(inputs: SequenceInputs, row: str, after: int, domain: str) -> tuple[list[int], list[int], list[str]]:
    """Errors and words of each recording summed over the seeds, and its sentence."""
    found = [inputs.cells[row, seed, after, domain] for seed in inputs.seeds]
    by_seed = [sorted(evaluation.utterances, key=lambda u: u.id) for evaluation in found]
    errors = [sum(u.word_counts.errors for u in heard) for heard in zip(*by_seed, strict=True)]
    words = [sum(u.word_counts.words for u in heard) for heard in zip(*by_seed, strict=True)]
    return errors, words, [u.sentence for u in by_seed[0]]


def _group(inputs: SequenceInputs, row: str, after: int, domain: str) -> Group:
    errors, words, clusters = _columns(inputs, row, after, domain)
    return Group(errors, [0] * len(errors), words, clusters)


def _pair(inputs: SequenceInputs, a: tuple[str, int], b: tuple[str, int], domain: str) -> Group:
    errors, words, clusters = _columns(inputs, *a, domain)
    return Group(errors, _columns(inputs, *b, domain)[0], words, clusters)


def _cell(inputs: SequenceInputs, row: str, after: int, domain: str) -> Json:
    errors, words, _ = _columns(inputs, row, after, domain)
    whole = mean_difference([_group(inputs, row, after, domain)], **_options(inputs))
    return {"errors": sum(errors), "words": sum(words), **_shown(whole)}


def _shown(difference: Difference) -> Json:
    return {"value": finite(difference.difference), "low": finite(difference.low), "high": finite(difference.high)}


def _size(inputs: SequenceInputs, domain: str) -> Json:
    one = inputs.cells[inputs.rows[0], inputs.seeds[0], 0, domain]
    return {"recordings": len(one.utterances), "sentences": one.sentences, "words": one.word_counts.words}


def render_sequence(report: Json) -> str:
    """The report as Markdown: what each row ends with, then its matrix."""
    domains = report["domains"]
    sizes = [f"{d}: {s['recordings']} recordings, {s['words']} words" for d, s in report["sizes"].items()]
    share = 100 * report["bootstrap"]["confidence"]
    lines = [
        f"# {escaped(report['name'])}: {' → '.join(map(escaped, domains))}",
        "",
        f"WER % on real recordings, {share:g} % bootstrap intervals over sentences; seeds "
        f"{', '.join(map(str, report['seeds']))}. {'; '.join(map(escaped, sizes))}.",
        "",
        "Backward transfer is the mean change of a domain's WER from when it was learnt to the end, in points: below "
        "zero, it was forgotten.",
        "",
        "| against forgetting | mean WER at the end | interval | backward transfer | interval "
        f"| to {escaped(report['rows'][0]['row'])}, points | interval | minutes of training |",
        "|---|--:|---|--:|---|--:|---|--:|",
        *map(_summary, report["rows"]),
        "",
        *_written(report.get("replayed", ())),
    ]
    for row in report["rows"]:
        lines += [f"## {escaped(row['row'])}", "", f"| after | {' | '.join(map(escaped, domains))} |"]
        lines += [f"|---|{'--:|' * len(domains)}"]
        names = ["pretrained", *domains]
        lines += [
            f"| {escaped(names[after])} | {' | '.join(map(_wer, cells))} |" for after, cells in enumerate(row["matrix"])
        ]
        lines.append("")
    return "\n".join(lines)


def _summary(row: Json) -> str:
    against = row["against_first"]
    told = "– | –" if against is None else f"{_points(against['value'])} | {_span(against, signed=True)}"
    final, transfer = row["final"], row["backward_transfer"]
    return (
        f"| {escaped(row['row'])} | {_percent(final['value'])} | {_span(final)} | {_points(transfer['value'])} "
        f"| {_span(transfer, signed=True)} | {told} | {row['minutes']:.1f} |"
    )


def _written(replayed: Sequence[Json]) -> list[str]:
    """What the text models give away, domain by domain."""
    if not replayed:
        return []
    lines = ["| texts written like | kept, bytes | distinct | recited | verbatim |", "|---|--:|--:|--:|--:|"]
    for row in replayed:
        counts = f"{row['bytes']} | {row['distinct']} | {row['recited']} | {100 * row['verbatim']:.0f} %"
        lines.append(f"| {escaped(row['domain'])} | {counts} |")
    return [*lines, ""]


def _wer(cell: Json) -> str:
    return f"{_percent(cell['value'])} ({_span(cell)})"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.1f}"


def _span(cell: Json, *, signed: bool = False) -> str:
    show = _points if signed else _percent
    return f"{show(cell['low'])} to {show(cell['high'])}"


WIDTH, HEIGHT, _LEFT, _TOP = 560, 260, 48, 24
_COLOURS = ("#333333", "#0b6e99", "#b3440e", "#4a6b1f", "#7a3b8f", "#8a6d00", "#00705a", "#a0203c")


def plot_sequence(report: Json) -> str:
    """An SVG: for each row, the mean WER on the domains learnt so far, after each domain."""
    lines = {row["row"]: _learnt_so_far(row["matrix"]) for row in report["rows"]}
    steps = len(report["domains"])
    top = max((v for values in lines.values() for v in values), default=0.0) * 1.1 or 1.0

    def place(after: int, value: float) -> str:
        across = _LEFT + (WIDTH - _LEFT - 150) * (after - 1) / max(1, steps - 1)
        return f"{across:.1f},{_TOP + (HEIGHT - 2 * _TOP) * (1 - value / top):.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="11" role="img" aria-label="Mean WER on the domains learnt so far, after each domain">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="4" y="14">mean WER % on the domains learnt so far; top {100 * top:.0f} %, bottom 0</text>',
    ]
    for after, domain in enumerate(report["domains"], 1):
        x, _, _ = place(after, 0.0).partition(",")
        parts.append(f'<text x="{x}" y="{HEIGHT - 6}" text-anchor="middle">{escaped(domain)}</text>')
    for number, (name, values) in enumerate(lines.items()):
        colour, dash = _COLOURS[number % len(_COLOURS)], f"{2 + 2 * number} {number}" if number else "none"
        points = " ".join(place(after, value) for after, value in enumerate(values, 1))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
        )
        y = _TOP + 16 * number
        parts.append(f'<text x="{WIDTH - 140}" y="{y}" fill="{colour}">{escaped(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _learnt_so_far(matrix: Sequence[Sequence[Json]]) -> list[float]:
    rates = [[cell["value"] or 0.0 for cell in cells[:after]] for after, cells in enumerate(matrix)]
    return [sum(values) / len(values) for values in rates[1:]]
