"""The store: what a key depends on, what counts as a result, and what a crash leaves behind."""

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_tv.config.run import TrainingConfig
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.store.records import ManifestRef
from asr_tv.store.results import (
    RECORD,
    Identity,
    Produced,
    Record,
    Store,
    canonical_json,
    file_digest,
    result_problems,
    write_atomically,
)

IDENTITY = Identity("stage", 1, {"rate": 0.1, "names": ["a", "b"]}, {"text": "d1", "audio": "d2"}, 3)


def writing(*files: tuple[str, str]) -> Callable[[Path], Produced]:
    def produce(folder: Path) -> Produced:
        for name, content in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
        return Produced()

    return produce


class Counted:
    """A producer that counts its calls."""

    def __init__(self, *files: tuple[str, str]) -> None:
        self.calls = 0
        self._produce = writing(*files or (("out.txt", "payload"),))

    def __call__(self, folder: Path) -> Produced:
        self.calls += 1
        return self._produce(folder)


class TestKey:
    @pytest.mark.parametrize(
        "change",
        [
            {"stage": "other"},
            {"version": 2},
            {"parameters": {"rate": 0.2, "names": ["a", "b"]}},
            {"parameters": {"rate": 0.1, "names": ["b", "a"]}},
            {"parameters": {"rate": 0.1, "names": ["a", "b"], "more": None}},
            {"parameters": {"rate": 0.1}},
            {"inputs": {"text": "d1", "audio": "d3"}},
            {"inputs": {"text": "d2", "audio": "d1"}},
            {"inputs": {"text": "d1"}},
            {"seed": 4},
        ],
        ids=str,
    )
    def test_every_part_changes_it(self, change: dict[str, object]) -> None:
        assert replace(IDENTITY, **change).key != IDENTITY.key  # type: ignore[arg-type]

    def test_parts_do_not_run_into_each_other(self) -> None:
        assert Identity("s", 1, {"a": "b"}).key != Identity("s", 1, {}, {"a": "b"}).key
        assert Identity("s", 12, {}, {}, 3).key != Identity("s", 1, {}, {}, 23).key

    @given(st.dictionaries(st.text(max_size=4), st.integers(), max_size=6), st.randoms())
    def test_the_order_of_a_dictionary_does_not_change_it(self, values: dict[str, int], random: object) -> None:
        names = list(values)
        random.shuffle(names)  # type: ignore[attr-defined]
        turned = {name: values[name] for name in names}
        assert Identity("s", 1, turned, {}).key == Identity("s", 1, values, {}).key
        assert Identity("s", 1, {"inner": turned}).key == Identity("s", 1, {"inner": values}).key

    @given(st.lists(st.text(max_size=3), unique=True))
    def test_sets_are_sorted_and_tuples_are_lists(self, items: list[str]) -> None:
        as_set = Identity("s", 1, {"items": set(items)}).key
        assert as_set == Identity("s", 1, {"items": frozenset(reversed(items))}).key
        assert as_set == Identity("s", 1, {"items": tuple(sorted(items))}).key

    def test_it_is_the_same_on_every_machine(self) -> None:
        assert canonical_json({"b": {2, 1}, "a": "ü"}) == '{"a":"ü","b":[1,2]}'
        written = b'{"inputs":{},"parameters":{"a":1},"seed":0,"stage":"s","version":1}'
        assert Identity("s", 1, {"a": 1}).key == hashlib.sha256(written).hexdigest()[:24]

    def test_a_section_of_the_configuration_is_its_values(self) -> None:
        section = TrainingConfig()
        assert canonical_json(section) == canonical_json(section.model_dump(mode="json"))

    def test_what_has_no_canonical_form_is_refused(self) -> None:
        with pytest.raises(TypeError, match="object has no canonical form"):
            _ = Identity("s", 1, {"x": object()}).key


