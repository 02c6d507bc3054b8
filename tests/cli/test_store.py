"""`asr-tv store`: what each command prints, with which exit code."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import Command, write_rows
from stored import flip

from asr_tv.store.results import Identity, Produced, Store
from asr_tv.store.uses import leave, registered


def made(root: Path, folder: Path, number: int) -> str:
    """A result of a run; its name."""

    def produce(scratch: Path) -> Produced:
        (scratch / "out").write_bytes(b"%d" % number * 2000)
        return Produced()

    folder.mkdir(parents=True, exist_ok=True)
    with registered(root, folder, folder.name):
        record = Store(root).build(Identity("finetune", 1, {"number": number}), produce)
    return f"finetune/{record.key}"


@pytest.fixture
def names(tmp_path: Path) -> list[str]:
    """The results of runs/a and of runs/b, in .store."""
    found = [made(tmp_path / ".store", tmp_path / "runs" / name, n) for n, name in enumerate("ab")]
    leave(tmp_path / ".store")
    return found


def test_ls(names: list[str], asr_tv: Command) -> None:
    rows: Any = asr_tv("store", "ls", "--json").row
    assert {f"{r['stage']}/{r['key']}": r["used_by"] for r in rows} == {names[0]: ["runs/a"], names[1]: ["runs/b"]}
    assert all(r["bytes"] > 2000 and r["finished"] and not r["pinned"] for r in rows)
    assert asr_tv("store", "ls", "--run", "runs/b", "--quiet").out.split() == [names[1]]
    assert asr_tv("store", "ls", "--stage", "score", "--quiet").out.split() == []
    assert names[0].split("/")[1] in asr_tv("store", "ls").out
    assert asr_tv("store", "ls", "--run", "runs/c").problems == [
        "--run runs/c: no such run is known to the store; known: runs/b, runs/a"
    ]


def test_du_and_gc(names: list[str], asr_tv: Command, tmp_path: Path) -> None:
    rows: Any = asr_tv("store", "ls", "--json").row
    # Records hold the seconds that their stage took, so two may differ by a digit.
    sizes = {f"{r['stage']}/{r['key']}": r["bytes"] for r in rows}
    row = asr_tv("store", "du", "--json").row
    assert row["gc_frees"] == 0
    assert {r["run"]: r["results"] for r in row["runs"]} == {"runs/a": 1, "runs/b": 1}
    assert "nothing to free" in asr_tv("store", "gc").out
    shutil.rmtree(tmp_path / "runs" / "a")
    freed = asr_tv("store", "du", "--json").row["gc_frees"]
    assert int(asr_tv("store", "du", "--quiet").out) == row["bytes"] == sum(sizes.values())
    assert freed == sizes[names[0]]
    told = asr_tv("store", "gc").out
    assert "forgets runs/a" in told
    assert "--yes does" in told
    done = asr_tv("store", "gc", "--yes", "--json").row
    assert (done["removed"], done["bytes"], len(done["results"])) == (True, freed, 1)
    assert asr_tv("store", "gc", "--yes", "--quiet").out.strip() == "0"
    assert len(asr_tv("store", "ls", "--quiet").out.split()) == 1
    assert asr_tv("store", "gc", "--older-than", "soon").problems == [
        "--older-than soon: hours, days or weeks, as in 12h, 30d or 8w"
    ]


def test_pins(names: list[str], asr_tv: Command, tmp_path: Path) -> None:
    assert asr_tv("store", "pin", "runs/a", "--json").row == [{"pinned": str(tmp_path / "runs" / "a"), "results": 1}]
    shutil.rmtree(tmp_path / "runs" / "a")
    shutil.rmtree(tmp_path / "runs" / "b")
    assert asr_tv("store", "gc", "--yes", "--json").row["results"] == [names[1]]
    assert [r["pinned"] for r in json.loads(asr_tv("store", "ls", "--json").out)] == [True]
    assert asr_tv("store", "unpin", "runs/b").problems == [f"runs/b: is not pinned; pinned: {tmp_path / 'runs' / 'a'}"]
    assert asr_tv("store", "unpin", "runs/a").code == 0
    assert asr_tv("store", "gc", "--yes", "--json").row["results"] == [names[0]]
    assert asr_tv("store", "pin", names[0]).problems == [f"{names[0]}: the store has no such result"]
    assert "no run of this folder" in asr_tv("store", "pin", "runs/z").problems[0]


def test_verify(names: list[str], asr_tv: Command, tmp_path: Path) -> None:
    assert asr_tv("store", "verify").out == "2 results and 0 clips: all whole\n"
    flip(tmp_path / ".store" / names[0] / "out")
    flip(tmp_path / ".store" / names[1] / "record.json")
    done = asr_tv("store", "verify")
    assert done.code == 1
    assert f"damaged: {names[0].replace('/', ' ')}: out: other bytes than when it was written\n" in done.out
    assert f"damaged: {names[1].replace('/', ' ')}: record.json: " in done.out
    assert "2 damaged; --repair removes them" in done.out
    rows = json.loads(asr_tv("store", "verify", "--json").out)["damaged"]
    assert {f"{r['stage']}/{r['key']}" for r in rows} == set(names)
    assert asr_tv("store", "verify", "--repair", "--quiet").code == 0
    assert asr_tv("store", "verify", "--quiet").out == ""
    assert not (tmp_path / ".store" / names[0]).exists()


def test_what_is_no_store_is_refused(asr_tv: Command) -> None:
    for command in ("ls", "du", "verify", "gc"):
        assert asr_tv("store", command, "--store", "gone").problems == ["--store gone: there is no such folder"]
    assert "work on a folder" in asr_tv("store", "ls", "--store", "s3://x/y").problems[0]


def test_a_full_disk_is_one_message(asr_tv: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = write_rows(tmp_path / "t.jsonl", {"id": "a", "text": "one two"}, {"id": "b", "text": "three"})
    arguments = ("synthesize", texts, "--engine", "fake", "--voice", "tone", "--out", "clips", "--workers", 1)
    written, write = [0], Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        written[0] += ".store" in str(self)
        if written[0] == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    (problem,) = asr_tv(*arguments, "--quiet").problems
    assert "No space left on device; what is finished is kept: make room" in problem
    assert asr_tv(*arguments, "--quiet", "--json").row["clips"] == 2
