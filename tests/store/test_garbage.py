"""Garbage collection: what is needed stays, what is not goes, and being killed at any point does no harm."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stored
from stored import digests, executed, finish

from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import DataError
from asr_tv.store import garbage as store_garbage
from asr_tv.store.garbage import Policy, collect, plan
from asr_tv.store.inventory import scan, verify_store
from asr_tv.store.results import TRASH, Identity, Produced, Store, to_trash
from asr_tv.store.runtime import Runtime
from asr_tv.store.uses import PINS, RUNS, Pin, leave, read_pins, read_uses, registered, remove_pin, turn_lock, write_pin
from asr_tv.synthesis.synthesize import synthesize
from asr_tv.testing.speech import dummy_texts


def result(store: Store, number: int, *inputs: str) -> tuple[str, str]:
    """Makes or finds a result; its name and its digest."""

    def produce(folder: Path) -> Produced:
        (folder / "out").write_text(f"payload {number} {inputs}" * 20)
        return Produced()

    identity = Identity("stage", 1, {"number": number}, {str(n): d for n, d in enumerate(inputs)})
    record = store.build(identity, produce)
    return f"stage/{record.key}", record.digest


def use(root: Path, folder: Path, numbers: list[int]) -> list[str]:
    """A run that makes or finds results, each from the one before it."""
    folder.mkdir(parents=True, exist_ok=True)
    names, before = [], []
    with registered(root, folder, folder.name):
        for number in numbers:
            name, digest = result(Store(root), number, *before)
            names.append(name)
            before = [digest]
    return names


def there(root: Path) -> set[str]:
    return {entry.name for entry in scan(root).entries}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "store"
    leave(tmp_path / "store")


class TestKept:
    def test_a_run_stays_while_its_folder_does(self, root: Path, tmp_path: Path) -> None:
        a, b = use(root, tmp_path / "a", [1, 2, 3]), use(root, tmp_path / "b", [1, 2, 4])
        assert collect(root, Policy()).entries == ()
        shutil.rmtree(tmp_path / "b")
        todo = plan(root, Policy())
        assert [entry.name for entry in todo.entries] == [b[2]]
        assert there(root) == {*a, *b}
        assert collect(root, Policy()).freed == todo.freed > 0
        assert there(root) == set(a)
        assert not list((root / TRASH).iterdir())
        assert plan(root, Policy()).freed == 0
        assert not list(root.glob("stage/*.checked")) or len(list(root.glob("stage/*.checked"))) == 3

    def test_what_a_result_was_made_from_stays_with_it(self, root: Path, tmp_path: Path) -> None:
        names = use(root, tmp_path / "a", [1, 2, 3])
        other = use(root, tmp_path / "a2", [7])
        shutil.rmtree(tmp_path / "a")
        shutil.rmtree(tmp_path / "a2")
        write_pin(root, Pin(names[2], frozenset({names[2]})))
        collect(root, Policy())
        assert there(root) == set(names)
        assert remove_pin(root, names[2])
        collect(root, Policy())
        assert there(root) == set()
        assert other

    def test_of_a_run_done_again_only_what_it_uses_now(self, root: Path, tmp_path: Path) -> None:
        use(root, tmp_path / "a", [1, 2])
        again = use(root, tmp_path / "a", [1, 3])
        collect(root, Policy())
        assert there(root) == set(again)
        assert len(read_uses(root)) == 1

    def test_a_run_that_failed_keeps_what_it_came_to_and_what_the_one_before_used(
        self, root: Path, tmp_path: Path
    ) -> None:
        first = use(root, tmp_path / "a", [1, 2])
        made: list[str] = []

        def fail() -> None:
            with registered(root, tmp_path / "a", "a"):
                made.append(result(Store(root), 9)[0])
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        collect(root, Policy())
        assert there(root) == {*first, *made}

    def test_the_last_runs_and_the_recent_ones(self, root: Path, tmp_path: Path) -> None:
        runs = {n: use(root, tmp_path / str(n), [n]) for n in range(4)}
        for n, file in zip(range(4), sorted((root / RUNS).iterdir(), key=lambda f: f.stat().st_mtime), strict=True):
            os.utime(file, (time.time() - 3600 * (4 - n),) * 2)
        assert {e.name for e in plan(root, Policy(keep_last=1)).entries} == {*runs[0], *runs[1], *runs[2]}
        assert {e.name for e in plan(root, Policy(older_than=2.5 * 3600)).entries} == {*runs[0], *runs[1]}
        write_pin(root, Pin(str(tmp_path / "0"), frozenset()))
        collect(root, Policy(keep_last=0))
        assert there(root) == set(runs[0])

    def test_a_run_of_another_machine_stays(self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        names = use(root, tmp_path / "a", [1])
        shutil.rmtree(tmp_path / "a")
        monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
        collect(root, Policy())
        assert there(root) == set(names)

    def test_a_report_keeps_what_it_names(self, root: Path, tmp_path: Path) -> None:
        """A run of a version that did not register."""
        name, _ = result(Store(root), 1)
        other, _ = result(Store(root), 2)
        leave(root)
        report = tmp_path / "runs" / "old" / "report.json"
        report.parent.mkdir(parents=True)
        stage, key = name.split("/")
        report.write_text(json.dumps({"stages": [{"name": stage, "key": key}]}))
        todo = collect(root, Policy(reports=tmp_path / "runs"))
        assert [entry.name for entry in todo.entries] == [other]
        assert there(root) == {name}

    def test_a_pin_that_cannot_be_read_stops_it(self, root: Path, tmp_path: Path) -> None:
        names = use(root, tmp_path / "a", [1])
        write_pin(root, Pin(names[0], frozenset(names)))
        (file,) = (root / PINS).iterdir()
        file.write_text("{")
        shutil.rmtree(tmp_path / "a")
        with pytest.raises(DataError, match="not a pin"):
            collect(root, Policy())
        assert there(root) == set(names)
        with pytest.raises(DataError):
            read_pins(root)


def test_any_choice_of_runs_and_pins_keeps_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    rng = random.Random(3)
    for case in range(25):
        root, runs = tmp_path / f"s{case}", {}
        for n in range(rng.randrange(1, 5)):
            runs[n] = use(root, tmp_path / f"r{case}-{n}", [rng.randrange(4) for _ in range(rng.randrange(1, 6))])
        gone = {n for n in runs if rng.random() < 0.5}
        pinned = {n for n in gone if rng.random() < 0.3}
        for n in gone:
            shutil.rmtree(tmp_path / f"r{case}-{n}")
        for n in pinned:
            write_pin(root, Pin(str(tmp_path / f"r{case}-{n}"), frozenset(runs[n])))
        collect(root, Policy())
        assert there(root) == {name for n in runs if n not in gone - pinned for name in runs[n]}
        assert list(verify_store(root)) == []


class TestUnfinished:
    def test_unfinished_work_of_a_kept_run_stays_and_of_no_run_goes(self, root: Path, tmp_path: Path) -> None:
        def fails(folder: Path) -> Produced:
            (folder / "epoch-1").write_text("x" * 100)
            raise ZeroDivisionError

        (tmp_path / "a").mkdir()
        with pytest.raises(ZeroDivisionError), registered(root, tmp_path / "a", "a"):
            Store(root).build(Identity("stage", 1, {"a": 1}), fails)
        with pytest.raises(ZeroDivisionError):
            Store(root).build(Identity("stage", 1, {"b": 1}), fails)
        leave(root)
        (root / "stage" / ".x.json.99-1.tmp").write_text("half")
        todo = collect(root, Policy())
        assert [entry.name for entry in todo.entries] == [f"stage/{Identity('stage', 1, {'b': 1}).key}"]
        assert there(root) == {f"stage/{Identity('stage', 1, {'a': 1}).key}"}
        assert [path.name for path in todo.litter] == [".x.json.99-1.tmp"]
        assert len(list((root / "stage").glob("*.lock"))) == 1


_RUN = """
import sys, time
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from test_garbage import result
from asr_tv.store.results import Store
from asr_tv.store.uses import registered
root, folder = Path(sys.argv[1]), Path(sys.argv[2])
folder.mkdir()
with registered(root, folder, "live"):
    name, digest = result(Store(root), 1)
    print(name, flush=True)
    time.sleep(600)
