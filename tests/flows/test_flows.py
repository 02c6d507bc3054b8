"""The Prefect flow is the same graph: one task a stage, hits shown as Cached, artifacts that hold the report."""

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from prefect import get_client
from prefect.client.schemas.objects import Artifact, TaskRun
from prefect.client.schemas.sorting import TaskRunSort
from prefect.states import State

from asr_tv.data.manifest import Manifest
from asr_tv.errors import ConfigError, DataError, TryAgain
from asr_tv.pipeline.execution.executor import Call, Step
from asr_tv.pipeline.execution.processes import Processes
from asr_tv.runs.promotion import Promotion
from asr_tv.store.results import Identity, Produced, Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.testing.runs import fake_config
from asr_tv.vectors.stages import Direction
from flows import deploy
from flows.adapt_domain import adapt_domain
from flows.artifacts import MAX_BYTES, curve_svg, report_link, report_markdown, slug
from flows.executor import PrefectExecutor, _may_help, inputs
from flows.progress import ArtifactProgress
from flows.runs import NOT_PROMOTED

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    from prefect.testing.utilities import prefect_test_harness  # loads the server, for seconds

    with prefect_test_harness(server_startup_timeout=120):
        yield


def by_state(report: dict[str, Any]) -> Counter[str]:
    return Counter(stage["state"] for stage in report["stages"])


def finished(count: int) -> Counter[str]:
    """Names of the final states of all task runs; the server hears of them a little late."""
    deadline = time.monotonic() + 60
    while (found := states()).total() < count and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def states() -> Counter[str]:
    return Counter(str(run.state_name) for run in task_runs() if run.state and run.state.is_final())


def task_runs() -> list[TaskRun]:
    async def read() -> list[TaskRun]:
        runs: list[TaskRun] = []
        async with get_client() as client:
            while page := await client.read_task_runs(limit=200, offset=len(runs), sort=TaskRunSort.ID_DESC):
                runs += page
        return runs

    return asyncio.run(read())


def artifact(key: str) -> Artifact:
    async def read() -> Artifact:
        async with get_client() as client:
            answer = await client.request("GET", "/artifacts/{key}/latest", path_params={"key": key})
            return Artifact.model_validate(answer.json())

    return asyncio.run(read())


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fake")
    config = fake_config(
        folder,
        selection__method="fixed",
        selection__fixed={"start": "pretrained", "scaling_coef": 0.5},
        training__epochs=1,
    )
    (folder / "fake.yaml").write_text(config.model_dump_json())
    return folder / "fake.yaml"


