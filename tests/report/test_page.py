"""The page as text: what it holds, what it must not let through, how large it gets. test_browser opens it."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from reports import HOSTILE, INPUTS, RECIPE, hostile_inputs, manifest, page_of, rows_of, scored

from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.report.build import build_report
from asr_tv.report.charts import Measured, bar, line_chart, time_strip, top_of
from asr_tv.report.inputs import DroppedUtterance, SelectionInput, SystemInput
from asr_tv.report.page import Player, render_page
from asr_tv.report.table import Column, percent_span, table, text, whole
from asr_tv.safe_text import printable
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.score import evaluate


class Outline(HTMLParser):
    """Tags as they nest, headings, ids, and what a page must not hold."""

    VOID = frozenset(["meta", "link", "img", "br", "hr", "wbr", "path", "rect", "circle"])

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.headings, self.ids, self.scripts, self.urls, self.buttons = [], [], [], 0, [], 0
        self.words = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        assert not [name for name in values if name.startswith("on")], f"{tag} {values}"
        if tag not in self.VOID:
            self.open.append(tag)
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        self.ids += [values["id"]] if "id" in values else []
        self.scripts += tag == "script"
        self.urls += [values[key] for key in ("src", "href", "data", "action") if key in values]

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_is_well_formed_and_its_headings_nest():
    outline = Outline(page_of())
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(outline.headings, outline.headings[1:], strict=False))
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.scripts == 1


def test_nothing_is_asked_of_a_network():
    outline = Outline(page_of())
    assert {url.partition(":")[0] for url in outline.urls if not url.startswith("#")} == {"data"}
    assert not re.search(r"https?://(?!www\.w3\.org)", page_of())


def test_every_section_of_the_report_is_there():
    words = "".join(Outline(page_of()).words)
    for section in ("Word error rates", "recipe", "By domain", "Terms", "word by word", "Forgetting", "Synthesis"):
        assert section in words
    report = build_report(INPUTS)
    assert report["headline"] in words
    assert report["verdict"] in words
    for value in ("10.0", "25.0", "asr-tv try runs/", "openai-whisper-", "leave_one_source_domain_out", "CC BY-SA 3.0"):
        assert value in words


def test_texts_of_strangers_are_shown_and_never_run():
    page = page_of(hostile_inputs(), **{f"u0{HOSTILE}": (Player(HOSTILE, None, HOSTILE),)})
    outline = Outline(page)  # refuses event handlers and tags that do not nest
    assert outline.scripts == 1
    assert "<img" not in page
    assert "<script>alert(1)</script>" in "".join(outline.words)
    assert "{{ 7*7 }}" in "".join(outline.words)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", page)
    assert "⟨U+202E⟩" in page


def test_characters_that_do_not_show_are_written_out():
    assert printable("a\tb\u202e\ud800\n") == "a⟨U+0009⟩b⟨U+202E⟩⟨U+D800⟩\n"


def test_a_lone_surrogate_does_not_spoil_the_file():
    page = page_of(replace(INPUTS, name="\ud800"))
    assert page.encode()


def test_ten_thousand_utterances_make_a_small_page():
    rows = tuple(
        Utterance(
            f"u{i:05}", f"say word {i} after {i % 7} tones", domain=f"d{i % 60}", speaker=f"s{i % 500}", split="test"
        )
        for i in range(10_000)
    )
    reference = Manifest("big", rows)
    heard = {"pretrained": "say what", "adapted": "say word"}
    systems = tuple(
        SystemInput(
            name,
            "target",
            "big",
            "test",
            evaluate(reference, {u.id: start if i % 9 == 0 else u.text for i, u in enumerate(rows)}, "none"),
            text_only=True,
        )
        for name, start in heard.items()
    )
    dropped = tuple(DroppedUtterance(f"lost{i}", "corpus", "too long") for i in range(10_000))
    inputs = replace(INPUTS, systems=systems, dropped=dropped, target_curve={}, bootstrap=Bootstrap(100, 0.95, 1))
    page = page_of(inputs)
    assert len(page.encode()) < 1_000_000
    assert page.count("<tr>") < 1_500
    assert "9800 more rows in report.json" in page


def test_players_are_inlined_linked_or_named_as_missing():
    report = build_report(INPUTS)
    (first, second, third) = (e["id"] for e in report["examples"]["most_improved"][:3])
    page = render_page(
        report,
        {
            first: (Player("Real recording", "data:audio/flac;base64,AAAA"),),
            second: (Player("Real recording", "../store/a%20b.flac", "linked"),),
            third: (Player("Real recording", None, "recording not found"),),
        },
    )
    assert '<audio controls preload="none" aria-label="Real recording" src="data:audio/flac;base64,AAAA">' in page
    assert 'src="../store/a%20b.flac"' in page
    assert page.count("<audio") == 2
    assert "recording not found" in page
    assert "No recording at hand" in page


def test_without_target_recordings_and_without_anything():
    rows = tuple(SystemInput(n, "target", "mine", "test", None, True) for n in ("target_synthetic", "adapted"))
    assert "no target recordings" in page_of(replace(INPUTS, systems=rows + INPUTS.systems[-2:], target_curve={}))
    nothing = replace(
        INPUTS,
        systems=(),
        stages=(),
        corpora=(),
        dropped=(),
        target_curve={},
        selection=SelectionInput("fixed", RECIPE),
    )
    assert "No system was scored" in page_of(nothing)
    assert "nothing is known of what was forgotten" in page_of(nothing)


def test_a_leak_and_an_unfinished_run_are_said_first():
    leaky = replace(INPUTS, stages=tuple(replace(s, purpose="model") for s in INPUTS.stages))
    assert "NOT TEXT-ONLY" in page_of(leaky)
    unfinished = page_of(replace(INPUTS, missing=("finetune source_real",), selection=SelectionInput("fixed", None)))
    assert "UNFINISHED" in unfinished
    assert "<li>finetune source_real</li>" in unfinished
    assert "asr-tv try" not in unfinished


def test_a_wer_over_one_is_cut_at_the_end_of_its_scale():
    loud = manifest("voicemail")
    systems = tuple(
        SystemInput(name, "target", "voicemail", "test", evaluation, text_only=True)
        for name, evaluation in (
            ("pretrained", evaluate(loud, {u.id: f"{u.text} " * 9 for u in loud}, "basic")),
            ("adapted", evaluate(loud, {u.id: u.text for u in loud}, "basic")),
        )
    )
    page = page_of(replace(INPUTS, systems=systems, target_curve={0.0: scored(loud, 40)}))
    assert "800.0" in page
    assert all(float(width) <= 160 for width in re.findall(r'<rect class="fill" x="0" y="4" width="([\d.]+)"', page))


def test_the_csv_holds_the_numbers_unrounded():
    columns = (Column("system"), Column("errors", True), Column("interval", True, ("low", "high")))
    made = table("t", "A table", columns, [[text("adapted"), whole(12_345), percent_span(0.123456, None)]])
    assert rows_of(made) == [["system", "errors", "low", "high"], ["adapted", "12345", "", ""]]
    known = table("t", "A table", columns, [[text("a"), whole(1), percent_span(0.123456, 0.2)]])
    assert rows_of(known)[1] == ["a", "1", "12.3456", "20"]


@pytest.mark.parametrize("bad", ["=1+1", "+cmd", "-1", "@sum", "\tx"])
def test_no_cell_of_the_csv_is_a_formula(bad):
    made = table("t", "A table", (Column("text"),), [[text(bad)]])
    assert rows_of(made)[1] == [f"'{bad}"]


def test_long_tables_are_cut_and_say_so():
    made = table("t", "A table", (Column("n", True),), [[whole(i)] for i in range(500)])
    assert (len(made.rows), made.cut) == (400, 100)
    assert table("t", "A table", (Column("n"),), []) is None


def test_scales_and_bars():
    assert [top_of(values) for values in ([], [0.013], [0.51, None], [9.0])] == [0.01, 0.02, 0.6, 1.2]
    drawn = bar(0.3, 0.1, 0.9, 0.6, "rival")
    assert (drawn.value, drawn.low, drawn.high) == (0.5, pytest.approx(1 / 6), 1.0)
    assert bar(None, None, None, 1.0, "rival") is None


def test_a_line_goes_down_as_wer_does():
    chart = line_chart("t", [("a", 0, [Measured(0.0, 0.4), Measured(0.5, 0.2), Measured(1.0, 0.1, 0.05, 0.2)])], 0.5)
    a, b, c = chart.lines[0].points
    assert a.x < b.x < c.x
    assert a.y < b.y < c.y  # places count from the top
    assert c.low > c.y > c.high
    assert b.x == pytest.approx((a.x + c.x) / 2)
    assert "c = 0.5: 20.0 %" in chart.description
    assert line_chart("t", [], 0.5) is None
    assert line_chart("t", [("a", 0, [Measured(0.3, 0.4)])], 0.5) is not None


def test_the_time_strip_is_as_wide_as_the_time():
    rows = (("finetune", "a", "cached", 30.0), ("score", "b", "executed", 0.0), ("score", "c", "executed", 10.0))
    slices = time_strip([dict(zip(("name", "label", "state", "seconds"), row, strict=True)) for row in rows])
    assert [(s.label, s.start, s.width, s.cached) for s in slices] == [("a", 0.0, 0.75, True), ("c", 0.75, 0.25, False)]
    assert time_strip([{"name": "score", "label": "b", "state": "cached", "seconds": 0.0}]) == ()
