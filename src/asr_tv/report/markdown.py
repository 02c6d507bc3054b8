"""A report as Markdown, verdict first; the input is the report's dictionary."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asr_tv.report import provenance_tables as provenance
from asr_tv.report import score_tables as scores
from asr_tv.report.biasing import biasing_note, biasing_table, choice_table, prompt_table
from asr_tv.report.continual.carried import carried_text
from asr_tv.report.learning.adapted import adapted_table
from asr_tv.report.likeness import likeness_note, likeness_table
from asr_tv.report.likeness.probes import kept_tables
from asr_tv.report.proxy import proxy_note, proxy_table
from asr_tv.report.systems import RATES, display_name, rate_name
from asr_tv.report.table import Table, as_markdown, percent_span
from asr_tv.report.verdict import simulated_line
from asr_tv.safe_text import counted
from asr_tv.safe_text import escaped as escaped

Row = Mapping[str, Any]

_MOST_SCORES = 100
_BARS = "▁▂▃▄▅▆▇█"


def wer_header(report: Row) -> tuple[str, ...]:
    """The headings of `wer_tables`."""
    return "system", f"{rate_name(report['systems'])} %", "interval", "S / D / I", "context", "target recordings"


def wer_tables(report: Row) -> dict[str, list[tuple[str, ...]]]:
    """Small WER tables for a narrow page, one per set of recordings, by its title; columns are `wer_header`."""
    tables: dict[str, list[tuple[str, ...]]] = {}
    for row in report["systems"]:
        tables.setdefault(_set_title(row), []).append(_wer_row(row))
    return tables


def _set_title(row: Row) -> str:
    size = [] if row["wer"] is None else [counted(row["utterances"], "utterance"), counted(row["words"], "word")]
    return ", ".join(filter(None, [f"{row['domain']} ({row['role']}, {row['split']})", simulated_line(row), *size]))


def _wer_row(row: Row) -> tuple[str, ...]:
    coef = "" if row["scaling_coef"] is None else f" (c = {row['scaling_coef']:g})"
    rates = "–", row["note"] or "undefined", "–"
    if row["wer"] is not None:
        errors = " / ".join(str(row[key]) for key in ("substitutions", "deletions", "insertions"))
        rates = f"{100 * row['wer']:.1f}", percent_span(row["ci_low"], row["ci_high"]).text, errors
    uses = "no" if row["text_only"] else "yes"
    return display_name(row["name"]) + coef, *rates, scores.audio_context(row) or "–", uses


def render_markdown(report: Row) -> str:
    """The whole report for people; long lists are cut, with a count of the rows that only report.json has."""
    sections = {
        f"{RATES[rate_name(report['systems'])].capitalize()}s": _scores(report),
        "Synthetic proxy": _proxy(report) if "proxy" in report else "",
        "Terms of the domain": _terms(report),
        "By domain, speaker and length": _breakdowns(report),
        "What changed most": _examples(report["examples"]),
        "How the recipe was chosen": _selection(report),
        "Forgetting": _forgetting(report),
        "What else was kept": _kept(report),
        "Words alone": _biasing(report) if "biasing" in report else "",
        "Adapted while listening": _drawn([adapted_table(report["test_time"])]) if "test_time" in report else "",
        "How synthetic differs from real": _likeness(report["source_gap"]) if "source_gap" in report else "",
        "Carried over from elsewhere": carried_text(report),
        "Leak ledger": _ledger(report),
        "Quality gate": _drawn([provenance.gate_table(report)]) if report.get("gates") else "",
        "Left out": _dropped(report),
        "Conditions": _conditions(report),
        "Corpora": _corpora(report),
        "Voices": as_markdown(provenance.voice_table(report)),
        "Stages": f"{provenance.work_note(report)}\n\n{as_markdown(provenance.stage_table(report))}",
    }
    head = f"# {escaped(report['name'])}\n\n**{escaped(report['verdict'], limit=None)}**\n"
    return "\n".join([head, *(f"## {title}\n\n{body}\n" for title, body in sections.items() if body)])


def _drawn(tables: Iterable[Table | None], *, headings: bool = False) -> str:
    """Tables one below the other, each with its note."""
    parts: list[str] = []
    for table in tables:
        if table is not None:
            parts += [f"### {escaped(table.caption)}"] if headings else []
            parts += [escaped(table.note, limit=None)] if table.note else []
        parts.append(as_markdown(table, _MOST_SCORES if headings else 40))
    return "\n\n".join(parts)


def _scores(report: Row) -> str:
    rates = rate_name(report["systems"])
    note = (
        f"Differences are in points of {rates}, adapted minus this, on the same utterances: below zero adapted is "
        "better. A difference whose interval holds zero is called neither better nor worse. Raw WER is of the texts as "
        "written, case and punctuation included. A loop compresses beyond 2.4 or repeats four words more than five "
        "times."
    )
    return f"{note}\n\n{_drawn(scores.wer_tables(report), headings=True)}"


def _proxy(report: Row) -> str:
    table = as_markdown(proxy_table(report["proxy"], rate_name(report["systems"])))
    return f"{escaped(proxy_note(report['proxy']), limit=None)}\n\n{table}"


def _terms(report: Row) -> str:
    terms = report["terms"]
    if not terms["terms"]:
        return "None is known: none was given, and the target's texts hold no word that is rare in the sources'."
    origin = "given" if terms["origin"] == "given" else "found in the target's texts"
    listed = f"{len(terms['terms'])} terms, {origin}: {escaped(', '.join(terms['terms']), limit=600)}."
    return "\n\n".join([listed, *(as_markdown(by_system) for by_system, _ in scores.term_tables(report))])


def _breakdowns(report: Row) -> str:
    tables = [table for _, table in scores.breakdown_parts(report)]
    note = "Groups are small, and among many some differ by chance; report.json has the intervals."
    return f"{note}\n\n{_drawn(tables, headings=True)}" if tables else "The recordings make one group only."


def _examples(examples: Row | None) -> str:
    if examples is None:
        return "Pretrained and adapted were not both scored on recordings of the target or a source."
    lead = (
        f"From {examples['before']} to {examples['after']}: {counted(examples['improved'], 'utterance')} improved, "
        f"{examples['worsened']} worsened, {examples['unchanged']} kept their number of errors."
    )
    return f"{escaped(lead, limit=None)}\n\n{as_markdown(scores.example_table(examples))}"


def _selection(report: Row) -> str:
    selection = report["selection"]
    parts = [f"Method: {escaped(selection['method'])}. Chosen: {_recipe(selection['chosen'])}."]
    if selection["folds"]:
        folds = escaped(", ".join(selection["folds"]), limit=300)
        parts.append(f"Each of these source domains played the target: {folds}.")
    if selection["scores"]:
        parts.append("Every recipe, pooled over the folds; * marks the chosen one:")
        parts.append(as_markdown(scores.recipe_table(report), _MOST_SCORES))
        curves = (f"- {escaped(name)}: {sparkline(rates)}" for name, rates in scores.recipe_curves(report))
        parts.append(
            "\n".join(
                [f"{rate_name(report['systems'])} over the scaling coefficient, lowest coefficient first:", "", *curves]
            )
        )
    if report["target_curve"]:
        parts.append("The target's own curve, scored after the recipe was chosen and of no influence on it:")
        parts.append(as_markdown(scores.curve_table(report)))
        parts.append(sparkline([row["wer"] for row in report["target_curve"]]))
    return "\n\n".join(parts)


def _recipe(recipe: Row | None) -> str:
    if recipe is None:
        return "nothing yet"
    augmentation = "with" if recipe["augmentation"] else "without"
    weight = 100 * (recipe.get("pretrained_weight") or 0.0)
    return (
        f"start {recipe['start']}, {augmentation} augmentation, scaling coefficient {recipe['scaling_coef']:g}, "
        f"{weight:g} % pretrained weights"
    )


def sparkline(values: Sequence[float | None]) -> str:
    """A curve of block characters from the lowest value to the highest; a space where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, spread = min(known), max(known) - min(known)
    top = len(_BARS) - 1
    return "".join(" " if v is None else _BARS[round(top * (v - low) / spread) if spread else 0] for v in values)