@pytest.mark.usefixtures("server")
class TestFlow:
    def test_runs_the_graph_then_finds_nothing_new_then_refreshes(
        self, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ASR_TV_RUNS_URL", "http://127.0.0.1:4280/")
        given = {"config": str(config_file), "out": str(tmp_path / "out"), "store": str(tmp_path / "store")}
        report = adapt_domain(**given)
        assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
        stages = len(report["stages"])
        assert by_state(report) == Counter(executed=stages)
        first = finished(stages)
        assert first == Counter(Completed=stages)
        assert not any(run.tags for run in task_runs()), "the server is asked for a slot of each tag"
        self.artifacts_hold(report, tmp_path)

        again: State[Any] = adapt_domain(**given, return_state=True)
        assert (again.name, again.is_completed()) == ("Cached", True)
        assert "no new text or audio: 0 stages executed" in str(again.message)
        assert finished(2 * stages) - first == Counter(Cached=stages)
        assert asyncio.run(again.aresult())["systems"] == report["systems"]
        history = str(artifact("wer-fake").data).partition("## Earlier runs")[2]
        assert f"current, {stages} stages executed, 0 cached" in history
        assert "0 stages executed" not in history

        refreshed = adapt_domain(**given, refresh=["finetune source_real"])
        executed = {stage["label"] for stage in refreshed["stages"] if stage["state"] == "executed"}
        assert {"finetune source_real", "vector", "adapt", "score adapted on target"} <= executed
        assert not any(label.startswith(("corpus", "synthesize", "finetune source_synthetic")) for label in executed)

    def artifacts_hold(self, report: dict[str, Any], folder: Path) -> None:
        markdown = artifact("wer-fake")
        assert all(f"| {100 * row['wer']:.1f} |" in markdown.data for row in report["systems"])
        assert str(markdown.description).endswith(f"current, {len(report['stages'])} stages executed, 0 cached")
        version = (folder / "out" / "current").resolve().name
        assert f"(http://127.0.0.1:4280/out/versions/{version}/report." in artifact("report-fake").data
        stage = next(stage for stage in report["stages"] if stage["label"] == "finetune source_real")
        rows = {row["what"]: row["value"] for row in json.loads(artifact("fake-finetune-source-real").data)}
        assert (rows["key"], rows["state"]) == (stage["key"], "executed")
        assert artifact("progress-fake-finetune-source-real").data == 100.0
        assert artifact("progress-fake-synthesize-target").data == 100.0

    def test_two_runs_at_once_execute_each_stage_once(self, config_file: Path, tmp_path: Path) -> None:
        (tmp_path / "texts.txt").write_text("Press one.\nPress two.\nPlease hold the line.\n")
        text_only = ["corpora=[]", "selection.fixed.scaling_coef=0"]
        reports: list[dict[str, Any]] = []

        def run(number: int) -> None:
            out, texts = str(tmp_path / f"{number}"), str(tmp_path / "texts.txt")
            store = str(tmp_path / "store")
            reports.append(adapt_domain(str(config_file), texts, overrides=text_only, store=store, out=out))

        threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        executed = Counter(s["key"] for report in reports for s in report["stages"] if s["state"] == "executed")
        assert len(reports) == 2
        assert set(executed.values()) == {1}
        assert set(executed) == {stage["key"] for stage in reports[0]["stages"]}

    def test_bad_input_fails_at_once_and_says_why(self, config_file: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="unknown key trainnig"):
            adapt_domain(str(config_file), overrides=["trainnig.epochs=2"])
        with pytest.raises(ConfigError, match="no stage begins so"):
            adapt_domain(str(config_file), refresh=["tune"], store=str(tmp_path))

    def test_only_what_may_help_is_tried_again(self) -> None:
        from prefect.states import exception_to_failed_state

        tried = [TryAgain("no answer"), DataError("empty"), ConfigError("wrong"), ValueError("a bug")]
        failed = [asyncio.run(exception_to_failed_state(error)) for error in tried]
        assert [_may_help(None, None, state) for state in failed] == [True, False, False, False]


def make(runtime: Runtime, name: str, log: list[str] | None = None) -> Record:  # noqa: ARG001
    def produce(folder: Path) -> Produced:
        (folder / "out").write_text(name)
        return Produced()

    return runtime.store.build(Identity("made", 1, {"name": name}), produce)


class TestArrows:
    """The run's graph: each stage hangs on what it is made of, and not on what lies behind that."""

    def record(self, name: str) -> Record:
        return Record("made", name, Path(name), name, (), {}, 0.0, False)

    def test_inputs_are_found_wherever_they_are(self) -> None:
        a, b, c, d = (self.record(name) for name in "abcd")
        found = {"one": a, "more": [b, (Direction("x", c, d), 3)], "manifest": Manifest("m", ())}
        assert list(inputs(found)) == [a, b, c, d]

    def test_what_lies_behind_another_input_is_left_out(self, tmp_path: Path) -> None:
        base, tuned, heard = (self.record(name) for name in ("base", "tuned", "heard"))
        with Processes(Store(tmp_path), 1) as runner:
            executor = PrefectExecutor(runner, "test")
            made: dict[str, Any] = {"base": {}, "tuned": {"start": base}, "heard": {"checkpoint": tuned}}
            for name, arguments in made.items():
                executor._before["made", name] = executor._behind(Call(Step(name), make, arguments))
                executor._made["made", name] = cast("Any", name)
            given = {"checkpoint": tuned, "base": base, "transcription": heard, "other": self.record("elsewhere")}
            assert executor._arrows(Call(Step("score"), make, given)) == ["heard"]
            assert executor._arrows(Call(Step("score", "again"), make, {"checkpoint": tuned, "base": base})) == [
                "tuned"
            ]
            assert executor._arrows(Call(Step("corpus"), make, {})) == []


class TestArtifacts:
    REPORT: dict[str, Any] = {  # noqa: RUF012
        "name": "demo",
        "verdict": "better | *than* before",
        "systems": [
            {
                "name": name,
                "role": "target",
                "domain": "shop",
                "split": "test",
                "text_only": name != "topline",
                "scaling_coef": None,
                "wer": 0.177,
                "ci_low": 0.13,
                "ci_high": 0.232,
                "substitutions": 1,
                "deletions": 2,
                "insertions": 3,
                "utterances": 56,
                "words": 367,
                "note": None,
                "conditions": {"audio_context": 4.0, "simulated_line": None},
            }
            for name in ("adapted", "topline")
        ],
        "selection": {
            "chosen": {"start": "pretrained", "augmentation": True, "scaling_coef": 0.3},
            "folds": ["a", "b"],
        },
        "target_curve": [{"scaling_coef": c, "wer": w} for c, w in ((0.0, 0.2), (0.5, None), (1.0, 0.1))],
    }

    def test_first_page(self) -> None:
        text = report_markdown(self.REPORT, "http://x/report.html", "the first model", promoted=True)
        assert text.startswith("# shop: WER 17.7 % (13.0 to 23.2)\n\nbetter \\| \\*than\\* before\n\n")
        assert "This model is `current`: the first model." in text
        assert "| adapted | 17.7 | 13.0\N{NON-BREAKING HYPHEN}23.2 | 1/2/3 | 4 s |" in text
        assert "| topline (target recordings) |" in text
        assert "20.0 % at 0, 10.0 % at 1." in text
        assert "adapted model: asr-tv try runs/demo\n" in text
        assert "](data:image/svg+xml;base64," in text

    def test_earlier_runs(self) -> None:
        assert "Earlier runs" not in report_markdown(self.REPORT, None, "", promoted=True)
        before = [("2026-11-22 02:00", "shop: WER 18.0 % | current"), ("2026-11-21 02:00", "shop: WER 19.0 %")]
        text = report_markdown(self.REPORT, None, "", promoted=True, earlier=before)
        rows = "| 2026-11-22 02:00 | shop: WER 18.0 % \\| current |\n| 2026-11-21 02:00 | shop: WER 19.0 % |\n"
        assert rows in text

    def test_it_stays_small_however_many_sets_there_are(self) -> None:
        rows = [{**row, "domain": f"domain {n}"} for n in range(300) for row in self.REPORT["systems"]]
        text = report_markdown({**self.REPORT, "systems": rows}, None, "", promoted=False)
        assert len(text.encode()) < MAX_BYTES
        assert "More sets are in the whole report." in text
        assert "**This model is not promoted**" in text

    def test_curve(self) -> None:
        svg = curve_svg([(0.0, 20.0), (1.0, 10.0)])
        assert svg.count("<circle") == 2
        assert 'points="50.0,46.1 530.0,133.0"' in svg

    def test_link(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder, version = tmp_path / "demo", tmp_path / "demo" / "versions" / "ab"
        version.mkdir(parents=True)
        assert report_link(version, folder) is None
        monkeypatch.setenv("ASR_TV_RUNS_URL", "http://host:1/runs/")
        assert report_link(version, folder) is None
        (version / "report.md").touch()
        assert report_link(version, folder) == "http://host:1/runs/demo/versions/ab/report.md"
        (version / "report.html").touch()
        assert report_link(version, folder) == "http://host:1/runs/demo/versions/ab/report.html"
        assert Promotion(version, True, True, "").version == version

    def test_keys(self) -> None:
        assert slug("Demo-finetune source_real (fold Müller)").startswith("demo-finetune-source-real-fold-m-ller-")
        names = ("日本語", "한국어", "Привет", "demo", "Demo", "demo_1", "demo-1", "demo 1", "ไทย", "हिन्दी", "😀")
        assert len({slug(f"wer-{name}") for name in names}) == len(names)
        assert all(re.fullmatch("[a-z0-9-]+", slug(f"wer-{name}")) for name in names)
        assert slug("wer-demo") == "wer-demo"

    def test_progress_of_quick_stages_makes_no_artifact(self) -> None:
        with ArtifactProgress("x")("score a", 3, "files") as advance:
            advance()


class TestDeployments:
    def test_each_names_a_flow_that_exists_and_a_config_that_exists(self) -> None:
        for deployment in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]:
            file, _, function = deployment["entrypoint"].partition(":")
            assert f"def {function}(" in (ROOT / file).read_text()
            config = deployment.get("parameters", {}).get("config")
            assert config is None or (ROOT / config).is_file(), config

    def test_schedules_are_paused_named_and_in_a_time_zone(self) -> None:
        deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
        schedules = [schedule for d in deployments for schedule in d.get("schedules", ())]
        assert schedules
        assert all(s["active"] is False and s["slug"] and s["timezone"] and s["cron"] for s in schedules)

    def test_wrong_schedules_are_told_at_once_and_before_anything_is_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        wrong = {
            "zone": {"cron": "0 2 * * *", "timezone": "Europe/Zurihc"},
            "line": {"cron": "61 2 * * *", "timezone": "Europe/Zurich"},
            "none": {"slug": "nightly", "timezone": "Europe/Zurich"},
            "leap": {"cron": "0 2 31 2 *", "timezone": "Europe/Zurich", "slug": "yearly"},
            "good": {"cron": "0 2 * * *", "timezone": "Europe/Zurich"},
        }
        deployments = [{"name": name, "schedules": [schedule]} for name, schedule in wrong.items()]
        (tmp_path / "prefect.yaml").write_text(yaml.safe_dump({"deployments": deployments}))
        monkeypatch.setattr("sys.argv", ["deploy.py"])
        monkeypatch.setattr(deploy, "get_client", lambda **_: pytest.fail("a server was asked"))
        assert deploy.schedule_problems() == []
        monkeypatch.setattr(deploy.settings, "HOME", tmp_path)
        with pytest.raises(SystemExit) as ending:
            deploy.main()
        assert ending.value.code == 2
        zone, line, none, leap = capsys.readouterr().err.splitlines()
        assert zone.startswith('error: prefect.yaml: deployment zone, schedule 1: Invalid timezone: "Europe/Zurihc"')
        assert line == 'error: prefect.yaml: deployment line, schedule 1: Invalid cron string: "61 2 * * *"'
        assert none == "error: prefect.yaml: deployment none, schedule nightly: has none of cron, interval, rrule"
        assert leap == 'error: prefect.yaml: deployment leap, schedule yearly: "0 2 31 2 *" never comes'
        (tmp_path / "prefect.yaml").write_text("deployments: [")
        assert deploy.schedule_problems()[0].startswith("prefect.yaml is not YAML: ")

    def test_parameters_are_flat_and_each_is_described(self) -> None:
        properties = adapt_domain.parameters.model_dump()["properties"]
        assert all(
            p.get("description") and p.get("type") in ("string", "array", "integer", "number")
            for p in properties.values()
        )

    def test_automations_are_valid_and_ours_by_name(self) -> None:
        found = deploy.automations()
        assert [a.name.startswith("asr-tv ") for a in found] == [True] * 3
        assert len({a.name for a in found}) == 3
        assert found[2].trigger.match["prefect.state-message"] == [f"{NOT_PROMOTED}*"]

    def test_no_file_holds_a_secret(self) -> None:
        compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
        for service in compose["services"].values():
            for name, value in (service.get("environment") or {}).items():
                if "PASSWORD" in name or "AUTH" in name:
                    assert "${ASR_TV_" in value


@pytest.mark.usefixtures("server")
def test_the_leave_one_domain_out_flow_leaves_the_table_and_fails_where_too_much_is_lost(tmp_path: Path) -> None:
    from asr_tv.testing.runs import fake_benchmark
    from flows import leave_one_domain_out as module

    fixed = {"start": "pretrained", "augmentation": False, "scaling_coef": 0.5}
    selection = {"method": "fixed", "starts": ["pretrained"], "augmentation": [False], "scaling_coefs": [0.5]}
    config = fake_benchmark(
        tmp_path,
        domains=("banking", "travel"),
        selection=selection | {"fixed": fixed},
        benchmark__targets=["travel"],
        benchmark__vectors=["pooled"],
    )
    file = tmp_path / "table.yaml"
    file.write_text(config.model_dump_json(exclude={"target"}))
    report = module.leave_one_domain_out(str(file), out=str(tmp_path / "out"), store=str(tmp_path / "store"))
    assert json.loads((tmp_path / "out" / "benchmark.json").read_text())["tables"] == report["tables"]
    assert report["forgetting"]["passed"] is None
    lost = {"passed": False, "rows": [{"target": "travel", "pretrained": 0.1, "adapted": 0.9, "passed": False}]}
    broken = report | {"forgetting": lost}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "run_benchmark", lambda *_, **__: broken)
        state = module.leave_one_domain_out(str(file), out=str(tmp_path / "out"), return_state=True)
    assert state.is_failed()
    assert "travel: 10.0 % WER to 90.0 % WER" in str(state.message)


