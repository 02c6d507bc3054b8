"""Rows of test-time adaptation in a run: who heard what, kept apart from all that is text-only."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate
from reports import INPUTS

from asr_tv.data.corpora.local import read_manifest
from asr_tv.errors import ConfigError
from asr_tv.models.locate import resolve_model
from asr_tv.pipeline.biasing import check_biasing
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.pipeline.unlabelled.rows import adapting_rows
from asr_tv.report.build import build_report
from asr_tv.report.markdown import render_markdown
from asr_tv.report.page import render_page
from asr_tv.runs.run import with_listeners
from asr_tv.store.results import Store
from asr_tv.testing.ctc import tiny_ctc
from asr_tv.testing.runs import fake_config, fake_recordings

ASKED = {"methods": ["suta", "fast_slow"], "of": ["adapted"]}


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("rows")
    execute = InProcess(Store(folder / "store"))
    config = fake_config(folder, test_time=ASKED, scoring__normalizer="none")
    model = resolve_model(str(tiny_ctc(folder / "ctc")), execute.store)
    test = read_manifest(fake_recordings(folder / "test", sentences=2, domains=("travel",)))
    found = adapting_rows(config, model, model, test, execute)
    assert {done.step.purpose for done in execute.done} == {"scoring"}
    return found


@pytest.fixture(scope="module")
def report(part: dict[str, Any]) -> dict[str, Any]:
    return with_listeners(build_report(INPUTS), part)


def test_the_rows_say_what_they_heard(part: dict[str, Any]) -> None:
    assert {row["system"]: row["hears"] for row in part["rows"]} == {
        "adapted, none": "nothing",
        "adapted, suta": "the recording itself",
        "adapted, fast_slow": "earlier recordings",
    }


def test_they_are_no_rivals_and_stand_in_the_ledger(report: dict[str, Any]) -> None:
    assert not any("suta" in row["name"] for row in report["systems"])
    (heard,) = report["ledger"]["heard_without_labels"]
    assert heard["systems"] == ["adapted, suta", "adapted, fast_slow"]


def test_the_report_is_valid_and_shows_them(report: dict[str, Any]) -> None:
    validate(report, json.loads((files("asr_tv.schemas") / "report-2.json").read_text(encoding="utf-8")))
    assert "## Adapted while listening" in render_markdown(report)
    assert "none counts as text-only" in render_page(report)


def test_a_report_without_them_is_as_it_was() -> None:
    plain = build_report(INPUTS)
    assert with_listeners(plain, {}) is plain
    assert "Adapted while listening" not in render_markdown(plain)


def test_a_whisper_has_no_such_rows(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this is a Whisper"):
        check_biasing(fake_config(tmp_path, test_time={}), "whisper")
