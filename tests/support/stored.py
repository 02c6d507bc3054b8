"""What the tests of the store share: a small whole run on fakes, and what a store holds."""

import json
import os
from pathlib import Path

from asr_tv.config.run import AdaptConfig
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.runs.run import run
from asr_tv.store.results import Store
from asr_tv.testing.runs import fake_config


def small_config(folder: Path) -> AdaptConfig:
    """Every kind of stage, five trainings of one epoch."""
    fixed = {"start": "pretrained", "augmentation": False, "scaling_coef": 0.5}
    return fake_config(folder, selection={"method": "fixed", "fixed": fixed}, training__epochs=1, synthesis__takes=1)


def finish(config: AdaptConfig, root: Path, out: str = "out") -> InProcess:
    """Runs it with the store below `root`."""
    execute = InProcess(Store(root / "store"))
    run(config, execute, root / out)
    return execute


def executed(execute: InProcess) -> list[str]:
    return [done.label for done in execute.done if not done.record.cached]


def digests(root: Path) -> dict[str, str]:
    """Of finished results, by stage/key."""
    found = [f for f in (root / "store").glob("*/*/record.json") if f.parent.suffix != ".partial"]
    return {f"{f.parent.parent.name}/{f.parent.name}": json.loads(f.read_text())["digest"] for f in found}


def made_at(root: Path) -> dict[Path, int]:
    found = [f for f in (root / "store").glob("*/*/record.json") if f.parent.suffix != ".partial"]
    return {f: f.stat().st_mtime_ns for f in found}


def flip(path: Path, at: float = 0.5) -> None:
    """Another bit in one byte; the file system tells of it."""
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)