def _forgetting(report: Row) -> str:
    forgetting = report["forgetting"]
    if forgetting["passed"] is None:
        return "No general speech was scored, so nothing is known of what was forgotten."
    state = "passed" if forgetting["passed"] else "FAILED"
    bound = f"Bound: {100 * forgetting['bound']:g} % relative. Guard {state}."
    tables = [scores.forgetting_table(report), scores.kept_table(report)]
    return "\n\n".join([bound, *(as_markdown(table) for table in tables if table is not None)])


def _ledger(report: Row) -> str:
    leaks = report["ledger"]["target_recordings_read_before_scoring"]
    found = f"{len(leaks)}, listed first" if leaks else "none"
    top = f"Target recordings read before the final scoring: **{found}**. Every read of every stage is in report.json."
    listed, summary = provenance.ledger_tables(report)
    return "\n\n".join([top, *([as_markdown(listed)] if leaks else []), as_markdown(summary)])


def _kept(report: Row) -> str:
    tables = kept_tables(report)
    tables += [prompt_table(report["biasing"])] if "biasing" in report else []
    return "\n\n".join(as_markdown(table) for table in tables if table is not None)


def _biasing(report: Row) -> str:
    part = report["biasing"]
    listed = as_markdown(biasing_table(part, rate_name(report["systems"])))
    return "\n\n".join([biasing_note(part), listed, as_markdown(choice_table(part), cell_limit=None)])


def _likeness(part: Row) -> str:
    return f"Of the source domains: {likeness_note(part)}\n\n{as_markdown(likeness_table(part))}"


def _dropped(report: Row) -> str:
    if not report["dropped"]["count"]:
        return "No utterance was left out."
    return f"{counted(report['dropped']['count'], 'utterance')}.\n\n{_drawn(provenance.dropped_tables(report))}"


def _conditions(report: Row) -> str:
    bootstrap = report["bootstrap"]
    rates, units = ("CER", "characters") if rate_name(report["systems"]) == "CER" else ("WER", "words")
    how = (
        f"{rates} is pooled: all errors over all reference {units}. Intervals: {100 * bootstrap['confidence']:g} %, "
        f"{bootstrap['resamples']} bootstrap resamples of sentences, seed {bootstrap['seed']}."
    )
    return "\n\n".join([how, *map(as_markdown, provenance.score_conditions(report))])


def _corpora(report: Row) -> str:
    note = report["corpus"]["simulated_line"]
    table = as_markdown(provenance.corpus_table(report))
    return f"{table}\n\n{escaped(note, limit=None)}" if note else table
