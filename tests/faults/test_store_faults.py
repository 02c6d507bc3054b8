"""Storage that fails: changed and cut files, full and read-only disks. All of it is found, named and made again."""

import builtins
import errno
import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stored
from stored import cut, digests, executed, finish, flip, made_at

from asr_tv.config.run import AdaptConfig
from asr_tv.pipeline.execution.processes import Processes
from asr_tv.runs.run import run
from asr_tv.store.checks import _Checked as Checked
from asr_tv.store.inventory import verify_store
from asr_tv.store.payload import RECORD
from asr_tv.store.records import read_row
from asr_tv.store.results import Identity, Produced, Store

IDENTITY = Identity("stage", 1, {"rate": 0.1}, {"text": "d1"}, 3)


def one_file(folder: Path) -> Produced:
    (folder / "out").write_text("payload")
    return Produced(details={"count": 3, "wer": 0.125})


class TestRecord:
    def test_no_byte_of_a_record_can_change_unseen(self, tmp_path: Path) -> None:
        record = Store(tmp_path).build(IDENTITY, one_file)
        text = (record.path / RECORD).read_bytes()
        whole = read_row(text, record.key)
        unseen = 0
        for at in range(len(text)):
            for bit in (1, 2, 16):
                changed = bytes([*text[:at], text[at] ^ bit, *text[at + 1 :]])
                try:
                    assert read_row(changed, record.key) == whole
                    unseen += 1
                except (ValueError, KeyError, TypeError):
                    continue
        assert unseen < len(text)  # white space between the values

    def test_records_from_before_the_check_are_read(self, tmp_path: Path) -> None:
        record = Store(tmp_path).build(IDENTITY, one_file)
        row = json.loads((record.path / RECORD).read_text())
        del row["check"]
        (record.path / RECORD).write_text(json.dumps(row))
        assert Store(tmp_path).find(IDENTITY) is not None
        for field, value in (("seed", 4), ("digest", "0" * 64), ("files", {}), ("inputs", {})):
            with pytest.raises(ValueError, match=r"its (key|digest) is not that of"):
                read_row(json.dumps(row | {field: value}), record.key)


class TestChecked:
    def test_a_file_is_hashed_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        record = Store(tmp_path).build(IDENTITY, one_file)
        os.utime(tmp_path / "stage" / f"{record.key}.checked", (4e9, 4e9))  # long after the file
        monkeypatch.setattr("asr_tv.store.checks.file_digest", lambda path: pytest.fail(f"{path} is hashed"))
        assert Store(tmp_path).find(IDENTITY) is not None

    def test_a_file_that_changed_in_the_tick_it_was_hashed_in_is_hashed_again(self, tmp_path: Path) -> None:
        record = Store(tmp_path).build(IDENTITY, one_file)
        memo = tmp_path / "stage" / f"{record.key}.checked"
        rows = json.loads(memo.read_text())
        (record.path / "out").write_text("paYload")
        stat = (record.path / "out").stat()
        rows["out"][:4] = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        memo.write_text(json.dumps(rows))
        assert Store(tmp_path).find(IDENTITY) is None

    @pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b'{"out": 3}', b'{"out": [1, 2]}'])
    def test_a_damaged_memo_is_no_memo(self, tmp_path: Path, content: bytes) -> None:
        record = Store(tmp_path).build(IDENTITY, one_file)
        (tmp_path / "stage" / f"{record.key}.checked").write_bytes(content)
        assert Store(tmp_path).find(IDENTITY) is not None
        flip(record.path / "out")
        assert Store(tmp_path).find(IDENTITY) is None


def copied(whole: tuple[AdaptConfig, Path], tmp_path: Path) -> Path:
    shutil.copytree(whole[1] / "store", tmp_path / "store")
    return tmp_path


