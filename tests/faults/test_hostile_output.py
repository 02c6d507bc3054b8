"""What strangers wrote, in everything the program writes: shown, and never obeyed by a page, a terminal or a sheet."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import Command, record, write_rows
from reports import HOSTILE, INPUTS, REPORT, hostile_inputs, rows_of

from asr_tv.audio.silences import Span
from asr_tv.cli.adapt import print_report
from asr_tv.cli.console import progress_for
from asr_tv.config.run import SynthesisConfig
from asr_tv.decoding.subtitles import Cue, Transcript, as_srt, as_text, as_vtt
from asr_tv.report.build import build_report
from asr_tv.report.export_card import Check, export_card, plain_card
from asr_tv.report.markdown import render_markdown
from asr_tv.report.model_card import model_card
from asr_tv.report.score_tables import retention_table
from asr_tv.report.table import Column, as_markdown, table, text
from asr_tv.safe_text import escaped, inert, printable, yaml_scalar

ORDERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys, and what turns the direction of a line."""
ATTACKS = [
    HOSTILE,
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](https://example.org/track.png)",
    "`code` **bold** | cell | \\| <b>",
    "\x1b]0;title\x07\x1b[2J\x1b[31m",
    "\x9b31m C1",
    "\u202egnp.exe\u2066",
    "a\r\nb\n\n# heading\n---\n| a | b |",
    "[red]x[/red] [/] [link=file:///etc/passwd]y[/link] :warning:",
    "\ud800",
]


@pytest.mark.parametrize("attack", ATTACKS)
class TestText:
    def test_on_a_terminal(self, attack: str) -> None:
        assert not ORDERS.search(printable(attack, keep="").encode("utf-8", "strict").decode())
        assert not ORDERS.search(printable(attack).replace("\n", ""))

    def test_in_a_cell_and_in_a_line_of_markdown(self, attack: str) -> None:
        for shown in (escaped(attack, limit=None), inert(attack)):
            assert not ORDERS.search(shown)
            assert "\n" not in shown
            assert not re.search(r"(?<!\\)[<>`|*]", shown)
            assert not re.search(r"(?<!\\)\]\(", shown)
            assert shown.encode()

    def test_as_a_value_of_yaml(self, attack: str) -> None:
        header = f"a: {yaml_scalar(attack)}\nb: 1\n"
        assert yaml.safe_load(header).keys() == {"a", "b"}

    def test_in_subtitles(self, attack: str) -> None:
        said = Transcript(attack, 2.0, (Cue(Span(0, 1), attack + " --> 00:00:09,000"), Cue(Span(1, 2), "end")))
        for form in (as_text, as_srt, as_vtt):
            assert not ORDERS.search(form(said).replace("\n", ""))
        assert as_srt(said).count("-->") == 2
        assert as_vtt(said).count("-->") == 2
        assert "<script" not in as_vtt(said)
        assert len(as_text(said).splitlines()) == 2


def test_what_is_harmless_stays() -> None:
    for said in ("Größe 3 × 4 %", "שלום", "می‌خواهم", "👨‍👩‍👧", "e\u0301", "a_b [1.0, 2.0]"):
        assert printable(said) == inert(said) == said


@pytest.mark.parametrize(
    "start", ["=", "+", "-", "@", "\t=", "\r=", "\n=", " =", "\u00a0=", "＝", "＋", "－", "＠", "=cmd|' /C calc'!"]
)
def test_no_sheet_computes_a_cell_or_a_heading(start: str) -> None:
    attack = f"{start}HYPERLINK(1)"
    made = table("t", "A table", (Column(attack),), [[text(attack)]])
    assert made is not None
    assert [cell[:1] for row in rows_of(made) for cell in row] == ["'", "'"]
    assert len(list(csv.reader(io.StringIO(made.csv)))) == 2


def test_the_report_in_markdown() -> None:
    page = render_markdown(build_report(hostile_inputs()))
    assert not ORDERS.search(page.replace("\n", ""))
    assert not re.search(r"(?<!\\)<(script|img)", page)


def test_the_report_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "[red]x[/red] [/] :warning:\x1b[31m"
    systems = tuple(replace(s, domain=name) for s in INPUTS.systems)
    report = build_report(replace(INPUTS, systems=systems)) | {"verdict": name}
    print_report(report)
    out = capsys.readouterr().out
    assert "[red]x[/red] [/] :warning:⟨U+001B⟩[31m" in " ".join(out.split())
    assert "\x1b" not in out


def test_progress_in_a_log_and_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_for(quiet=False)("corpus [/] \x1b[31m", 1, "clips") as advance:
        advance(1)
    assert "corpus [/] ⟨U+001B⟩[31m: 1 clips" in capsys.readouterr().err