class TestBuild:
    def test_a_result_is_made_once_and_found_again(self, tmp_path: Path) -> None:
        made = Counted(("a/b.txt", "one"), ("c.txt", "two"))
        ref = Manifest("m", (Utterance("u", "hi", split="test"),)).ref()
        first = Store(tmp_path).build(
            IDENTITY, lambda folder: replace(made(folder), reads=(ref,), details={"count": 2, "names": ["x"]})
        )
        again = Store(tmp_path).build(IDENTITY, made)
        assert made.calls == 1
        assert (first.cached, again.cached) == (False, True)
        assert again == replace(first, cached=True)
        assert again.reads == (ManifestRef("m", ref.digest, 1, ("default",), ("test",), ("real",)),)
        assert again.details == {"count": 2, "names": ["x"]}
        assert first.path == tmp_path / "stage" / IDENTITY.key
        assert (first.path / "a" / "b.txt").read_text() == "one"

    def test_the_record_holds_the_key_in_clear(self, tmp_path: Path) -> None:
        record = Store(tmp_path).build(IDENTITY, writing(("out", "x")))
        row = json.loads((record.path / RECORD).read_text())
        parts = {key: row[key] for key in ("stage", "version", "parameters", "inputs", "seed")}
        assert Identity(**parts).key == IDENTITY.key == row["key"]
        assert row["files"] == {"out": file_digest(record.path / "out")}
        assert row["packages"]["asr-tv"]

    def test_other_identities_are_other_results(self, tmp_path: Path) -> None:
        made = Counted()
        Store(tmp_path).build(IDENTITY, made)
        assert Store(tmp_path).find(replace(IDENTITY, version=2)) is None
        Store(tmp_path).build(replace(IDENTITY, version=2), made)
        assert made.calls == 2


def remove_record(folder: Path) -> None:
    (folder / RECORD).unlink()


