"""The report as one HTML file that opens from disk and asks nothing of a network: report.json in, page out.

`render_page` is the entry point; score_tables, provenance_tables and charts choose what is shown.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from asr_tv.report import charts
from asr_tv.report import provenance_tables as provenance
from asr_tv.report import score_tables as scores
from asr_tv.report.biasing import biasing_note, biasing_table, choice_table, prompt_table
from asr_tv.report.learning.adapted import adapted_table
from asr_tv.report.likeness import histogram_panels, likeness_note, likeness_table
from asr_tv.report.likeness.probes import kept_tables
from asr_tv.report.proxy import proxy_note, proxy_table
from asr_tv.report.systems import ADAPTED, BASELINE, PRETRAINED, RATES, display_name, rate_name, try_command
from asr_tv.report.table import MARKS, signed
from asr_tv.report.verdict import set_of
from asr_tv.safe_text import printable

_FOLDER = resources.files("asr_tv.report.page") / "templates"


@dataclass(frozen=True, slots=True)
class Player:
    """A recording beside a text: `source` is a data URI or a link; where it is None, `note` says why."""

    title: str
    source: str | None
    note: str = ""


def render_page(report: Mapping[str, Any], players: Mapping[str, tuple[Player, ...]] | None = None) -> str:
    """The page of a report.json of this version; `players` by the id of an example's utterance."""
    style, script = _read("page.css"), _read("page.js")
    steered, gap = report.get("biasing"), report.get("source_gap")
    page: str = _template().render(
        report=report,
        try_command=try_command(f"runs/{report['name']}"),
        rates=(rates := rate_name(report["systems"])),
        rates_in_full=RATES[rates],
        style=style,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        tiles=list(_tiles(report)),
        wer_tables=list(scores.wer_tables(report)),
        curves=charts.curve_charts(report),
        recipe_table=scores.recipe_table(report),
        curve_table=scores.curve_table(report),
        breakdowns=list(scores.breakdown_parts(report)),
        term_tables=list(scores.term_tables(report)),
        forgetting=charts.forgetting_panels(report),
        frontier=charts.frontier_chart(report),
        kept_table=scores.kept_table(report),
        retention=[*kept_tables(report), steered and prompt_table(steered)],
        biasing=steered and (biasing_note(steered), biasing_table(steered, rates), choice_table(steered)),
        listening=adapted_table(report.get("test_time", ())),
        likeness=gap and (likeness_note(gap), histogram_panels(gap), likeness_table(gap)),
        proxy=(proxy := report.get("proxy")) and (proxy_note(proxy), proxy_table(proxy, rates)),
        voices=provenance.voice_table(report),
        synthesis=provenance.synthesis_table(report),
        gates=provenance.gate_table(report),
        ledger=provenance.ledger_tables(report),
        dropped=provenance.dropped_tables(report),
        stages=provenance.stage_table(report),
        strip=charts.time_strip(report["stages"]),
        kinds=list(dict.fromkeys(s["name"] for s in report["stages"])),
        work_note=provenance.work_note(report),
        corpora=provenance.corpus_table(report),
        conditions=[*provenance.score_conditions(report), *provenance.run_conditions(report)],
        players=players or {},
    )
    return page


@dataclass(frozen=True, slots=True)
class Tile:
    """A large number at the head of the page."""

    title: str
    value: str
    note: str
    mark: str = ""


def _tiles(report: Mapping[str, Any]) -> Iterator[Tile]:
    adapted = next((s for s in report["systems"] if s["name"] == ADAPTED and s["role"] == "target"), None)
    if adapted is not None and adapted["wer"] is not None:
        ends = adapted["ci_low"], adapted["ci_high"]
        between = "interval unknown" if None in ends else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"
        yield Tile(
            "Adapted, on the target", f"{100 * adapted['wer']:.1f} %", f"{rate_name([adapted])}, {between}", "main"
        )
        for row in report["comparison"]:
            if set_of(row) == set_of(adapted) and row["rival"] in (PRETRAINED, BASELINE):
                yield _difference_tile(row)
    for row in report["forgetting"]["rows"]:
        note, mark = ("within the bound", "") if row["passed"] else ("beyond the bound", "worse")
        yield Tile("General speech", _points(row), note, mark)
    leaks = len(report["ledger"]["target_recordings_read_before_scoring"])
    mark = "worse" if leaks else "better"
    yield Tile("Target recordings read before scoring", str(leaks or "none"), "the ledger below", mark)


def _difference_tile(row: Mapping[str, Any]) -> Tile:
    ends = "interval unknown" if row["ci_low"] is None else f"{signed(row['ci_low'])} to {signed(row['ci_high'])}"
    mark = MARKS.get(row["verdict"], "even")
    return Tile(f"Against {display_name(row['rival'])}", _points(row), f"{ends}: {row['verdict']}", mark)


def _points(row: Mapping[str, Any]) -> str:
    return "–" if row["difference"] is None else f"{signed(row['difference'])} points"


def breakable(value: object) -> Any:
    """Text that may break after an underscore, for narrow screens; already escaped."""
    from markupsafe import Markup, escape

    return escape(printable(value)).replace("_", Markup("_<wbr>"))


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("asr_tv.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters["breakable"] = breakable
    return environment.get_template("page.html")


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
