"""Several processes on one store at once: each result is made once, whatever dies and whatever the clocks say."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import stored
from stored import digests, executed, finish

from asr_tv.pipeline.execution.processes import Processes
from asr_tv.pipeline.execution.refresh import Refresh, asked_now
from asr_tv.runs.run import run
from asr_tv.store.durable import file_lock, is_locked, remove_lock
from asr_tv.store.inventory import verify_store
from asr_tv.store.results import Identity, Produced, Store

IDENTITY = Identity("stage", 1, {"rate": 0.1})

# Forked, so that eight of them load the libraries once.
_EIGHT = """
import json, logging, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from stored import executed, finish, small_config
from asr_tv.store import durable

durable.NOTICE_SECONDS = 0.01
root, processes = Path(sys.argv[1]), int(sys.argv[2])
config = small_config(root / "in")
children = []
for number in range(processes):
    if not (child := os.fork()):
        logging.basicConfig(filename=root / f"{number}.log", level=logging.WARNING, force=True)
        try:
            execute = finish(config, root, f"out{number}")
            keys = [f"{d.record.stage}/{d.record.key}" for d in execute.done if not d.record.cached]
            (root / f"{number}.json").write_text(json.dumps(keys))
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    children.append(child)
raise SystemExit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


def test_eight_runs_at_once_execute_each_stage_once(tmp_path: Path) -> None:
    count = 8
    done = subprocess.run(
        [sys.executable, "-c", _EIGHT, str(tmp_path), str(count), str(Path(stored.__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    made = [key for n in range(count) for key in json.loads((tmp_path / f"{n}.json").read_text())]
    assert sorted(made) == sorted(digests(tmp_path))
    waited = "".join((tmp_path / f"{n}.log").read_text() for n in range(count))
    assert "waiting for another process that is making the same result" in waited
    models = {(tmp_path / f"out{n}" / "model" / "model.safetensors").read_bytes() for n in range(count)}
    assert len(models) == 1
    assert list(verify_store(tmp_path / "store")) == []
    assert not list((tmp_path / "store").glob("*/*.partial"))


def hold(root: Path, calls: Path) -> int:
    """A process that makes the result for ever, having said so; its number."""
    if not (child := os.fork()):

        def produce(folder: Path) -> Produced:
            with calls.open("a") as file:
                file.write(f"{os.getpid()}\n")
            (folder / "begun").write_text("x")
            time.sleep(600)
            return Produced()

        Store(root).build(IDENTITY, produce)
    return child


def make(root: Path, calls: Path, number: int) -> int:
    if not (child := os.fork()):

        def produce(folder: Path) -> Produced:
            with calls.open("a") as file:
                file.write(f"{os.getpid()}\n")
            (folder / "begun").unlink(missing_ok=True)
            (folder / "out").write_text("payload")
            return Produced()

        record = Store(root).build(IDENTITY, produce)
        (root.parent / f"{number}.digest").write_text(record.digest)
        os._exit(0)
    return child


def wait_for(what: Any) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_of_seven_that_wait_for_a_killed_one_one_goes_on(tmp_path: Path) -> None:
    root, calls = tmp_path / "store", tmp_path / "calls"
    holder = hold(root, calls)
    wait_for(calls.exists)
    others = [make(root, calls, number) for number in range(7)]
    time.sleep(0.2)
    assert len(calls.read_text().split()) == 1
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    assert [os.waitpid(child, 0)[1] for child in others] == [0] * 7
    assert len(calls.read_text().split()) == 2
    assert len({(tmp_path / f"{number}.digest").read_text() for number in range(7)}) == 1


class TestLock:
    def test_a_lock_whose_file_is_removed_is_no_lock(self, tmp_path: Path) -> None:
        """A clean-up may take the file away between opening and locking: two must not hold two files."""
        path, inside, most, removed = tmp_path / "x.lock", [0], [0], [0]

        def work() -> None:
            for turn in range(20_000):
                if turn >= 60 and removed[0]:  # a clean-up came in between
                    break
                with file_lock(path):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    inside[0] -= 1

        def clean_up() -> None:
            while any(worker.is_alive() for worker in workers):
                removed[0] += remove_lock(path)

        workers = [threading.Thread(target=work) for _ in range(6)]
        threads = [*workers, threading.Thread(target=clean_up)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == [1]
        assert removed[0] > 0

    def test_looking_does_not_hold(self, tmp_path: Path) -> None:
        path = tmp_path / "x.lock"
        assert not is_locked(path)
        with file_lock(path):
            assert is_locked(path)
        assert not is_locked(path)


@pytest.fixture
def finished(whole: tuple[Any, Path], tmp_path: Path) -> tuple[Any, Path]:
    shutil.copytree(whole[1] / "store", tmp_path / "old" / "store")
    return whole[0], tmp_path / "old"


class TestClocks:
    def test_a_clock_that_goes_back_changes_nothing(
        self, finished: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        config, root = finished
        before = digests(root)
        for number, path in enumerate(sorted((root / "store").rglob("*"))):
            if path.is_file():
                os.utime(path, (4e9 + number, 4e9 + number))
        clock = iter(range(2_000_000_000, 0, -1))
        monkeypatch.setattr(time, "time", lambda: float(next(clock)))
        assert executed(finish(config, root)) == []
        assert digests(root) == before
        finish(config, tmp_path)
        assert digests(tmp_path) == before

    def test_a_refresh_makes_again_what_bears_a_later_date(self, finished: tuple[Any, Path]) -> None:
        config, root = finished
        before = digests(root)
        for record in (root / "store").glob("vector/*/record.json"):
            os.utime(record, (4e9, 4e9))
        with Processes(Store(root / "store"), 1, refresh=Refresh(["adapt"], asked_now(root / "store"))) as execute:
            run(config, execute, root / "out")
            assert [d.label for d in execute.done if not d.record.cached and d.label == "adapt"] == ["adapt"]
        assert executed(finish(config, root)) == []
        assert digests(root) == before
