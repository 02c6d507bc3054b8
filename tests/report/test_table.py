"""One table, three drawings: Markdown, page and terminal hold the same cells."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from reports import INPUTS, rows_of, target

from asr_tv.cli.adapt import print_report
from asr_tv.cli.console import print_rows, print_tables
from asr_tv.report.build import build_report
from asr_tv.report.markdown import render_markdown
from asr_tv.report.page import render_page
from asr_tv.report.score_tables import wer_tables
from asr_tv.report.systems import TARGET_ROW, display_name
from asr_tv.report.table import PAGE_ONLY, Column, count, table, text, words

NAMES = (
    *(f"{name}{suffix}" for name in TARGET_ROW.values() for suffix in ("", "_augmented")),
    *("source_real", "source_synthetic", "source_mixed", "pretrained_short_context", "adapted_short_context"),
    *("target_synthetic_ungated", "topline", "a rival of our own"),
)


@pytest.fixture
def report():
    known = {system.name for system in INPUTS.systems}
    more = tuple(target(name, 50 + n) for n, name in enumerate(NAMES) if name not in known)
    return build_report(replace(INPUTS, systems=INPUTS.systems + more))


class Rows(HTMLParser):
    """The texts of the cells of one table of the page, row by row."""

    def __init__(self, page, id):
        super().__init__()
        self.rows = []
        self.feed(page[page.index(f'id="{id}"') :].partition("</table>")[0])

    def handle_starttag(self, tag, _):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_all_three_drawings_hold_the_same_cells(report, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    for made in wer_tables(report):
        expected = [[row[n].text for n in made.text_columns] for row in made.rows]
        on_page = Rows(render_page(report), made.id).rows[1:]
        assert [[row[n].strip() for n in made.text_columns] for row in on_page] == expected
        in_markdown = [line for line in render_markdown(report).split("\n") if line.startswith("| ")]
        print_tables(made)
        printed = [re.sub(r"\s+", " ", line).strip() for line in capsys.readouterr().out.split("\n")]
        for row in expected:
            assert f"| {' | '.join(row)} |".replace("<", "\\<") in in_markdown
            assert re.sub(r"\s+", " ", " ".join(row)).strip() in printed


@pytest.mark.parametrize("width", [80, 100, 220])
def test_every_name_is_whole_and_no_line_is_wider_than_the_terminal(report, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    print_report(report)
    lines = capsys.readouterr().out.split("\n")
    assert max(map(len, lines)) <= width
    for system in report["systems"]:
        assert [line for line in lines if line.startswith(f"{display_name(system['name'])} ")], system["name"]
    heading = next(line for line in lines if line.startswith("system"))
    assert [title in heading for title in ("WER %", "interval", "difference")] == [True] * 3
    assert ("insertions" in heading) == (width > 200)
    assert any(line.startswith("Columns too wide for this terminal: ") for line in lines) == (width < 200)


def test_long_names_break_between_words_and_files_hold_the_long_name(report, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    print_rows([{"what": "several words that are too long for a line", "n": 12}], [words("what"), count("n")])
    lines = [line.strip() for line in capsys.readouterr().out.split("\n")]
    spoken = [word for line in lines for word in line.split() if word != "12"]
    assert " ".join(spoken).endswith("several words that are too long for a line")
    assert max(map(len, lines)) <= 30
    (first, _) = wer_tables(report)
    assert "source_mixed_then_target_synthetic_augmented" in [row[0] for row in rows_of(first)]
    assert "mixed → target, augmented" in [row[0].text for row in first.rows]


def test_a_terminal_of_another_encoding_is_written_to(report, capsys, monkeypatch):
    monkeypatch.setattr("rich.console.Console.encoding", "ascii")
    print_report(report)
    assert "mixed -> target, augmented" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("target_synthetic", "target"),
        ("source_mixed_then_target_synthetic_augmented", "mixed → target, augmented"),
        ("source_real_then_target_synthetic", "real → target"),
        ("source_real", "source real"),
        ("pretrained_short_context", "pretrained, short context"),
        ("adapted_short_context", "adapted, short context"),
        ("target_synthetic_ungated", "target, ungated"),
        ("target_synthetic + mean_of_domains", "target + mean_of_domains"),
        ("target_synthetic (LoRA)", "target (LoRA)"),
        ("topline", "topline"),
        ("target_synthetic_of_mine", "target_synthetic_of_mine"),
        ("=1+1 \x1b[31m", "=1+1 \x1b[31m"),
        ("", ""),
    ],
)
def test_display_names(name, shown):
    assert display_name(name) == shown


def test_a_column_of_the_page_alone_is_drawn_nowhere_else():
    made = table("t", "A table", (Column("a"), Column("bar", priority=PAGE_ONLY)), [[text("x"), text("y")]])
    assert made.text_columns == (0,)
    assert rows_of(made) == [["a", "bar"], ["x", "y"]]
