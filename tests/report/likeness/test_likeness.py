"""Tables and histograms of the gap between real and synthetic speech, and of the probes."""

from typing import Any

import pytest
from reports import INPUTS

from asr_tv.report.build import build_report
from asr_tv.report.likeness import histogram_panels, likeness_note, likeness_table
from asr_tv.report.likeness.bound import domain_words_part
from asr_tv.report.likeness.probes import questions_table, unsaid_table
from asr_tv.report.page import render_page
from asr_tv.report.table import as_markdown


def gap_row(attribute: str, **values: Any) -> dict[str, Any]:
    return {
        "attribute": attribute,
        "known": [30, 30],
        "of": [30, 30],
        "real": [12.2, 13.1, 13.7],
        "synthetic": [16.0, 17.2, 18.8],
        "ks": 0.77,
        "probability": 0.05,
        "ci_low": 0.0,
        "ci_high": 0.13,
        "sentences": 30,
        "histogram": {"low": 10.0, "high": 20.0, "real": [0.5, 0.5, 0, 0], "synthetic": [0, 0, 0.25, 0.75]},
        "knob": "synthesis.length_scale",
        "suggestion": "synthesis.length_scale × 1.31",
    } | values


NOTHING = dict.fromkeys(("real", "synthetic", "ks", "probability", "ci_low", "ci_high", "sentences", "histogram"))
UNKNOWN = gap_row("snr_db", **NOTHING, known=[0, 0], suggestion=None)
PART = {
    "clips": {"real": 30, "synthetic": 30},
    "matched": False,
    "rows": [gap_row("letters_a_second"), UNKNOWN],
}


def test_a_line_has_quartiles_chance_and_suggestion() -> None:
    drawn = as_markdown(likeness_table(PART))
    assert "13.1 (12.2 to 13.7)" in drawn
    assert "5 (0 to 13)" in drawn
    assert "synthesis.length_scale × 1.31" in drawn
    assert "unknown" in drawn.splitlines()[-1]
    lonely = gap_row("f0_hz", knob="synthesis.voices", suggestion="no voice near 208 Hz")
    assert "| synthesis.voices: no voice near 208 Hz |" in as_markdown(likeness_table(PART | {"rows": [lonely]}))
    assert likeness_note(PART).startswith("30 recordings against 30 synthetic clips, 30 sentences of both.")


def test_the_table_s_csv_has_the_numbers_unrounded() -> None:
    found = likeness_table(PART)
    assert found is not None
    lines = found.csv.splitlines()
    assert "real lower quartile,real median,real upper quartile" in lines[0]
    assert "12.2,13.1,13.7,16,17.2,18.8,0.77,0.05,0,0.13" in lines[1]


def test_bars_stand_on_one_scale_on_both_sides_of_the_line() -> None:
    (panel,) = histogram_panels(PART)
    assert [c.x for c in panel.real] == [0.5, 60.5]
    assert [c.x for c in panel.synthetic] == [120.5, 180.5]
    assert panel.real[0].height == panel.real[1].height == pytest.approx(2 / 3 * panel.synthetic[1].height)
    assert all(c.y + c.height == panel.middle - 1 for c in panel.real)
    assert all(c.y == panel.middle + 1 for c in panel.synthetic)
    assert panel.marks == pytest.approx((240 * 0.31, 240 * 0.72))
    assert panel.note == "real 13.1 /s, synthetic 17.2 /s; synthesis.length_scale × 1.31"


@pytest.mark.parametrize("matched", [False, True])
def test_the_page_says_whether_the_clips_were_matched(matched: bool) -> None:
    page = render_page(build_report(INPUTS) | {"source_gap": PART | {"matched": matched}})
    assert ("synthesis.match" in page) is matched
    assert 'id="likeness-1-t"' in page
    assert "How synthetic differs from real" not in render_page(build_report(INPUTS))


WORDS = {"count": 3, "amount": 0.5, "unit": "1000 words", "rate": 6.0, "ci_low": 2.0, "ci_high": 10.0}
ASKED = {"pairs": 20, "accuracy": 0.9, "ci_low": 0.8, "ci_high": 1.0, "yes_rate": 0.4, "f1_no": 0.91}
ROWS = [
    {
        "system": name,
        "domain_words": {"general speech": WORDS, "silence": WORDS | {"unit": "minute", "ci_low": None}},
        "questions": {"order": ASKED | {"both_right": 0.85, "unanswered": 0.1}},
    }
    for name in ("pretrained", "adapted")
]


def test_probes_are_drawn_with_units_and_chance() -> None:
    drawn = as_markdown(unsaid_table(ROWS))
    assert "6.0 (2.0 to 10.0) per 1,000 words" in drawn
    assert "6.0 per minute" in drawn
    assert "90.0 (80.0 to 100.0) | 50 |" in as_markdown(questions_table(ROWS))
    assert unsaid_table([{"system": "a"}]) is questions_table([]) is None


@pytest.mark.parametrize(("bound", "passed"), [(0.0, False), (3.9, False), (4.0, True)])
def test_the_bound_is_on_what_adaptation_added(bound: float, passed: bool) -> None:
    rows = [
        {"system": name, "domain_words": {"general speech": WORDS | {"rate": rate}}}
        for name, rate in (("pretrained", 1.0), ("adapted", 5.0))
    ]
    found = domain_words_part(rows, bound)["domain_words"]
    assert found == {"bound": bound, "pretrained": 1.0, "adapted": 5.0, "passed": passed}
    assert domain_words_part(rows, None) == domain_words_part(ROWS[:1], bound) == {}
