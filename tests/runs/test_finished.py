"""A finished run on fakes read back, and the commands on such runs: report, diff, export."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import Command

from asr_tv.audio.recordings import Wave
from asr_tv.config.synthesis import SynthesisConfig
from asr_tv.errors import DataError
from asr_tv.models import formats as exporting
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.runs import export as exports
from asr_tv.runs import spoken_clips
from asr_tv.runs.finished import read_run
from asr_tv.runs.run import run
from asr_tv.store.results import Store
from asr_tv.testing.runs import fake_config


class Nines:
    """A program that hears what a model of a wrong vocabulary does."""

    name = "plant 1.0"

    def text(self, wave: Wave) -> str:  # noqa: ARG002
        return "nine nine nine"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, `one`, and its store."""
    folder = tmp_path_factory.mktemp("finished")
    less = {"training__epochs": 1, "selection__starts": ["pretrained"], "selection__augmentation": [False]}
    run(fake_config(folder, **less), InProcess(Store(folder / "store")), folder / "one")
    return folder


@pytest.fixture
def runs(place: Path, tmp_path: Path) -> Path:
    """The run twice, the second to be changed by a test."""
    for name in ("one", "two"):
        shutil.copytree(place / "one", tmp_path / name)
    return tmp_path


def change(folder: Path, **values: Any) -> None:
    report = json.loads((folder / "report.json").read_text())
    for row in report["systems"]:
        for key, value in values.items():
            part = row["conditions"] if key in row["conditions"] else row
            part[key] = value
    (folder / "report.json").write_text(json.dumps(report | {k: v for k, v in values.items() if k in report}))


class TestReading:
    def test_an_evaluation_is_the_rows(self, place: Path) -> None:
        found, store = read_run(place / "one"), Store(place / "store")
        for system, role in (("adapted", "target"), ("pretrained", "source"), ("adapted_short_context", "target")):
            evaluation = found.evaluation(system, role, store)
            assert evaluation.wer == found.row(system, role)["wer"]

    def test_recordings_are_those_that_were_scored(self, place: Path) -> None:
        found, store = read_run(place / "one"), Store(place / "store")
        for role in ("target", "source"):
            recordings = found.recordings(role, store)
            assert recordings is not None
            assert recordings.digest == found.row("adapted", role)["conditions"]["manifest"]
            assert all(Path(u.audio or "").is_file() for u in recordings)

    def test_what_is_not_there_is_named(self, place: Path, tmp_path: Path) -> None:
        found = read_run(place / "one")
        with pytest.raises(DataError, match="no scores of 'nobody' on target; scored: pretrained, "):
            found.row("nobody", "target")
        with pytest.raises(DataError, match="nothing was scored on its general set"):
            found.row("adapted", "general")
        with pytest.raises(DataError, match="has no 'score adapted on target'; --store names the run's store"):
            found.evaluation("adapted", "target", Store(tmp_path))

    def test_a_report_that_is_not_of_its_store_is_found_out(self, runs: Path, place: Path) -> None:
        change(runs / "two", errors=1)
        with pytest.raises(DataError, match=r"is not what .* says of adapted on target"):
            read_run(runs / "two").evaluation("adapted", "target", Store(place / "store"))

    @pytest.mark.parametrize("version", [0, 999, None, "1"])
    def test_a_version_it_does_not_read_is_said(self, version: object, runs: Path) -> None:
        change(runs / "two", schema_version=version)
        with pytest.raises(DataError, match=f"a report of version {version}; this asr-tv reads versions 1 to "):
            read_run(runs / "two")


