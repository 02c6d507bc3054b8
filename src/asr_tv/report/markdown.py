"""A report as Markdown, verdict first, and its WER table as plain rows; the input is the report's dictionary."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asr_tv.report.provenance_tables import YIELD_HEADER, YIELD_NOTE, yield_rows
from asr_tv.report.retention_tables import retention_table
from asr_tv.report.systems import ADAPTED, BASELINE, PRETRAINED
from asr_tv.report.verdict import percent, points, simulated_line
from asr_tv.safe_text import escaped as escaped

Row = Mapping[str, Any]

_MAX_ROWS, _MAX_SCORES = 40, 100
_BARS = "▁▂▃▄▅▆▇█"

WER_HEADER = ("system", "WER %", "interval", "S / D / I", "context", "target recordings")


def wer_tables(report: Row) -> dict[str, list[tuple[str, ...]]]:
    """The WER tables as texts, one a set of recordings, by its title; columns are `WER_HEADER`."""
    tables: dict[str, list[tuple[str, ...]]] = {}
    for row in report["systems"]:
        tables.setdefault(_set_title(row), []).append(_wer_row(row))
    return tables


def _set_title(row: Row) -> str:
    parts = [f"{row['domain']} ({row['role']}, {row['split']})"]
    first = row if row["wer"] is not None else None
    parts += [simulated_line(row)] if simulated_line(row) else []
    parts += [f"{first['utterances']} utterances", f"{first['words']} words"] if first else []
    return ", ".join(parts)


def _wer_row(row: Row) -> tuple[str, ...]:
    name = row["name"] if row["scaling_coef"] is None else f"{row['name']} (c = {row['scaling_coef']:g})"
    uses = "no" if row["text_only"] else "yes"
    if row["wer"] is None:
        return name, "-", row["note"] or "undefined", "-", _context(row), uses
    errors = f"{row['substitutions']} / {row['deletions']} / {row['insertions']}"
    span = _span(row["ci_low"], row["ci_high"])
    return name, f"{100 * row['wer']:.1f}", span, errors, _context(row), uses


def _context(row: Row) -> str:
    context = row["conditions"].get("audio_context")
    return f"{context:g} s" if isinstance(context, int | float) else _text(context)


def _span(low: float | None, high: float | None) -> str:
    return "unknown" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}"


def _text(value: Any) -> str:
    return "-" if value is None else str(value)


def render_markdown(report: Row) -> str:
    """The whole report for people; long lists are cut, with a count of what report.json has beside."""
    sections = (
        _opening(report),
        _section("Word error rates", _wer_sections(report)),
        _section("Adapted against each rival", _comparison(report["comparison"])),
        _section("Characters, raw words and loops", _more_rates(report["systems"])),
        _section("Terms of the domain", _terms(report["terms"])),
        _section("By domain, speaker and length", _breakdowns(report["breakdowns"])),
        _section("What changed most", _examples(report["examples"])),
        _section("How the recipe was chosen", _selection(report["selection"], report["target_curve"])),
        _section("Forgetting", _forgetting(report["forgetting"])),
        *([_section("What else was kept", retention_table(report["retention"]))] if "retention" in report else []),
        _section("Leak ledger", _ledger(report["ledger"])),
        *([_section("Quality gate", _gates(report["gates"]))] if report.get("gates") else []),
        _section("Left out", _dropped(report["dropped"])),
        _section("Conditions", _conditions(report)),
        _section("Corpora", _corpus(report["corpus"])),
        _section("Stages", _stages(report["stages"])),
    )
    return "\n".join(sections)


def _wer_sections(report: Row) -> str:
    tables = wer_tables(report).items()
    return "\n\n".join(f"### {escaped(title)}\n\n{_table(WER_HEADER, rows, _MAX_SCORES)}" for title, rows in tables)


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}\n"


def _opening(report: Row) -> str:
    return f"# {escaped(report['name'])}\n\n**{escaped(report['verdict'], limit=None)}**\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], limit: int = _MAX_ROWS) -> str:
    body = [[escaped(cell) for cell in row] for row in rows]
    if not body:
        return "None."
    lines = [list(header), ["---"] * len(header), *body[:limit]]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return table if len(body) <= limit else f"{table}\n\n{len(body) - limit} more in report.json."


def _comparison(rows: Sequence[Row]) -> str:
    header = (
        *("rival", "set", "difference", "interval", "relative", "p", "p, matched pairs"),
        *("adapted is", "uses target recordings?"),
    )
    note = (
        "Differences are in points of WER, adapted minus rival, on the same utterances: below zero adapted is better. "
        "A difference whose interval holds zero is called neither better nor worse."
    )
    return f"{note}\n\n{_table(header, map(_compared, rows), _MAX_SCORES)}"


def _compared(row: Row) -> tuple[str, ...]:
    return (
        row["rival"],
        f"{row['role']} {row['domain']} {row['split']}",
        points(row["difference"]),
        _difference_span(row),
        _relative(row["relative"]),
        f"{row['p']:.4f}",
        _p(row["matched_pairs"]["p"]),
        row["verdict"],
        "no" if row["text_only"] else "yes",
    )


def _p(value: float | None) -> str:
    return "-" if value is None else "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _more_rates(systems: Sequence[Row]) -> str:
    header = ("system", "set", "CER %", "raw WER %", "insertions", "loops")
    note = (
        "Raw WER is of the texts as written, case and punctuation included. A loop compresses beyond 2.4 or repeats "
        "four words more than five times."
    )
    rows = [
        (
            row["name"],
            f"{row['role']} {row['domain']} {row['split']}",
            _rate(row["cer"]),
            _rate(row["raw_wer"]),
            _text(row["insertions"]),
            _text(row["loops"]),
        )
        for row in systems
        if row["words"] is not None
    ]
    return f"{note}\n\n{_table(header, rows, _MAX_SCORES)}"


def _terms(terms: Row) -> str:
    if not terms["terms"]:
        return "None is known: none was given, and the target's texts hold no word that is rare in the sources'."
    origin = "given" if terms["origin"] == "given" else "found in the target's texts"
    lines = [f"{len(terms['terms'])} terms, {origin}: {escaped(', '.join(terms['terms']), limit=600)}."]
    header = ("system", "recall %", "interval", "precision %", "adapted minus this", "interval", "adapted is")
    for part in terms["sets"]:
        against = {row["rival"]: row for row in part["differences"]}
        lines.append(_table(header, [_term_row(row, against.get(row["name"])) for row in part["systems"]]))
    return "\n\n".join(lines)


def _term_row(row: Row, against: Row | None) -> tuple[str, ...]:
    own = (row["name"], _rate(row["recall"]), _span(row["ci_low"], row["ci_high"]), _rate(row["precision"]))
    if against is None:
        return (*own, "-", "-", "-")
    return (*own, points(against["difference"]), _difference_span(against), against["verdict"])


def _breakdowns(parts: Sequence[Row]) -> str:
    tables = []
    for part in parts:
        systems = [name for name in (PRETRAINED, BASELINE, ADAPTED) if name in part["groups"][0]["systems"]]
        header = (part["dimension"], "utterances", "words", *(f"{name} WER %" for name in systems))
        rows = [
            (g["group"], str(g["utterances"]), str(g["words"]), *(_rate(g["systems"][n]["wer"]) for n in systems))
            for g in part["groups"]
        ]
        tables.append(f"### {escaped(part['role'])}, by {part['dimension']}\n\n{_table(header, rows)}")
    note = "Groups are small, and among many some differ by chance; report.json has the intervals."
    return "\n\n".join([note, *tables]) if tables else "The recordings make one group only."


def _examples(examples: Row | None) -> str:
    if examples is None:
        return "Pretrained and adapted were not both scored on recordings of the target or a source."
    lead = (
        f"From {examples['before']} to {examples['after']}: {examples['improved']} utterances improved, "
        f"{examples['worsened']} worsened, {examples['unchanged']} kept their number of errors."
    )
    shown = [*examples["most_improved"][:5], *examples["most_worsened"][:5]]
    header = ("errors", "said", "pretrained heard", "adapted heard")
    rows = [
        (
            f"{e['systems'][0]['errors']} to {e['systems'][-1]['errors']}",
            e["reference"],
            e["systems"][0]["hypothesis"].strip(),
            e["systems"][-1]["hypothesis"].strip(),
        )
        for e in shown
    ]
    return f"{escaped(lead, limit=None)}\n\n{_table(header, rows)}"


def _difference_span(row: Row) -> str:
    return "unknown" if row["ci_low"] is None else f"{points(row['ci_low'])} to {points(row['ci_high'])}"


def _relative(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.0f} %"


def _selection(selection: Row, target_curve: Sequence[Row]) -> str:
    lines = [f"Method: {escaped(selection['method'])}. Chosen: {_recipe(selection['chosen'])}."]
    if selection["folds"]:
        folds = escaped(", ".join(selection["folds"]), limit=300)
        lines.append(f"Each of these source domains played the target: {folds}.")
    if selection["scores"]:
        lines.append("Pooled WER % of every recipe over the folds, by scaling coefficient; * marks the chosen one:")
        lines.append(_curves(selection))
    if target_curve:
        lines.append("The target's own curve, scored after the recipe was chosen and of no influence on it:")
        lines.append(_target_curve(target_curve))
    return "\n\n".join(lines)


def _recipe(recipe: Row | None) -> str:
    if recipe is None:
        return "nothing yet"
    augmentation = "with" if recipe["augmentation"] else "without"
    return f"start {recipe['start']}, {augmentation} augmentation, scaling coefficient {recipe['scaling_coef']:g}"


def _curves(selection: Row) -> str:
    """One line a start and augmentation: its WER at each coefficient, and the curve those make."""
    scores = selection["scores"]
    coefficients = sorted({score["scaling_coef"] for score in scores})
    kinds = list(dict.fromkeys((score["start"], score["augmentation"]) for score in scores))
    by_recipe = {(s["start"], s["augmentation"], s["scaling_coef"]): s["wer"] for s in scores}
    chosen = tuple((selection["chosen"] or {}).get(key) for key in ("start", "augmentation", "scaling_coef"))
    header = ("start", "augmentation", *(f"c = {c:g}" for c in coefficients), "curve")
    rows = []
    for start, augmentation in kinds:
        recipes = [(start, augmentation, c) for c in coefficients]
        rates = [by_recipe.get(recipe) for recipe in recipes]
        cells = [
            f"{_rate(rate)}{' *' if recipe == chosen else ''}" for recipe, rate in zip(recipes, rates, strict=True)
        ]
        rows.append((start, "yes" if augmentation else "no", *cells, sparkline(rates)))
    return _table(header, rows)


def _target_curve(curve: Sequence[Row]) -> str:
    header = ("coefficient", "WER %", "interval", "minus without the vector", "interval", "the vector is")
    return _table(header, map(_curve_row, curve)) + f"\n\n{escaped(sparkline([row['wer'] for row in curve]))}"


def _curve_row(row: Row) -> tuple[str, ...]:
    own = (f"{row['scaling_coef']:g}", _rate(row["wer"]), _span(row["ci_low"], row["ci_high"]))
    zero = row["against_zero"]
    return (
        (*own, points(zero["difference"]), _difference_span(zero), zero["verdict"]) if zero else (*own, "-", "-", "-")
    )


def _rate(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f}"


def sparkline(values: Sequence[float | None]) -> str:
    """A curve of block characters from the lowest value to the highest; a space where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, spread = min(known), max(known) - min(known)
    top = len(_BARS) - 1
    return "".join(" " if v is None else _BARS[round(top * (v - low) / spread) if spread else 0] for v in values)


