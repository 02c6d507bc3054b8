"""One model through several domains, on fakes: who shares what, and what each row trains on."""

import json
from pathlib import Path
from typing import Any

import pytest

from asr_tv.config.parsing import parse_section, with_overrides
from asr_tv.config.sequence import SequenceConfig
from asr_tv.errors import ConfigError
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.runs.sequence import run_sequence
from asr_tv.store.results import Store
from asr_tv.testing.runs import fake_values

ROWS = ["none", "real", "texts", "generated", "generated + vector", "averaged", "joint"]


def config_in(folder: Path, **more: Any) -> SequenceConfig:
    values = fake_values(folder) | {"name": "courses", "sequence": {"domains": ["banking", "parcels", "travel"]}}
    del values["target"]
    values |= {"splits": {"test": 0.25}, "synthesis": {"engine": "fake", "voices": ["tone"], "takes": 1}}
    values |= {"replay": {"share": 0.5}}
    return parse_section(
        SequenceConfig, with_overrides(values, {k.replace("__", "."): v for k, v in more.items()}), "t"
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], InProcess, Path]:
    folder = tmp_path_factory.mktemp("sequence")
    execute = InProcess(Store(folder / "store"))
    return run_sequence(config_in(folder), execute, folder / "out"), execute, folder


def trainings(execute: InProcess) -> dict[str, Any]:
    return {d.label: d.record for d in execute.done if d.record.stage == "finetune"}


def test_the_first_domain_is_learnt_once_for_all_rows(finished: Any) -> None:
    _, execute, _ = finished
    first = {r.key for label, r in trainings(execute).items() if " after banking" in label}
    assert len(first) == 1
    second = {label.split(" after ")[0]: r.key for label, r in trainings(execute).items() if " after parcels" in label}
    assert second["finetune generated"] == second["finetune generated + vector"]
    assert second["finetune none"] == second["finetune averaged"]
    assert len(set(second.values())) == 5


def test_what_is_replayed_is_of_other_domains_and_of_no_test(finished: Any) -> None:
    _, execute, _ = finished
    spoken = {d.label: d.record for d in execute.done if d.record.stage == "synthesize" and "before travel" in d.label}
    assert spoken
    for record in spoken.values():
        rows = [json.loads(line) for line in (record.path / "manifest.jsonl").read_text().splitlines()]
        assert {row["domain"] for row in rows} == {"banking", "parcels"}
    tests = {
        row["reference"]
        for d in execute.done
        if d.record.stage == "score"
        for file in d.record.path.rglob("*.jsonl")
        for row in map(json.loads, file.read_text().splitlines())
        if "reference" in row
    }
    replayed = {
        json.loads(line)["text"]
        for r in spoken.values()
        for line in (r.path / "manifest.jsonl").read_text().splitlines()
    }
    assert replayed
    assert not replayed & tests


def test_the_report_has_a_matrix_a_row_and_says_what_is_recited(finished: Any) -> None:
    report, _, folder = finished
    assert [row["row"] for row in report["rows"]] == ROWS
    for row in report["rows"]:
        assert [len(cells) for cells in row["matrix"]] == [3, 3, 3, 3]
        assert row["matrix"][0] == report["rows"][0]["matrix"][0]
        assert row["matrix"][1] == report["rows"][0]["matrix"][1]
    assert {row["domain"] for row in report["replayed"]} == {"banking", "parcels"}
    markdown = (folder / "out" / "sequence.md").read_text()
    assert "| generated + vector |" in markdown
    assert "verbatim" in markdown
    assert (folder / "out" / "sequence.svg").read_text().count("<polyline") == len(ROWS)


def test_a_second_time_nothing_is_executed(finished: Any) -> None:
    report, execute, folder = finished
    again = InProcess(Store(execute.store.root))
    assert run_sequence(config_in(folder), again, folder / "out") == report
    assert all(done.record.cached for done in again.done)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config_in(tmp_path, target__domain="travel", replay__share=0, sequence__domains=["banking"])
    assert [problem.split(":")[1].strip() for problem in map(str, caught.value.problems)] or caught.value.problems
    told = "\n".join(caught.value.problems)
    assert all(part in told for part in ("sequence.domains", "replay.share", "target: has no part"))
    with pytest.raises(ConfigError, match="there is no domain 'moon'"):
        run_sequence(
            config_in(tmp_path, sequence__domains=["banking", "moon"]),
            InProcess(Store(tmp_path / "store")),
            tmp_path / "out",
        )


def test_voices_may_be_given_by_number(tmp_path: Path) -> None:
    values = config_in(tmp_path, synthesis__engine="espeak", synthesis__voices=9999)
    with pytest.raises(ConfigError, match="9999"):
        run_sequence(values, InProcess(Store(tmp_path / "store")), tmp_path / "out")