@pytest.mark.usefixtures("runs")
class TestReport:
    def test_one_run(self, asr_tv: Command, place: Path) -> None:
        report = read_run(place / "one").report
        assert asr_tv("report", "one", "--json").row == report
        assert asr_tv("report", "one", "--quiet").out.strip() == report["verdict"]
        assert "\x1b" not in asr_tv("report", "one").out

    def test_a_leaderboard_has_the_best_first_and_differences_with_intervals(
        self, asr_tv: Command, place: Path, tmp_path: Path
    ) -> None:
        change(tmp_path / "one", wer=99.0)
        board = asr_tv("report", "one", "two", "--store", place / "store", "--json").row["runs"]
        assert [row["run"] for row in board] == ["two", "one"]
        assert board[0]["difference"] is None
        assert (board[1]["difference"], board[1]["verdict"]) == (0.0, "no difference shown")
        done = asr_tv("report", "one", "two", "--store", place / "store")
        assert re.search(r" \+0\.0 +\+0\.0 to ", done.out)
        assert "\x1b" not in done.out
        assert asr_tv("report", "one", "two", "--quiet").out == "two\none\n"

    def test_without_the_store_no_difference_is_claimed(self, asr_tv: Command) -> None:
        board = asr_tv("report", "one", "two", "--store", "gone", "--json").row["runs"]
        assert [row["verdict"] for row in board] == [None, None]

    def test_other_conditions_are_refused_and_named(self, asr_tv: Command, tmp_path: Path) -> None:
        change(tmp_path / "two", normalizer="basic", max_new_tokens=5)
        assert asr_tv("report", "one", "two").problems == [
            "runs differ in max_new_tokens: one 12, two 5",
            "runs differ in normalizer: one 'english', two 'basic'",
        ]

    def test_unfinished_and_unknown_ones_are_refused_together(self, asr_tv: Command, tmp_path: Path) -> None:
        (tmp_path / "two" / "report.json").unlink()
        problems = asr_tv("report", "one", "two", "three").problems
        assert [problem.split(":")[0] for problem in problems] == ["two/report.json", "three/report.json"]
        assert asr_tv("report", "one", "one").problems == ["runs: one is named twice: one, one"]
        assert asr_tv("report", "one", "x", "--set", "dev").problems == ["--set dev: one of target, source, general"]


@pytest.mark.usefixtures("runs")
class TestDiff:
    def test_two_systems_word_by_word(self, asr_tv: Command, place: Path) -> None:
        rivals = ["diff", "one", "two", "--against", "pretrained", "--store", place / "store"]
        row = asr_tv(*rivals, "--json").row
        report = read_run(place / "one")
        wers = [report.row(name, "target")["wer"] for name in ("adapted", "pretrained")]
        assert [row["a"]["wer"], row["b"]["wer"]] == wers
        (compared,) = (c for c in report.report["comparison"] if c["rival"] == "pretrained" and c["role"] == "target")
        assert [row[k] for k in ("difference", "ci_low", "ci_high", "p", "verdict")] == [
            compared[k] for k in ("difference", "ci_low", "ci_high", "p", "verdict")
        ]
        assert row["utterances"] == len(row["diffs"])
        errors = sum(w["reference"] != w["a"] for diff in row["diffs"] for w in diff["words"])
        assert errors == report.row("adapted", "target")["errors"]
        done = asr_tv(*rivals)
        assert done.out.count("  ref ") >= row["utterances"] - row["same_words"]
        assert "\x1b" not in done.out
        assert len(asr_tv(*rivals, "--quiet").out.splitlines()) == 5

    def test_a_run_and_itself_have_the_same_words(self, asr_tv: Command, place: Path) -> None:
        row = asr_tv("diff", "one", "two", "--store", place / "store", "--json", "--quiet").row
        assert (row["difference"], row["same_words"], row["diffs"]) == (0.0, row["utterances"], [])

    def test_sets_that_were_not_scored_alike_are_refused(self, asr_tv: Command, place: Path) -> None:
        problems = asr_tv("diff", "one", "gone", "--store", place / "store").problems
        assert problems[0].startswith("gone/report.json: there is no report")
        problems = asr_tv("diff", "one", "two", "--system", "x", "--set", "general").problems
        assert len(problems) == 2