def _forgetting(forgetting: Row) -> str:
    if forgetting["passed"] is None:
        return "No general speech was scored, so nothing is known of what was forgotten."
    state = "passed" if forgetting["passed"] else "FAILED"
    bound = f"Bound: {100 * forgetting['bound']:g} % relative. Guard {state}."
    header = ("general set", "pretrained", "adapted", "difference", "interval", "relative", "within the bound")
    return f"{bound}\n\n{_table(header, map(_forgotten, forgetting['rows']))}"


def _forgotten(row: Row) -> tuple[str, ...]:
    return (
        f"{row['domain']} {row['split']}",
        percent(row["pretrained"]),
        percent(row["adapted"]),
        points(row["difference"]),
        _difference_span(row),
        _relative(row["relative"]),
        "yes" if row["passed"] else "no",
    )


def _ledger(ledger: Row) -> str:
    leaks = ledger["target_recordings_read_before_scoring"]
    found = f"{len(leaks)}, listed first" if leaks else "none"
    top = f"Target recordings read before the final scoring: **{found}**. Every read of every stage is in report.json."
    parts = [top, _table(("stage", "label", "manifest", "domains", "origins"), map(_read, leaks))] if leaks else [top]
    header = ("stage", "origins read", "splits", "domains", "reads")
    return "\n\n".join([*parts, _table(header, _ledger_summary(ledger["entries"]))])