FAULTS: list[tuple[str, str, Callable[[Path], None]]] = [
    ("weights, a flipped bit", "finetune/*/model/model.safetensors", flip),
    ("weights, cut", "finetune/*/model/model.safetensors", cut),
    ("weights, lost", "finetune/*/model/model.safetensors", os.remove),
    ("adapted weights, a flipped bit", "adapt/*/model/model.safetensors", flip),
    ("vector, a flipped bit", "vector/*/*.safetensors", flip),
    ("pretrained weights, a flipped bit", "checkpoint/*/model/model.safetensors", flip),
    ("corpus recording, a flipped bit", "corpus/*/audio/*.flac", flip),
    ("corpus recording, cut", "corpus/*/audio/*.flac", cut),
    ("corpus manifest, a flipped bit", "corpus/*/manifest.jsonl", flip),
    ("clip, a flipped bit", "clips/*/*.flac", flip),
    ("clip, cut", "clips/*/*.flac", cut),
    ("clip, lost", "clips/*/*.flac", os.remove),
    ("clip's sidecar and the clip, lost", "clips/*/*.json", lambda p: (p.unlink(), p.with_suffix(".flac").unlink())),
    ("manifest of clips, a flipped bit", "synthesize/*/manifest.jsonl", flip),
    ("hypotheses, a flipped bit", "transcribe/*/*.jsonl", flip),
    ("scores, cut", "score/*/*/evaluation.jsonl", cut),
    ("record, a flipped bit", "finetune/*/record.json", flip),
    ("record, cut", "transcribe/*/record.json", cut),
]


