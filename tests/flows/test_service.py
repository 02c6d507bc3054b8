"""Server, pool and workers as people run them, on real weights: pytest -m service tests/flows/test_service.py."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

ROOT = Path(__file__).parents[2]
PASSWORD = "admin:for-this-test-only"

SMALL = """
name: small
model: openai/whisper-tiny.en
corpora:
  - {kind: asterisk, domains: [voicemail, conference], max_per_domain: 16, line: {codec: gsm, snr_db: 10}}
target: {domain: voicemail}
synthesis: {takes: 1}
training: {epochs: 3, learning_rate: 1.0e-5, full_context_share: 0}
rehearsal: {share: 0}
retention: {noise_seconds: 0, short_clips: 0}
selection: {method: fixed, fixed: {start: pretrained, augmentation: true, scaling_coef: 0.3}, scaling_coefs: [0.0, 0.3]}
scoring: {resamples: 200}
run: {jobs: 2}
"""


WRITTEN = """
name: written
model: openai/whisper-tiny.en
target: {domain: takeaway}
texts: {terms: TERMS, count: 6}
synthesis: {takes: 1}
training: {epochs: 1, batch_size: 4, full_context_share: 0}
selection: {method: fixed, fixed: {start: pretrained, augmentation: true, scaling_coef: 0}}
retention: {noise_seconds: 0, short_clips: 0}
rehearsal: {share: 0}
run: {jobs: 1, workers: 1}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kill_tree(process: "subprocess.Popen[bytes]") -> None:
    """kill -9 of a process and all it has started: what a machine does that loses its power."""
    for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        each.kill()
    process.wait()