def card(name: str) -> str:
    report: dict[str, Any] = REPORT | {"name": name, "target_domain": name, "verdict": name}
    report["corpus"] = {"corpora": [{"name": name, "licence": name}]}
    report["systems"] = [{**row, "domain": name} for row in REPORT["systems"]]
    report["selection"] = REPORT["selection"] | {"folds": [name]}
    synthesis = SynthesisConfig(voices=(name,))
    return model_card(
        report, base=name, base_licence=name, synthesis=synthesis, voice_licences={name: name}, language=name
    )


@pytest.mark.parametrize("attack", ATTACKS)
def test_cards_of_models_and_of_exports(attack: str) -> None:
    check = Check("runtime 1", attack, 1, 1, 0.1, 0.1, 1, 0.01)
    export = export_card(
        plain_card(attack, attack, attack), "openai", "fp32", language=attack, multilingual=True, check=check
    )
    for written in (card(attack), export):
        _, header, body = written.split("---\n", 2)
        assert yaml.safe_load(header)["pipeline_tag"] == "automatic-speech-recognition"
        assert not ORDERS.search(written.replace("\n", ""))
        assert not re.search(r"(?<!\\)<(script|img|b>)", body)
        assert not re.search(r"(?<!\\)\]\(", body)
        assert not re.search(r"^# heading", body, re.MULTILINE)


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_benchmarks_tables(attack: str) -> None:
    row = {"target": attack, "system": attack, "words_per_minute": {attack: 1.0}}
    drawn = table("t", attack, (Column(attack),), [[text(attack)]])
    for page in (as_markdown(drawn, cell_limit=None), inert(attack), as_markdown(retention_table([row]))):
        assert not ORDERS.search(page.replace("\n", ""))
        assert not re.search(r"(?<!\\)<(script|img|b>)", page)
        assert not re.search(r"(?<!\\)\]\(", page)


def test_a_mistake_is_one_line_whatever_it_quotes(asr_tv: Command, tmp_path: Path) -> None:
    (tmp_path / "t\x1b[2J\n.txt").write_text("!!!\x1b[;\n")
    (problem,) = asr_tv("synthesize", "t\x1b[2J\n.txt", "--out", "o").problems
    assert not ORDERS.search(problem)
    assert "no word, only punctuation" in problem


def test_names_of_domains_and_recordings_on_standard_output(asr_tv: Command, tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    row = {"id": "a", "audio": "a.wav", "text": "hi", "domain": "\x1b[31m[/red]"}
    write_rows(tmp_path / "m.jsonl", row)
    for command in (("corpus", "stats"), ("corpus", "validate")):
        done = asr_tv(*command, "m.jsonl")
        assert done.code == 0
        assert "⟨U+001B⟩[31m[/red]" in done.out
        assert not ORDERS.search(done.out.replace("\n", ""))


def test_artifacts_of_prefect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    artifacts = pytest.importorskip("flows.artifacts")
    from asr_tv.runs.promotion import Promotion
    from asr_tv.store.results import Record

    made: list[Any] = []
    for kind in ("markdown", "table", "link"):
        monkeypatch.setattr(artifacts, f"create_{kind}_artifact", lambda *a, **k: made.append((a, k)))
    monkeypatch.setattr(artifacts, "earlier", lambda _: [("2026-01-01 00:00", HOSTILE)])
    monkeypatch.setattr(artifacts, "_say_where", lambda _: None)
    monkeypatch.setenv("ASR_TV_RUNS_URL", "http://127.0.0.1:4280")
    report = build_report(hostile_inputs())
    folder = tmp_path / "run (x) [y](javascript:1)"
    version = folder / "versions" / "v"
    version.mkdir(parents=True)
    (version / "report.html").touch()
    artifacts.publish_report(report, folder, Promotion(version, False, False, HOSTILE), HOSTILE)
    (folder / "benchmark.md").write_text(inert(HOSTILE))
    artifacts.publish_table(HOSTILE, folder, [HOSTILE], "1 stage")
    details = {"name": HOSTILE, "address": "s3://KEY:se/cret@bucket"}
    artifacts.publish_stage(HOSTILE, HOSTILE, Record("s", "k", folder, "d", (), details, 1.0, False))
    assert len(made) == 4
    written = json.dumps(made, ensure_ascii=False)
    assert "se/cret" not in written
    assert not ORDERS.search(written)
    for positional, named in made:
        texts = [named.get("description", ""), *(a for a in positional if isinstance(a, str) and "\n" in a)]
        assert not re.search(r"(?<!\\)<(script|img)", "".join(texts))
        assert "](javascript:" not in "".join(texts)
