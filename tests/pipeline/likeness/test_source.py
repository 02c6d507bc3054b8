"""The report's part on source speech, from a whole run on fakes; and the probes of words in its retention."""

import functools
import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from asr_tv.describing import stage
from asr_tv.errors import RunFailed
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.report.markdown import render_markdown
from asr_tv.report.page import render_page
from asr_tv.runs.run import require_kept, run
from asr_tv.store.results import Store
from asr_tv.testing.runs import fake_config


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], InProcess]:
    folder = tmp_path_factory.mktemp("run")
    words = {"scoring__terms": ["number"], "retention__noise_seconds": 5, "forgetting__max_domain_words": 0}
    general = {"general": [{"kind": "manifest", "path": str(folder / "recordings" / "manifest.jsonl")}]}
    config = fake_config(folder, source_gap__clips=6, run__workers=1, forgetting__dev=0, **words, **general)
    execute = InProcess(Store(folder / "store"))
    with pytest.MonkeyPatch.context() as patch:
        quick = functools.partial(stage.measure, pitch=False)
        patch.setattr(stage, "measure", lambda *arguments, pitch: quick(*arguments))
        return run(config, execute, folder / "out"), execute


def test_the_gap_is_in_all_forms_of_the_report(finished: tuple[dict[str, Any], InProcess]) -> None:
    report, _ = finished
    part = report["source_gap"]
    assert part["clips"] == {"real": 6, "synthetic": 6}
    assert part["matched"] is False
    level = next(row for row in part["rows"] if row["attribute"] == "level_dbfs")
    assert level["probability"] == 0  # the "recordings" are half as loud
    assert level["suggestion"].startswith("synthesis.gain_db -")
    assert "How synthetic differs from real" in render_page(report)
    assert "## How synthetic differs from real" in render_markdown(report)


def test_reading_it_is_declared_and_is_no_leak(finished: tuple[dict[str, Any], InProcess]) -> None:
    report, execute = finished
    described = [entry for entry in execute.done if entry.record.stage == "describe"]
    assert [entry.step.purpose for entry in described] == ["scoring", "scoring"]
    assert report["ledger"]["target_recordings_read_before_scoring"] == []


def test_the_report_keeps_to_its_schema(finished: tuple[dict[str, Any], InProcess]) -> None:
    schema = json.loads(resources.files("asr_tv").joinpath("schemas/report-2.json").read_text(encoding="utf-8"))
    jsonschema.validate(finished[0], schema)


def test_probes_of_words_stand_beside_the_loops(finished: tuple[dict[str, Any], InProcess]) -> None:
    rows = finished[0]["retention"]
    assert {"silence", "music", "general speech"} <= rows[0]["domain_words"].keys()
    assert rows[0]["domain_words"]["silence"]["unit"] == "minute"
    assert rows[0]["questions"].keys() == {"existence", "order"}
    page = render_page(finished[0])
    assert "Words of the domain heard where nobody said them" in page
    assert "chance %" in page


def test_a_run_without_source_speech_has_no_such_part(tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("Please tell me the number.\nWhat is the weather?\n")
    config = fake_config(
        tmp_path,
        corpora=[],
        target={"texts": str(texts)},
        selection={"method": "fixed", "fixed": {"start": "pretrained", "scaling_coef": 0}},
        source_gap__clips=6,
    )
    assert "source_gap" not in run(config, InProcess(Store(tmp_path / "store")), tmp_path / "out")


def test_a_model_that_invents_words_of_the_domain_fails_a_run_that_bounds_them(tmp_path: Path) -> None:
    found = {"bound": 1.0, "pretrained": 0.0, "adapted": 5.2, "passed": False}
    lost = {"passed": False, "rows": [], "probed_loops": None, "domain_words": found}
    with pytest.raises(RunFailed, match=r"nobody said: 5.2 per 1,000 words of general speech, pretrained 0.0"):
        require_kept(fake_config(tmp_path, forgetting__max_domain_words=1), lost, tmp_path)