def _read(row: Row) -> tuple[str, ...]:
    return row["stage"], row["label"], row["manifest"], ", ".join(row["domains"]), ", ".join(row["origins"])


def _ledger_summary(entries: Sequence[Row]) -> list[tuple[str, ...]]:
    """One line a kind of stage and of origins: which splits and domains were read, and how often."""
    kinds = list(dict.fromkeys((row["stage"], tuple(row["origins"])) for row in entries))
    rows: list[tuple[str, ...]] = []
    for stage, origins in kinds:
        reads = [row for row in entries if (row["stage"], tuple(row["origins"])) == (stage, origins)]
        splits, domains = (", ".join(sorted({v for row in reads for v in row[key]})) for key in ("splits", "domains"))
        rows.append((stage, ", ".join(origins), splits, domains, str(len(reads))))
    return rows


def _gates(gates: Mapping[str, Row]) -> str:
    return f"{YIELD_NOTE}\n\n{_table(YIELD_HEADER, yield_rows(gates))}"


def _dropped(dropped: Row) -> str:
    reasons = _table(("reason", "utterances"), ((reason, str(n)) for reason, n in dropped["by_reason"].items()))
    if not dropped["count"]:
        return "No utterance was left out."
    listed = _table(("id", "stage", "reason"), ((u["id"], u["stage"], u["reason"]) for u in dropped["utterances"]))
    return f"{dropped['count']} utterances.\n\n{reasons}\n\n{listed}"