"""


class TestLive:
    @pytest.fixture
    def live(self, root: Path, tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
        """A run in another process, with the name of the one result that it has asked for."""
        arguments = [str(root), str(tmp_path / "live"), str(Path(__file__).parent), str(Path(stored.__file__).parent)]
        process = subprocess.Popen([sys.executable, "-c", _RUN, *arguments], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()
        process.wait()

    def test_while_a_run_goes_on_no_result_is_removed(
        self, live: tuple["subprocess.Popen[str]", str], root: Path, tmp_path: Path
    ) -> None:
        process, used = live
        unused = use(root, tmp_path / "b", [5])
        shutil.rmtree(tmp_path / "b")
        shutil.rmtree(tmp_path / "live")
        todo = collect(root, Policy(keep_last=0))
        assert (todo.held_up_by, todo.entries) == ((str(tmp_path / "live"),), ())
        assert there(root) == {used, *unused}
        assert [e.name for e in collect(root, Policy(keep_last=0, while_running=True)).entries] == unused
        assert there(root) == {used}
        # Killed, it is not going on, whatever its number and its clock: the lock went with it.
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        collect(root, Policy())
        assert there(root) == set()

    def test_who_looks_for_a_result_waits_until_the_collection_is_over(self, root: Path, tmp_path: Path) -> None:
        names = use(root, tmp_path / "a", [1])
        found: list[bool] = []

        def look() -> None:
            with registered(root, tmp_path / "b", "b"):
                found.append(Store(root).build(Identity("stage", 1, {"number": 1}), lambda f: Produced()).cached)

        with turn_lock(root, exclusive=True):
            thread = threading.Thread(target=look)
            thread.start()
            time.sleep(0.2)
            assert found == []
            for entry in scan(root).entries:
                to_trash(root, entry.path)
        thread.join(20)
        assert found == [False]
        assert there(root) == set(names)


class Stopped(BaseException):
    """Ends a collection where a kill would, but for what Python still tidies up."""


def stop() -> None:
    raise Stopped


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("end", [stop, kill])
def test_a_collection_killed_at_any_step_leaves_a_valid_store_and_the_next_one_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: Callable[[], None]
) -> None:
    steps, ended = 0, True
    while ended:
        root = tmp_path / f"s{steps}"
        kept = use(root, tmp_path / f"kept{steps}", [1, 2])
        use(root, tmp_path / f"gone{steps}", [1, 3, 4])
        shutil.rmtree(tmp_path / f"gone{steps}")
        left = iter(range(steps))

        def step(*arguments: Any, left: Iterator[int] = left) -> Path | None:
            if next(left, None) is None:
                end()
            return to_trash(*arguments)

        monkeypatch.setattr(store_garbage, "to_trash", step)
        ended = not finishes(root)
        monkeypatch.undo()
        assert set(kept) <= there(root)
        assert list(verify_store(root)) == []
        collect(root, Policy())
        assert there(root) == set(kept)
        assert not list((root / TRASH).iterdir())
        steps += ended
    assert steps >= 3


def finishes(root: Path) -> bool:
    """Whether a collection in a process of its own comes to its end."""
    if (child := os.fork()) == 0:
        try:
            collect(root, Policy())
            os._exit(0)
        except Stopped:
            os._exit(3)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 3, -signal.SIGKILL)
    return code == 0


def test_a_whole_run_loses_nothing_to_a_collection(whole: tuple[Any, Path], tmp_path: Path) -> None:
    shutil.copytree(whole[1] / "store", tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / RUNS)
    finish(whole[0], tmp_path, "kept")
    needed, clips = digests(tmp_path), set(scan(tmp_path / "store").clips)
    with registered(tmp_path / "store", tmp_path / "gone", "gone"):
        texts, voices = dummy_texts(3, "shop", first=900), SynthesisConfig(engine="fake", voices=("tone",), takes=1)
        synthesize(Runtime(Store(tmp_path / "store"), workers=1), texts, voices, seed=1)
    todo = collect(tmp_path / "store", Policy())
    assert not todo.held_up_by
    assert [entry.stage for entry in todo.entries] == ["synthesize"]
    assert len(todo.clips) == 3
    assert not clips & set(todo.clips)
    assert set(scan(tmp_path / "store").clips) == clips
    assert digests(tmp_path) == needed
    assert executed(finish(whole[0], tmp_path, "kept")) == []
    assert list(verify_store(tmp_path / "store")) == []
