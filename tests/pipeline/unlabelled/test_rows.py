"""Rows of test-time adaptation in a run: who heard what, kept apart from all that is text-only."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate

from asr_tv.errors import ConfigError
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.report.markdown import render_markdown
from asr_tv.report.page import render_page
from asr_tv.runs.run import run
from asr_tv.store.results import Store
from asr_tv.testing.ctc import tiny_ctc
from asr_tv.testing.runs import fake_config


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("rows")
    fixed = {"start": "pretrained", "augmentation": False, "scaling_coef": 0.0}
    quick: dict[str, Any] = {"selection": {"method": "fixed", "fixed": fixed}, "training__epochs": 1}
    asked = {"methods": ["suta", "fast_slow"], "of": ["adapted"]}
    model = str(tiny_ctc(folder / "ctc"))
    config = fake_config(folder, model=model, synthesis__takes=1, test_time=asked, **quick)
    return run(config, InProcess(Store(folder / "store")), folder / "out")


def test_the_rows_say_what_they_heard(report: dict[str, Any]) -> None:
    rows = {row["system"]: row["hears"] for row in report["test_time"]}
    assert rows == {
        "adapted, none": "nothing",
        "adapted, suta": "the recording itself",
        "adapted, fast_slow": "earlier recordings",
    }


def test_they_are_no_rivals_and_stand_in_the_ledger(report: dict[str, Any]) -> None:
    assert not any("suta" in row["name"] for row in report["systems"])
    (heard,) = report["ledger"]["heard_without_labels"]
    assert heard["systems"] == ["adapted, suta", "adapted, fast_slow"]
    assert report["ledger"]["target_recordings_read_before_scoring"] == []


def test_the_report_is_valid_and_shows_them(report: dict[str, Any]) -> None:
    validate(report, json.loads((files("asr_tv.schemas") / "report-2.json").read_text(encoding="utf-8")))
    assert "## Adapted while listening" in render_markdown(report)
    assert "none counts as text-only" in render_page(report)


def test_a_whisper_has_no_such_rows(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this is a Whisper"):
        run(fake_config(tmp_path, test_time={}), InProcess(Store(tmp_path / "store")), tmp_path / "out")