def _conditions(report: Row) -> str:
    bootstrap = report["bootstrap"]
    how = (
        f"WER is pooled: all errors over all reference words. Intervals: {100 * bootstrap['confidence']:g} %, "
        f"{bootstrap['resamples']} bootstrap resamples of sentences, seed {bootstrap['seed']}."
    )
    scored = [row for row in report["systems"] if row["conditions"]]
    sets = _table(
        ("set", "context", "normalizer", "decoding", "references", "simulated line"),
        dict.fromkeys(_condition_row(row) for row in scored),
    )
    checkpoints = dict.fromkeys((row["name"], _text(row["conditions"]["checkpoint"])[:16]) for row in scored)
    return f"{how}\n\n{sets}\n\n{_table(('system', 'checkpoint'), checkpoints)}"


def _condition_row(row: Row) -> tuple[str, ...]:
    named = {"checkpoint", "manifest", "normalizer", "normalizer_version", "simulated_line", "audio_context"}
    conditions = row["conditions"]
    return (
        f"{row['role']} {row['domain']} {row['split']}",
        _context(row),
        f"{conditions['normalizer']} ({conditions['normalizer_version']})",
        ", ".join(f"{key} {_text(value)}" for key, value in conditions.items() if key not in named) or "-",
        conditions["manifest"][:12],
        _text(conditions["simulated_line"]),
    )


def _corpus(corpus: Row) -> str:
    rows = (
        (c["name"], c["licence"], str(c["utterances"]), f"{c['seconds'] / 60:.1f}", _text(c["simulated_line"]))
        for c in corpus["corpora"]
    )
    table = _table(("corpus", "licence", "utterances", "minutes", "simulated line"), rows)
    note = corpus["simulated_line"]
    return f"{table}\n\n{escaped(note, limit=None)}" if note else table


def _stages(stages: Sequence[Row]) -> str:
    executed = [row for row in stages if row["state"] == "executed"]
    seconds = sum(row["seconds"] for row in executed)
    summary = f"{len(executed)} executed in {seconds:.0f} s, {len(stages) - len(executed)} cached."
    rows = ((row["name"], row["label"], row["key"], row["state"], f"{row['seconds']:.1f}") for row in stages)
    return f"{summary}\n\n{_table(('stage', 'label', 'key', 'state', 'seconds'), rows)}"