@dataclass
class Service:
    """A server on a port of its own, what has been started on it, and its API.

    Attributes:
        database: the server's, as a SQLAlchemy address; SQLite in its own folder when empty.
    """

    root: Path
    database: str = ""
    port: int = field(default_factory=free_port)
    started: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "PREFECT_HOME": str(self.root / "prefect"),
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_API_AUTH_STRING": PASSWORD,
            "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,
            "PYTHONPATH": str(ROOT / "src"),
            "ASR_TV_RUNS_URL": "http://127.0.0.1:1/runs",
            "OMP_NUM_THREADS": "1",
            **({"PREFECT_SERVER_DATABASE_CONNECTION_URL": self.database} if self.database else {}),
        }

    def start(self, *command: str, log: str) -> "subprocess.Popen[bytes]":
        with (self.root / log).open("wb") as file:
            process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=file, stderr=subprocess.STDOUT)
        self.started.append(process)
        return process

    def prefect(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def worker(self, name: str) -> "subprocess.Popen[bytes]":
        command = (
            sys.executable,
            "-m",
            "prefect",
            "worker",
            "start",
            "--pool",
            "asr-tv",
            "--name",
            name,
            "--limit",
            "1",
        )
        return self.start(*command, log=f"{name}.log")

    def api(self, path: str, body: Any = None, method: str | None = None) -> Any:
        method = method or ("GET" if body is None else "POST")
        user, _, password = PASSWORD.partition(":")
        url = f"http://127.0.0.1:{self.port}/api{path}"
        for _ in range(5):
            # SQLite may keep the server waiting for a minute before it gives up.
            answer = httpx.request(method, url, json=body, auth=(user, password), timeout=100)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:  # SQLite on a busy machine; clients ask again
                break
            time.sleep(2)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def run(self, deployment: str, **parameters: Any) -> str:
        """Starts a run without waiting for it; returns its id."""
        found = self.api(f"/deployments/name/{deployment}")
        return str(self.api(f"/deployments/{found['id']}/create_flow_run", {"parameters": parameters})["id"])

    def flow_run(self, run: str) -> Any:
        return self.api(f"/flow_runs/{run}")

    def task_states(self, run: str) -> Counter[str]:
        rows = self.api("/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}, "limit": 200})
        return Counter(str(row["state_name"]) for row in rows)

    def wait(self, what: Callable[[], Any], seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, "waited too long"
            time.sleep(0.5)
        return found

    def ended(self, run: str, seconds: float = 900) -> Any:
        final = {"COMPLETED", "FAILED", "CANCELLED"}  # a crashed one is taken up again
        self.wait(lambda: self.flow_run(run)["state_type"] in final, seconds)
        return self.flow_run(run)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("service"))
    (service.root / "small.yaml").write_text(SMALL)
    with serving(service):
        yield service


@contextlib.contextmanager
def serving(service: Service) -> Iterator[None]:
    """The server with everything deployed; at the end all is killed that was started."""
    service.start(sys.executable, "-m", "prefect", "server", "start", log="server.log")
    try:
        done = subprocess.run([sys.executable, "flows/deploy.py"], cwd=ROOT, env=service.environment, timeout=300)
        assert done.returncode == 0
        yield
    finally:
        for process in service.started:
            if process.poll() is None:
                kill_tree(process)


def parameters(service: Service, store: str = "store", out: str = "runs/small", **more: Any) -> dict[str, Any]:
    root = service.root
    return {"config": str(root / "small.yaml"), "store": str(root / store), "out": str(root / out), **more}


def finished_records(store: Path) -> dict[Path, int]:
    files = (file for file in store.glob("*/*/record.json") if file.parent.suffix != ".partial")
    return {file: file.stat().st_mtime_ns for file in files}


pytestmark = pytest.mark.service


class TestDay:
    """What happens on an ordinary day, in order, on one server."""

    def test_without_the_password_nothing_is_told(self, service: Service) -> None:
        url = f"http://127.0.0.1:{service.port}/api"
        assert httpx.post(f"{url}/deployments/filter", json={}).status_code == 401
        assert httpx.get(f"{url}/health").status_code == 200

    def test_deploying_again_changes_nothing(self, service: Service) -> None:
        before = service.api("/automations/filter", {})
        subprocess.run([sys.executable, "flows/deploy.py"], cwd=ROOT, env=service.environment, check=True, timeout=300)
        names = [automation["name"] for automation in before]
        assert sorted(names) == sorted(a["name"] for a in service.api("/automations/filter", {}))
        assert len(set(names)) == len(names) == 3
        assert len(service.api("/deployments/filter", {})) == 4

    def test_a_run_from_the_command_line(self, service: Service) -> None:
        service.worker("one")
        words = [f"{name}={value}" for name, value in parameters(service).items()]
        options = [part for word in words for part in ("--param", word)]
        told = service.prefect("deployment", "run", "adapt-domain/demo", "--watch", *options)
        assert "finished successfully" in told
        report = json.loads((service.root / "runs/small/report.json").read_text())
        (run,) = service.api("/flow_runs/filter", {"flow_runs": {"name": {"like_": "adapt"}}})
        every = Counter(Completed=len(report["stages"]))
        service.wait(lambda: service.task_states(run["id"]) == every, 60)  # recorded a little after the run's end

    def test_the_artifacts_tell_what_the_report_tells(self, service: Service) -> None:
        report = json.loads((service.root / "runs/small/report.json").read_text())
        markdown = service.api("/artifacts/wer-small/latest")["data"]
        assert len(markdown.encode()) < 30_000
        for row in report["systems"]:
            assert f"| {100 * row['wer']:.1f} |" in markdown
        assert report["verdict"].split(":")[0] in markdown
        link = service.api("/artifacts/report-small/latest")["data"]
        version = (service.root / "runs/small/current").resolve().name
        assert f"http://127.0.0.1:1/runs/small/versions/{version}/report." in link
        stage = next(s for s in report["stages"] if s["label"] == "finetune source_real")
        rows = json.loads(service.api("/artifacts/small-finetune-source-real/latest")["data"])
        assert {row["what"]: row["value"] for row in rows}["key"] == stage["key"]
        progress = service.api("/artifacts/progress-small-finetune-source-real/latest")
        assert progress["data"] == 100.0

    def test_a_second_run_finds_nothing_new(self, service: Service) -> None:
        before = finished_records(service.root / "store")
        run = service.ended(service.run("adapt-domain/demo", **parameters(service)))
        assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Cached")
        service.wait(lambda: set(service.task_states(run["id"])) == {"Cached"}, 60)
        assert finished_records(service.root / "store") == before

    def test_a_schedule_fires_by_itself(self, service: Service) -> None:
        deployment = service.api("/deployments/name/adapt-domain/demo")
        path = f"/deployments/{deployment['id']}/schedules"
        shipped = service.api(path)
        assert [(s["active"], s["schedule"]["timezone"], s["slug"]) for s in shipped] == [
            (False, "Europe/Zurich", "nightly")
        ]
        every = {"schedule": {"interval": 20}, "active": True, "parameters": parameters(service)}
        (made,) = service.api(path, [every])
        try:
            by_itself = {"deployment_id": {"any_": [deployment["id"]]}, "tags": {"all_": ["auto-scheduled"]}}
            scheduled = service.wait(lambda: service.api("/flow_runs/filter", {"flow_runs": by_itself}), 60)
            assert {"Scheduled", "Late", "Pending", "Running"} >= {run["state_name"] for run in scheduled}
            first = min(scheduled, key=lambda run: run["expected_start_time"])
            assert service.ended(str(first["id"]))["state_name"] == "Cached"
        finally:
            service.api(f"{path}/{made['id']}", method="DELETE")

    def test_a_schedule_goes_from_terms_to_a_promoted_model(self, service: Service) -> None:
        service.worker("terms")
        terms = service.root / "terms.txt"
        terms.write_text("pad thai\nkhao soi\nlarb gai\n")
        (service.root / "written.yaml").write_text(WRITTEN.replace("TERMS", str(terms)))
        given = {"config": "written.yaml", "store": "store", "out": "runs/written"}
        given = {name: str(service.root / path) for name, path in given.items()}
        deployment = service.api("/deployments/name/adapt-domain/demo")
        path = f"/deployments/{deployment['id']}/schedules"
        (made,) = service.api(path, [{"schedule": {"interval": 30}, "active": True, "parameters": given}])
        try:
            ours = {"deployment_id": {"any_": [deployment["id"]]}, "tags": {"all_": ["auto-scheduled"]}}
            soon = {"flow_runs": ours, "sort": "EXPECTED_START_TIME_DESC"}
            scheduled = service.wait(
                lambda: [
                    r for r in service.api("/flow_runs/filter", soon) if r["parameters"].get("out") == given["out"]
                ],
                90,
            )
            first = min(scheduled, key=lambda run: run["expected_start_time"])
            assert service.ended(str(first["id"]))["state_type"] == "COMPLETED"
        finally:
            service.api(f"{path}/{made['id']}", method="DELETE")
        report = json.loads((service.root / "runs/written/report.json").read_text())
        assert "write takeaway" in [stage["label"] for stage in report["stages"]]
        assert (service.root / "runs/written/current").resolve().name
        assert (service.root / "runs/written/current/model/model.safetensors").is_file()

    def test_bad_input_fails_at_once_and_says_why(self, service: Service) -> None:
        run = service.ended(service.run("adapt-domain/demo", **parameters(service, overrides=["trainnig.epochs=5"])))
        assert run["state_type"] == "FAILED"
        assert "unknown key trainnig" in run["state"]["message"]
        assert run["run_count"] == 1

    def test_a_worse_model_is_not_promoted_and_pauses_its_schedules(self, service: Service) -> None:
        current = service.root / "runs/small/current"
        before = current.resolve()
        worse = ["selection.fixed.scaling_coef=-40"]  # so far against the vector that nothing sensible is left
        run = service.ended(service.run("adapt-domain/demo", **parameters(service, overrides=worse)))
        assert (run["state_type"], run["state_name"]) == ("FAILED", "Failed")
        assert run["state"]["message"].startswith("the model is not promoted: ")
        assert "worse than the upper end of its interval" in run["state"]["message"]
        assert current.resolve() == before
        paused = lambda: service.api("/deployments/name/adapt-domain/demo")["paused"]  # noqa: E731
        service.wait(paused, 60)
        service.api(f"/deployments/{run['deployment_id']}", {"paused": False}, "PATCH")


def epochs(store: Path) -> dict[Path, int]:
    """Kept epochs of trainings that are not finished, and when each was written."""
    written = {}
    for file in store.glob("finetune/*.partial/epoch-[0-9]/losses.json"):
        with contextlib.suppress(FileNotFoundError):  # a newer one has just replaced it
            written[file] = file.stat().st_mtime_ns
    return written


class TestLosses:
    """Machines that lose their power: kill -9 of a worker with the run that it has started."""

    def test_another_worker_goes_on_in_mid_training(self, service: Service) -> None:
        for process in service.started[1:]:
            kill_tree(process) if process.poll() is None else None
        store = service.root / "killed"
        first = service.worker("first")
        run = service.run("adapt-domain/demo", **parameters(service, "killed", "runs/killed"))
        kept = service.wait(lambda: epochs(store), 300)
        kill_tree(first)
        kept, records = epochs(store) or kept, finished_records(store)
        assert service.flow_run(run)["state_name"] == "Running"
        service.worker("second")
        resumed: dict[Path, list[int]] = {}

        def over() -> bool:
            for folder, moment in epochs(store).items():
                resumed.setdefault(folder, []).append(moment)
            return service.flow_run(run)["state_type"] in ("COMPLETED", "FAILED")

        service.wait(over, 900)
        end = service.flow_run(run)
        assert (end["state_type"], end["run_count"]) == ("COMPLETED", 2)
        after = finished_records(store)
        assert records.items() <= after.items()  # what was finished is not made again,
        for folder, moment in kept.items():  # nor is an epoch
            assert set(resumed.get(folder, [moment])) == {moment}
        labels = [json.loads(file.read_text())["key"] for file in after]
        assert len(labels) == len(set(labels))
        assert not list(store.glob("*/*.partial"))
        service.wait(lambda: "Running" not in service.task_states(run), 60)


SPOKEN = """
name: spoken
model: openai/whisper-tiny.en
corpora: [{kind: asterisk, domains: [digits]}]
sources: []
target: {domain: digits, test_fraction: 0.2}
synthesis: {takes: 6}
training: {epochs: 1, full_context_share: 0}
short_context_updates: 0
rehearsal: {share: 0}
retention: {noise_seconds: 0, short_clips: 0}
selection: {method: fixed, fixed: {start: pretrained, augmentation: true, scaling_coef: 0}}
"""


def clips(store: Path) -> dict[str, str]:
    """Digest of each clip by its key."""
    return {file.stem: json.loads(file.read_text())["sha256"] for file in store.glob("clips/*/*.json")}


def results(store: Path) -> dict[str, str]:
    """Digest of each finished result by its key."""
    return {file.parent.name: json.loads(file.read_text())["digest"] for file in finished_records(store)}


def test_a_run_on_two_ray_nodes_gives_the_digests_of_one_process(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason='the extra "ray" is not installed')
    from asr_tv.testing.nodes import started

    root, config = service.root, service.root / "spoken.yaml"
    config.write_text(SPOKEN)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    service.worker("ray")
    worked: set[str] = set()
    with started(2) as nodes:
        given = {"config": str(config), "store": str(root / "nodes"), "out": str(root / "runs/nodes")}
        run = service.run("adapt-domain/demo", **given, engine=nodes.address)

        def over() -> bool:
            worked.update(nodes.at_work())
            return service.flow_run(run)["state_type"] in ("COMPLETED", "FAILED")

        service.wait(over, 1800)
        assert service.flow_run(run)["state_name"] == "Completed", service.flow_run(run)["state"]["message"]
        assert len(worked) == 2
        assert service.api("/artifacts/progress-spoken-synthesize-target/latest")["data"] == 100.0
        again = service.ended(service.run("adapt-domain/demo", **given, engine=nodes.address))
        assert again["state_name"] == "Cached"
    nothing = service.ended(service.run("adapt-domain/demo", **given, engine=nodes.address))
    assert nothing["state_type"] == "FAILED"
    assert f"engine {nodes.address}: cannot be reached" in nothing["state"]["message"]
    words = ["adapt", str(config), "--store", str(root / "one"), "--out", str(root / "runs/one"), "--quiet"]
    command = [sys.executable, "-c", "from asr_tv.cli import main; main()", *words]
    subprocess.run(command, env=service.environment, check=True, timeout=1800)
    assert len(clips(root / "one")) >= 400
    assert len([*root.glob("one/finetune/*/record.json")]) == 2  # on clips and on recordings
    assert clips(root / "one") == clips(root / "nodes")
    assert results(root / "one").items() <= results(root / "nodes").items()


TINY = """
name: tiny
model: openai/whisper-tiny.en
target: {texts: TEXTS}
synthesis: {takes: 1}
training: {epochs: 1, batch_size: 4, full_context_share: 0}
rehearsal: {share: 0}
selection: {method: fixed, fixed: {start: pretrained, augmentation: true, scaling_coef: 0}}
run: {jobs: 1, workers: 1}
"""
INITDB = max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), default=None, key=lambda file: int(file.parts[-3]))


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL of its own with one ordinary role, which owns one database; yields the address."""
    assert INITDB is not None
    folder, port, user = Path(tempfile.mkdtemp()), free_port(), "postgres" if os.geteuid() == 0 else None
    if user:  # PostgreSQL refuses to be run by root
        shutil.chown(folder, user)

    def call(program: str, *arguments: str, **options: Any) -> None:
        command = [str(INITDB.with_name(program)), *arguments]
        subprocess.run(command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL, **options)

    data = str(folder / "data")
    call("initdb", "--pgdata", data, "--auth", "trust", "--username", "admin")
    listen = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder}"
    call("pg_ctl", "start", "--wait", "--pgdata", data, "--log", str(folder / "log"), "--options", listen)
    try:
        sql = "create role prefect login", "create database prefect owner prefect"
        where = ("--host", "127.0.0.1", "--port", str(port), "--username", "admin", "--dbname", "postgres")
        call("psql", *where, *(part for each in sql for part in ("--command", each)))
        yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/prefect"
    finally:
        call("pg_ctl", "stop", "--mode", "immediate", "--pgdata", data)
        shutil.rmtree(folder)


@pytest.mark.skipif(INITDB is None, reason="apt-get install postgresql")
def test_the_same_day_on_postgresql(tmp_path: Path) -> None:
    """A run, a second one that finds nothing new, and a schedule that fires."""
    (tmp_path / "texts.txt").write_text("Press one for sales.\nPress two for support.\nPlease hold the line.\n")
    (tmp_path / "tiny.yaml").write_text(TINY.replace("TEXTS", str(tmp_path / "texts.txt")))
    names = {"config": "tiny.yaml", "store": "store", "out": "runs/tiny"}
    given = {name: str(tmp_path / path) for name, path in names.items()}
    with postgresql() as database, serving(service := Service(tmp_path, database=database)):
        service.worker("one")
        first = service.ended(service.run("adapt-domain/demo", **given))
        assert (first["state_type"], first["state_name"]) == ("COMPLETED", "Completed")
        assert service.ended(service.run("adapt-domain/demo", **given))["state_name"] == "Cached"
        deployment = service.api("/deployments/name/adapt-domain/demo")
        every = {"schedule": {"interval": 20}, "active": True, "parameters": given}
        service.api(f"/deployments/{deployment['id']}/schedules", [every])
        scheduled = {"flow_runs": {"tags": {"all_": ["auto-scheduled"]}}, "sort": "EXPECTED_START_TIME_ASC"}
        found = service.wait(lambda: service.api("/flow_runs/filter", scheduled), 60)
        assert len(found) > 1
        assert service.ended(str(found[0]["id"]))["state_name"] == "Cached"
        assert not list((tmp_path / "prefect").glob("*.db"))
