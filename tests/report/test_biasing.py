"""The part on words alone: one table drawn three ways, what a prompt changes, and terms that would be markup."""

from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from reports import INPUTS, VOICEMAIL, rows_of, scored, target

from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.report.biasing import biasing_part, biasing_table, choice_table, prompt_table
from asr_tv.report.build import build_report
from asr_tv.report.inputs import SystemInput, TermsInput
from asr_tv.report.markdown import render_markdown
from asr_tv.report.page import render_page
from asr_tv.report.score_tables import term_tables
from asr_tv.report.table import Table, as_markdown
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.score import evaluate

BOOTSTRAP = Bootstrap(300, 0.95, 1)
WRONG = {"pretrained": 160, "pretrained + prompt": 100, "adapted": 40, "adapted + prompt": 60}
CHOICES = [{"system": "pretrained + prompt", "chosen": {"terms": 10}, "tried": [[{"terms": 10}, 3, 20]]}]


def part() -> dict[str, Any]:
    """Errors as `scored` makes them; and zebra, which nobody says, is heard twice by one row."""
    rows = {name: scored(VOICEMAIL, wrong) for name, wrong in WRONG.items()}
    heard = {u.id: u.text + " zebra" * (u.id in ("voicemail-1", "voicemail-2")) for u in VOICEMAIL}
    rows["pretrained + boost"] = evaluate(VOICEMAIL, heard, "basic", decoding={"audio_context": 8.0})
    return biasing_part(rows, ("h",), ("zebra",), 360.0, BOOTSTRAP) | {"choices": CHOICES}


def report() -> dict[str, Any]:
    systems = tuple(target(name, wrong) for name, wrong in {"target_synthetic": 100, **WRONG}.items())
    return build_report(replace(INPUTS, systems=systems)) | {"biasing": part()}


class Figure(HTMLParser):
    """The texts of a table of the page, row by row."""

    def __init__(self, page: str, name: str) -> None:
        super().__init__()
        self._name, self._inside, self.rows = name, False, list[list[str]]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "figure":
            self._inside = dict(attrs).get("id") == self._name
        if self._inside and tag == "tr":
            self.rows.append([])
        if self._inside and tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "table"

    def handle_data(self, data: str) -> None:
        if self._inside and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip("\n")


def lines(text: str) -> list[list[str]]:
    """The rows of a Markdown table."""
    rows = [line.strip("|").replace("\\", "").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[:1] + rows[2:]]


@pytest.mark.parametrize("make", [biasing_table, choice_table, prompt_table])
def test_page_text_and_csv_draw_one_table(make: Any) -> None:
    made = make(part())
    assert isinstance(made, Table)
    drawn = Figure(render_page(report()), made.id).rows
    head, *rows = [[cell.strip() for cell in row] for row in drawn if len(row) == len(made.columns)]
    assert [head, *rows] == lines(as_markdown(made, cell_limit=None))
    assert as_markdown(made, cell_limit=None) in render_markdown(report())
    assert [row[0] for row in rows_of(made)[1:]] == [row[0] for row in rows]


def test_what_words_bought_and_cost_by_known_counts() -> None:
    rows = {row["system"]: row for row in part()["systems"]}
    assert (rows["adapted"]["listed_wer"], rows["adapted"]["other_wer"]) == (1.0, 0.0)  # each lost its last word, h
    assert (rows["pretrained"]["listed_wer"], rows["pretrained"]["other_wer"]) == (1.0, 120 / 360)
    boosted = rows["pretrained + boost"]
    assert (boosted["recall"], boosted["false_alarms"], boosted["false_alarms_per_hour"]) == (1.0, 2, 20.0)
    assert boosted["precision"] == 40 / 42
    csv = rows_of(biasing_table(part()))
    assert csv[0][2:4] == ["listed WER % low", "listed WER % high"]
    assert csv[0][5:7] == ["other WER % low", "other WER % high"]


def test_the_page_has_the_part_where_the_run_has_it() -> None:
    assert 'id="words-alone"' in render_page(report())
    assert "1 terms and 1 distractors are listed." in render_page(report())
    assert "words-alone" not in render_page(build_report(INPUTS))
    older = report()
    del older["biasing"]["prompted"]
    assert 'id="prompted"' not in render_page(older)
    assert "What else was kept" not in render_markdown(older)


def test_what_a_prompt_changes_of_each_model() -> None:
    rows = {(row["system"], row["against"]): row for row in part()["prompted"]}
    assert list(rows) == [
        ("pretrained + prompt", "pretrained"),
        ("adapted + prompt", "adapted"),
        ("adapted + prompt", "pretrained + prompt"),
    ]
    assert [row["difference"] for row in rows.values()] == pytest.approx([-60 / 400, 20 / 400, -40 / 400])
    assert [row["verdict"] for row in rows.values()] == ["better", "worse", "better"]
    assert "What else was kept" in render_markdown(report())
    assert "What else was kept" in render_page(report())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [(60, "makes it worse (+5.0"), (20, "makes it better (-5.0"), (40, "is not shown to change it")],
)
def test_the_verdict_says_whether_the_adapted_model_can_still_be_prompted(wrong: int, told: str) -> None:
    systems = target("target_synthetic", 100), target("adapted", 40), target("adapted + prompt", wrong)
    made = build_report(replace(INPUTS, systems=systems))
    assert f" The prompt that was chosen for pretrained {told}" in made["verdict"]
    row = next(row for row in made["comparison"] if row["rival"] == "adapted + prompt")
    if wrong != 40:
        assert f"points, {-100 * row['ci_high']:+.1f} to {-100 * row['ci_low']:+.1f})" in made["verdict"]
    assert "prompt" not in build_report(INPUTS)["verdict"]


BAD = "=1+1<b>x</b>|`y`"


def hostile() -> Mapping[str, Any]:
    said = Manifest("v", tuple(Utterance(f"u{n}", f"press {BAD} now", domain="voicemail") for n in range(3)))
    heard = evaluate(said, {u.id: u.text for u in said}, "none")
    systems = tuple(SystemInput(name, "target", "voicemail", "test", heard, True) for name in ("pretrained", "adapted"))
    made = build_report(replace(INPUTS, systems=systems, terms=TermsInput("given", (BAD,)), target_curve={}))
    part = biasing_part({"pretrained": heard, "adapted": heard}, (BAD,), (f"{BAD}2",), 10.0, BOOTSTRAP)
    return made | {"biasing": part | {"choices": []}}


def test_terms_that_are_markup_or_formulas_are_inert_in_page_text_and_csv() -> None:
    made = hostile()
    page = render_page(made)
    assert "<b>" not in page
    assert BAD in "".join(cell for row in Figure(page, "term-list-0").rows for cell in row)
    assert "<b>" not in render_markdown(made)
    ((_, by_term),) = term_tables(made)
    assert by_term is not None
    assert rows_of(by_term)[1][0] == f"'{BAD}"
    assert made["biasing"]["systems"][0]["recall"] == 1.0