def test_a_script_without_a_server_is_the_command(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_PROFILES_PATH": str(tmp_path / "none.toml")}
    flows = Path(__file__).parents[2] / "flows"
    for script, command in (("adapt_domain.py", "adapt"), ("leave_one_domain_out.py", "benchmark")):
        done = subprocess.run(
            [sys.executable, str(flows / script), "gone.yaml"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 2, command
        assert done.stderr.splitlines() == [f"error: gone.yaml: there is no such file in {tmp_path}"]
        assert not list((tmp_path / "prefect").rglob("*.db"))


@pytest.mark.usefixtures("server")
def test_a_run_from_terms_writes_them_in_a_task(tmp_path: Path) -> None:
    (tmp_path / "terms.txt").write_text("pad thai\nkhao soi\n")
    fixed = {"method": "fixed", "fixed": {"start": "pretrained", "augmentation": False, "scaling_coef": 0}}
    texts = {"terms": str(tmp_path / "terms.txt"), "count": 4}
    config = fake_config(
        tmp_path / "in", selection=fixed, texts=texts, target={"domain": "menu"}, sources=[], synthesis__takes=1
    )
    (tmp_path / "terms.yaml").write_text(config.model_dump_json())
    given = {"config": str(tmp_path / "terms.yaml"), "out": str(tmp_path / "out"), "store": str(tmp_path / "store")}
    report = adapt_domain(**given)
    assert "write menu" in {stage["label"] for stage in report["stages"]}
    assert (tmp_path / "out" / "current" / "model").is_dir()
    again = adapt_domain(**given)
    assert {s["state"] for s in again["stages"] if s["label"] == "write menu"} == {"cached"}
