"""Promotion: `current` is the last good model, whatever the latest run was."""

import json
from pathlib import Path
from typing import Any

import pytest

from asr_tv.errors import DataError
from asr_tv.runs.promotion import KEPT, judge, promote


def report(wer: float | None, low: float = 0.1, high: float = 0.2, role: str = "target", **more: Any) -> dict[str, Any]:
    row = {"name": "adapted", "role": role, "domain": "shop", "wer": wer, "ci_low": low, "ci_high": high}
    rows = [{**row, "conditions": {"manifest": more.pop("manifest", "m")}}]
    rival = {**rows[0], "name": "pretrained", "wer": 0.0}
    return {"systems": [rival, *rows], "ledger": {"target_recordings_read_before_scoring": more.pop("leaks", [])}}


def run_leaves(folder: Path, weights: str, content: dict[str, Any]) -> None:
    """What a run writes: whole files in one rename each, as the pipeline does."""
    (folder / "model").mkdir(parents=True, exist_ok=True)
    for name, text in (("model/model.safetensors", weights), ("report.json", json.dumps(content)), ("report.md", "#")):
        (folder / f"{name}.new").write_text(text)
        (folder / f"{name}.new").replace(folder / name)


class TestJudge:
    def test_the_first_model_and_the_equal_one_pass(self) -> None:
        assert judge(report(0.9), None) is None
        assert judge(report(0.15), report(0.15)) is None

    def test_within_the_interval_of_the_last_one_passes(self) -> None:
        assert judge(report(0.2), report(0.15, high=0.2)) is None
        refused = judge(report(0.2001), report(0.15, high=0.2))
        assert (
            refused
            == "WER on shop is 20.0 %, the current model's 15.0 %: worse than the upper end of its interval, 20.0 %"
        )

    def test_without_an_interval_any_worse_one_is_refused(self) -> None:
        last = report(0.15)
        for row in last["systems"]:
            row["ci_high"] = None
        assert judge(report(0.15), last) is None
        assert judge(report(0.151), last) is not None

    def test_other_recordings_are_mentioned(self) -> None:
        assert ", on other recordings" in (judge(report(0.5, manifest="n"), report(0.15)) or "")

    def test_nothing_comparable_passes(self) -> None:
        assert judge(report(None), report(0.15)) is None
        assert judge(report(0.9, role="general"), report(0.15, role="source")) is None

    def test_a_leak_never_passes(self) -> None:
        assert "proves nothing" in (judge(report(0.0, leaks=[{}]), None) or "")


class TestPromote:
    def test_current_follows_good_runs_only(self, tmp_path: Path) -> None:
        run_leaves(tmp_path, "first", report(0.15))
        first = promote(tmp_path, report(0.15))
        assert (first.promoted, first.changed) == (True, True)
        assert (tmp_path / "current/model/model.safetensors").read_text() == "first"
        run_leaves(tmp_path, "worse", report(0.5))
        worse = promote(tmp_path, report(0.5))
        assert (worse.promoted, worse.changed) == (False, False)
        assert (tmp_path / "current/model/model.safetensors").read_text() == "first"
        assert (worse.version / "report.json").exists()
        assert (tmp_path / "model/model.safetensors").read_text() == "worse"
        run_leaves(tmp_path, "better", report(0.1))
        assert promote(tmp_path, report(0.1)).changed
        assert (tmp_path / "current/model/model.safetensors").read_text() == "better"
        assert json.loads((tmp_path / "current/report.json").read_text()) == report(0.1)

    def test_the_same_model_stays_current_with_its_newest_report(self, tmp_path: Path) -> None:
        run_leaves(tmp_path, "one", report(0.15))
        promote(tmp_path, report(0.15))
        run_leaves(tmp_path, "one", report(0.3))
        again = promote(tmp_path, report(0.3))
        assert (again.promoted, again.changed) == (True, False)
        assert json.loads((tmp_path / "current/report.json").read_text()) == report(0.3)

    def test_the_link_is_relative_so_that_the_folder_can_move(self, tmp_path: Path) -> None:
        run_leaves(tmp_path / "a", "one", report(0.15))
        promote(tmp_path / "a", report(0.15))
        (tmp_path / "a").rename(tmp_path / "b")
        assert (tmp_path / "b/current/model/model.safetensors").read_text() == "one"

    def test_weights_of_old_versions_go_and_their_reports_stay(self, tmp_path: Path) -> None:
        versions = []
        for number in range(KEPT + 2):
            run_leaves(tmp_path, f"model {number}", report(0.15))
            versions.append(promote(tmp_path, report(0.15)).version)
        kept = [(version / "model").exists() for version in versions]
        assert kept == [False] * 2 + [True] * KEPT
        assert all((version / "report.json").exists() for version in versions)

    def test_a_folder_called_current_is_not_touched(self, tmp_path: Path) -> None:
        run_leaves(tmp_path, "one", report(0.15))
        (tmp_path / "current").mkdir()
        with pytest.raises(DataError, match="is no link"):
            promote(tmp_path, report(0.15))