@pytest.mark.parametrize(("pattern", "spoil"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_the_next_run_finds_a_fault_names_it_and_heals_it(
    pattern: str,
    spoil: Callable[[Path], None],
    whole: tuple[AdaptConfig, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    root = copied(whole, tmp_path)
    victim = sorted((root / "store").glob(pattern))[0]
    spoil(victim)
    assert list(verify_store(root / "store"))
    ran = executed(finish(whole[0], root))
    assert ran
    assert victim.parts[len((root / "store").parts) + 1][:24] in caplog.text or victim.stem in caplog.text
    assert digests(root) == digests(whole[1])
    assert list(verify_store(root / "store")) == []
    for name in ("model/model.safetensors", "vector.safetensors"):
        assert (root / "out" / name).read_bytes() == (whole[1] / "out" / name).read_bytes()


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Flips a bit of which the file system does not tell: what is remembered of the file is true of it."""
    known, times = Checked.problem, {}

    def problem(self: Checked, name: str, file: Path, digest: str) -> str | None:
        lies = file in times and file.exists() and file.stat().st_mtime_ns == times[file]
        return None if lies else known(self, name, file, digest)

    def flip_unseen(path: Path) -> None:
        flip(path)
        times[path] = path.stat().st_mtime_ns

    monkeypatch.setattr(Checked, "problem", problem)
    return flip_unseen


@pytest.mark.parametrize(
    ("pattern", "needs"),
    [
        ("vector/*/*.safetensors", "adapt"),
        ("finetune/*/model/model.safetensors", "vector"),
        ("checkpoint/*/model/model.safetensors", "finetune"),
        ("clips/*/*.flac", "finetune"),
        ("corpus/*/audio/*.flac", "transcribe"),
    ],
)
def test_what_a_stage_is_about_to_read_is_read_through_first(
    pattern: str,
    needs: str,
    unseen: Callable[[Path], None],
    whole: tuple[AdaptConfig, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    root = copied(whole, tmp_path)
    for victim in sorted((root / "store").glob(pattern)):
        unseen(victim)
    for folder in (root / "store" / needs).glob("*"):
        shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    finish(whole[0], root)
    assert "damaged, to be made again" in caplog.text
    assert digests(root) == digests(whole[1])
    assert not [left.key for left in verify_store(root / "store") if left.key in caplog.text]


def test_the_program_s_own_executor_heals_as_well_with_one_job(
    unseen: Callable[[Path], None], whole: tuple[AdaptConfig, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = copied(whole, tmp_path)
    for victim in (root / "store").glob("finetune/*/model/model.safetensors"):
        unseen(victim)
    shutil.rmtree(root / "store" / "vector")
    with Processes(Store(root / "store"), 1) as execute:
        run(whole[0], execute, root / "again")
    assert "damaged, to be made again" in caplog.text
    assert digests(root) == digests(whole[1])


class _Disk:
    """Lets so many writes through, half of the next one, and no more."""

    def __init__(self, room: int) -> None:
        self.room = room

    def spend(self) -> bool:
        self.room -= 1
        return self.room >= 0

    def full(self, path: Any) -> OSError:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> _Disk:
    """Counts what is written below the store from Python: files opened and written, folders, renames."""
    disk = _Disk(10**9)
    below = str(tmp_path / "store")
    opened, wrote = io.open, {}

    def open_(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if isinstance(file, int) or not str(file).startswith(below) or not set(mode) & set("wax+"):
            return opened(file, mode, *arguments, **options)
        if not disk.spend():
            raise disk.full(file)
        stream = opened(file, mode, *arguments, **options)
        if disk.spend() or "b" not in mode:
            return stream
        wrote[id(stream)] = stream
        return _Half(stream, disk.full(file))

    for name in ("mkdir", "rename", "replace"):
        original = getattr(os, name)

        def limited(path: Any, *rest: Any, original: Any = original, **options: Any) -> Any:
            if str(path).startswith(below) and not disk.spend():
                raise disk.full(path)
            return original(path, *rest, **options)

        monkeypatch.setattr(os, name, limited)
    monkeypatch.setattr(io, "open", open_)
    monkeypatch.setattr(builtins, "open", open_)
    return disk


class _Half:
    def __init__(self, stream: Any, error: OSError) -> None:
        self._stream, self._error = stream, error

    def __enter__(self) -> "_Half":
        return self

    def __exit__(self, *ending: object) -> None:
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, data: Any) -> int:
        self._stream.write(bytes(data)[: len(data) // 2])
        raise self._error


def test_a_disk_that_is_full_at_any_write_costs_nothing_that_is_finished(
    whole: tuple[AdaptConfig, Path], tmp_path: Path, disk: _Disk
) -> None:
    rng = random.Random(7)
    for _ in range(6):
        before = made_at(tmp_path)
        disk.room = rng.randrange(1, 150)
        with pytest.raises(OSError, match="No space left") as stop:
            finish(whole[0], tmp_path)
        assert stop.value.errno == errno.ENOSPC
        disk.room = 10**9
        assert before.items() <= made_at(tmp_path).items()
    assert list(verify_store(tmp_path / "store")) == []
    finish(whole[0], tmp_path)
    assert digests(tmp_path) == digests(whole[1])
    assert list(verify_store(tmp_path / "store")) == []
    assert not list((tmp_path / "store").rglob(".*.tmp"))


_MOUNTED = """
import errno, os, subprocess, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from stored import digests, executed, finish, made_at, small_config

root, inputs = Path(sys.argv[1]), Path(sys.argv[2])
config = small_config(inputs)
def mount(*options):
    subprocess.run(["mount", *options, str(root / "store")], check=True)
stops, size = 0, 1500
mount("-t", "tmpfs", "-o", f"size={size}k", "tmpfs")
while True:
    before = made_at(root)
    try:
        finish(config, root)
        break
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
        stops += 1
    assert before.items() <= made_at(root).items()
    size += 4000
    assert size < 60_000
    mount("-o", f"remount,size={size}k")
made = digests(root)
mount("-o", "remount,ro")
assert executed(finish(config, root)) == []
try:
    finish(config.model_copy(update={"seed": 5}), root)
    raise SystemExit("was written to")
except OSError as error:
    assert error.errno == errno.EROFS, error
mount("-o", "remount,rw")
assert digests(root) == made
import json
print(json.dumps({"stops": stops, "digests": made}))
"""


def test_a_real_disk_that_is_full_or_read_only(whole: tuple[AdaptConfig, Path], tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    try:
        subprocess.run(
            ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path / "store")], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("file systems cannot be mounted here")
    arguments = [str(tmp_path), str(whole[1] / "in"), str(Path(stored.__file__).parent)]
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", _MOUNTED, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout.splitlines()[-1])
    assert row["stops"] >= 3
    assert row["digests"] == digests(whole[1])