@pytest.mark.usefixtures("runs")
class TestExport:
    def test_a_run_is_rescored_on_its_own_test(self, asr_tv: Command, place: Path, tmp_path: Path) -> None:
        command = ["export", "one", "--format", "hf", "--store", place / "store", "--quiet"]
        row = asr_tv(*command, "--json", "--clips", "3").row
        assert (row["path"], row["clips"], row["same_words"]) == ("one/exports/hf", 3, 3)
        assert row["recordings"] == "target test"
        card = (tmp_path / "one" / "exports" / "hf" / "README.md").read_text()
        for part in (
            "Target texts: ",
            "voices: tone (licence not stated)",
            "What it forgets",
            "3 clips of target test",
        ):
            assert part in card
        heard = asr_tv("transcribe", "one/exports/hf", place / "recordings", "--quiet", "--store", "s").out
        assert len(heard.splitlines()) == len(list((place / "recordings").glob("*.wav")))

    def test_without_the_recordings_it_says_what_helps(self, asr_tv: Command, tmp_path: Path) -> None:
        (problem,) = asr_tv("export", "one", "--format", "hf", "--store", "empty", "--quiet").problems
        assert problem.endswith("--store names the run's store")
        done = asr_tv("export", "one", "--format", "hf", "--store", "empty", "--quiet", "--clips", "0")
        assert done.out == "one/exports/hf: not re-scored: no recordings were given\n"
        assert "not re-scored" in (tmp_path / "one" / "exports" / "hf" / "README.md").read_text()

    def test_a_plain_model_goes_where_it_is_told(self, asr_tv: Command, models: Path, tmp_path: Path) -> None:
        (problem,) = asr_tv("export", models / "base", "--format", "hf").problems
        assert problem == "--out: a model that is no run needs a folder to go to"
        asr_tv("export", models / "base", "--format", "hf", "--out", "shipped", "--quiet", "--clips", "0")
        assert (tmp_path / "shipped" / "export.json").is_file()

    def test_a_plain_model_is_checked_on_clips_made_by_tts(
        self, asr_tv: Command, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        command = ["export", models / "multilingual", "--out", "shipped", "--quiet", "--clips", "1", "--format", "hf"]
        row = asr_tv(*command, "--language", "it", "--json").row
        assert (row["clips"], row["same_words"], row["words_changed"]) == (1, 1, 0.0)
        assert row["recordings"] == "everyday English, by TTS"
        assert "1 clip of everyday English, by TTS" in (tmp_path / "shipped" / "README.md").read_text()
        monkeypatch.setattr(exports, "open_runtime", lambda *arguments: Nines())
        done = asr_tv(*command[:2], "--out", "broken", *command[4:])
        assert done.code == 2
        assert "not exported: on 1 clip" in done.problems[0]
        assert not (tmp_path / "broken").exists()

    def test_a_plain_model_without_a_voice_is_not_exported_unchecked(
        self, asr_tv: Command, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(spoken_clips, "VOICES", (SynthesisConfig(engine="festival", voices=("kal",)),))
        first, second = asr_tv("export", models / "base", "--format", "hf", "--out", "shipped", "--quiet").problems
        assert first.startswith("no voice is installed to speak clips in")
        assert first.endswith("--manifest names recordings, --clips 0 exports without a check")
        assert "festival" in second
        assert not (tmp_path / "shipped").exists()

    def test_bad_input(self, asr_tv: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "two" / "report.json").unlink()
        assert asr_tv("export", "two", "--format", "tf").problems == [
            "--format tf: unknown; one of hf, ctranslate2, openai",
            "two/report.json: there is no report; `asr-tv adapt` writes it at the end, and goes on where it stopped",
        ]
        (tmp_path / "kept").mkdir()
        (tmp_path / "kept" / "thesis.txt").write_text("x")
        (problem,) = asr_tv("export", "one", "--format", "hf", "--out", "kept").problems
        assert problem == "--out kept: holds something that is not an export"
        (problem,) = asr_tv("export", "one/nix", "--format", "hf", "--out", "o").problems
        assert problem.startswith("one/nix: no such run or model")
        monkeypatch.setattr(exporting, "find_spec", lambda name: None)
        (problem,) = asr_tv("export", "one", "--format", "ctranslate2").problems
        assert problem.endswith('pip install "asr-tv[export]"')