def tear_record(folder: Path) -> None:
    text = (folder / RECORD).read_text()
    (folder / RECORD).write_text(text[: len(text) // 2])


def empty_record(folder: Path) -> None:
    (folder / RECORD).write_bytes(b"")


def not_an_object(folder: Path) -> None:
    (folder / RECORD).write_text("[1, 2]")


def binary_record(folder: Path) -> None:
    (folder / RECORD).write_bytes(b"\xff\xfe\x00garbage")


def lose_a_field(folder: Path) -> None:
    row = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps({key: value for key, value in row.items() if key != "digest"}))


def lose_a_file(folder: Path) -> None:
    (folder / "sub" / "two.txt").unlink()


def record_of_another_version(folder: Path) -> None:
    row = json.loads((folder / RECORD).read_text())
    other = replace(IDENTITY, version=IDENTITY.version + 1)
    (folder / RECORD).write_text(json.dumps({**row, "version": other.version, "key": other.key}))


@pytest.mark.parametrize(
    "damage",
    [
        remove_record,
        tear_record,
        empty_record,
        not_an_object,
        binary_record,
        lose_a_field,
        lose_a_file,
        record_of_another_version,
    ],
)
def test_a_damaged_result_is_a_miss_and_is_made_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    store = Store(tmp_path)
    made = Counted(("one.txt", "1"), ("sub/two.txt", "2"))
    first = store.build(IDENTITY, made)
    (first.path / "stray").write_text("of the damaged result")
    damage(first.path)
    assert store.find(IDENTITY) is None
    healed = store.build(IDENTITY, made)
    assert (made.calls, healed.cached, healed.digest) == (2, False, first.digest)
    assert not (healed.path / "stray").exists()
    assert store.build(IDENTITY, made).cached
    assert result_problems(healed.path) == []


class TestInterruption:
    def test_the_next_call_finds_what_a_failed_one_left(self, tmp_path: Path) -> None:
        store = Store(tmp_path)

        def stopped(folder: Path) -> Produced:
            (folder / "epoch-1").write_text("kept")
            raise RuntimeError("out of memory")

        with pytest.raises(RuntimeError, match="out of memory"):
            store.build(IDENTITY, stopped)
        assert store.find(IDENTITY) is None
        assert (store.scratch(IDENTITY) / "epoch-1").read_text() == "kept"

        def resumed(folder: Path) -> Produced:
            (folder / "model").write_text((folder / "epoch-1").read_text() + " and finished")
            (folder / "epoch-1").unlink()
            return Produced()

        record = store.build(IDENTITY, resumed)
        assert (record.path / "model").read_text() == "kept and finished"
        assert not store.scratch(IDENTITY).exists()

    def test_files_that_were_half_written_are_taken_away(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        clean = Store(tmp_path / "clean").build(IDENTITY, writing(("sub/out.txt", "x")))
        scratch = store.scratch(IDENTITY)
        (scratch / "sub").mkdir(parents=True)
        for stale in (scratch / ".weights.4711.tmp", scratch / "sub" / ".out.txt.1.tmp"):
            stale.write_text("half")
        record = store.build(IDENTITY, writing(("sub/out.txt", "x")))
        assert record.digest == clean.digest
        assert sorted(p.name for p in record.path.rglob("*") if p.is_file()) == ["out.txt", RECORD]

    def test_one_failure_does_not_touch_other_results(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        done = store.build(IDENTITY, writing(("out", "x")))
        with pytest.raises(ZeroDivisionError):
            store.build(replace(IDENTITY, seed=9), lambda folder: Produced(details={"x": 1 / 0}))
        assert store.find(IDENTITY) == replace(done, cached=True)


class TestDigest:
    def test_it_does_not_depend_on_the_order_in_which_files_are_written(self, tmp_path: Path) -> None:
        files = [("b.txt", "1"), ("a/c.txt", "2"), ("a.txt", "3")]
        forth = Store(tmp_path / "x").build(IDENTITY, writing(*files))
        back = Store(tmp_path / "elsewhere" / "y").build(replace(IDENTITY, seed=8), writing(*reversed(files)))
        assert forth.digest == back.digest

    @pytest.mark.parametrize("files", [[("a", "2")], [("b", "1")], [("a", "1"), ("b", "")], []])
    def test_it_depends_on_names_and_contents(self, tmp_path: Path, files: list[tuple[str, str]]) -> None:
        one = Store(tmp_path / "x").build(IDENTITY, writing(("a", "1")))
        assert Store(tmp_path / "y").build(IDENTITY, writing(*files)).digest != one.digest

    def test_a_moved_store_is_the_same_store(self, tmp_path: Path) -> None:
        first = Store(tmp_path / "here").build(IDENTITY, writing(("a", "1")))
        shutil.move(tmp_path / "here", tmp_path / "there")
        moved = Store(tmp_path / "there").find(IDENTITY)
        assert moved is not None
        assert moved.digest == first.digest
        assert moved.path == tmp_path / "there" / "stage" / IDENTITY.key
        assert result_problems(moved.path) == []

    def test_every_changed_file_is_named(self, tmp_path: Path) -> None:
        record = Store(tmp_path).build(IDENTITY, writing(("same", "0"), ("altered", "1"), ("sub/lost", "2")))
        assert result_problems(record.path) == []
        (record.path / "altered").write_text("other")
        (record.path / "sub" / "lost").unlink()
        assert result_problems(record.path) == ["altered: other bytes than when it was written", "sub/lost: lost"]


class TestWriteAtomically:
    def test_text_is_utf8_and_folders_are_made(self, tmp_path: Path) -> None:
        write_atomically(tmp_path / "a" / "b.txt", "größer")
        assert (tmp_path / "a" / "b.txt").read_bytes() == "größer".encode()

    def test_a_full_disk_leaves_the_old_content_and_no_litter(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "file.json"
        write_atomically(path, "old")
        whole = Path.write_bytes

        def full(self: Path, data: bytes) -> int:
            whole(self, data[:2])
            raise OSError(28, "No space left on device", str(self))

        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            write_atomically(path, "new content")
        assert path.read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["file.json"]

    def test_what_cannot_be_encoded_changes_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "file.json"
        write_atomically(path, "old")
        with pytest.raises(UnicodeEncodeError):
            write_atomically(path, "\ud800")
        assert path.read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["file.json"]


SPAWN = multiprocessing.get_context("spawn")


def build_slowly(root: Path, calls: Path, ready: Path, seconds: float) -> None:
    """In a process of its own: makes the result, noting that it did."""

    def produce(folder: Path) -> Produced:
        with calls.open("a") as file:
            file.write(f"{os.getpid()}\n")
        (folder / "begun").write_text("x")
        ready.touch()
        time.sleep(seconds)
        return Produced()

    ready.parent.joinpath(f"{os.getpid()}.digest").write_text(Store(root).build(IDENTITY, produce).digest)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def test_two_processes_make_one_result_once(tmp_path: Path) -> None:
    calls, ready = tmp_path / "calls", tmp_path / "ready"
    both = [SPAWN.Process(target=build_slowly, args=(tmp_path / "store", calls, ready, 0.5)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(30)
    assert [process.exitcode for process in both] == [0, 0]
    assert len(calls.read_text().splitlines()) == 1
    assert len({(tmp_path / f"{process.pid}.digest").read_text() for process in both}) == 1


def test_a_killed_process_holds_nobody_up_and_its_work_is_there(tmp_path: Path) -> None:
    calls, ready = tmp_path / "calls", tmp_path / "ready"
    process = SPAWN.Process(target=build_slowly, args=(tmp_path / "store", calls, ready, 600))
    process.start()
    wait_for(ready)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    found: list[str] = []

    def produce(folder: Path) -> Produced:
        found.extend(p.name for p in folder.iterdir())
        return Produced()

    start = time.monotonic()
    record: Record = Store(tmp_path / "store").build(IDENTITY, produce)
    assert time.monotonic() - start < 5
    assert found == ["begun"]
    assert not record.cached
