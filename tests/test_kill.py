"""Kill -9 at any point of a run, run again: nothing finished is redone, and the digests are the unbroken run's."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_SCRIPT = """
import sys
from pathlib import Path
from asr_tv.pipeline.executor import InProcess
from asr_tv.pipeline.run import run
from asr_tv.store import Store
from asr_tv.testing.runs import fake_config

folder, root = Path(sys.argv[1]), Path(sys.argv[2])
config = fake_config(folder, selection__starts=["pretrained", "source_mixed"], selection__augmentation=[True])
run(config, InProcess(Store(root / "store")), root / "out")
"""


def _start(folder: Path, root: Path) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", _SCRIPT, str(folder), str(root)], env=environment)


def _finished(root: Path) -> list[Path]:
    """Records of finished results; one still in its scratch folder may be renamed while it is looked at."""
    return [f for f in (root / "store").glob("*/*/record.json") if f.parent.suffix != ".partial"]


def _records(root: Path) -> dict[str, str]:
    """Digest by stage and key."""
    return {f"{f.parent.parent.name}/{f.parent.name}": json.loads(f.read_text())["digest"] for f in _finished(root)}


def _when_written(root: Path) -> dict[Path, int]:
    return {f: f.stat().st_mtime_ns for f in _finished(root)}


def _wait_for(root: Path, records: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 180
    while len(_records(root)) < records and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def test_killed_runs_end_with_the_digests_of_an_unbroken_one(tmp_path: Path) -> None:
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    assert _start(tmp_path / "inputs", unbroken).wait() == 0
    total = len(_records(unbroken))
    for share in (0.05, 0.3, 0.6):
        process = _start(tmp_path / "inputs", killed)
        _wait_for(killed, round(share * total), process)
        before = _when_written(killed)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert before.items() <= _when_written(killed).items()
    finished = _when_written(killed)
    assert 0 < len(finished) < total
    assert _start(tmp_path / "inputs", killed).wait() == 0
    assert finished.items() <= _when_written(killed).items()
    assert _records(killed) == _records(unbroken)
    assert not list((killed / "store").glob("*/*.partial"))
    for name in ("report.md", "vector.safetensors", "model/model.safetensors"):
        assert (killed / "out" / name).exists()
    assert (killed / "out" / "model" / "model.safetensors").read_bytes() == (
        unbroken / "out" / "model" / "model.safetensors"
    ).read_bytes()
