"""A run that is killed or stopped anywhere goes on: nothing finished is redone, and its bytes are an unbroken run's.

`benchmarks/crashes.py` does the same as often as one likes, also with real weights, and as a soak.
"""

import shutil
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

from asr_tv.config.run import AdaptConfig
from asr_tv.testing.crashes import Work, crash, fake_benchmark, summary


def test_a_broken_adaptation_ends_as_an_unbroken_one(unbroken: tuple[AdaptConfig, Path], tmp_path: Path) -> None:
    """The unbroken run is the session's: the first process of `crash` finds it finished, and writes its outputs."""
    config, root = unbroken
    (tmp_path / "adapt.yaml").write_text(config.model_dump_json())
    work = Work("adapt", tmp_path / "adapt.yaml")
    shutil.copytree(root / "store", tmp_path / "runs" / "unbroken" / "store")
    toll = crash(work, tmp_path / "runs", kills=4, seed=1, signals=(SIGKILL, SIGINT, SIGKILL, SIGTERM))
    assert toll.problems == [], summary(toll)
    assert toll.killed == 4
    assert len(toll.kills) >= 3  # kinds of stages


def test_a_broken_table_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    toll = crash(fake_benchmark(tmp_path), tmp_path / "runs", kills=2, seed=1)
    assert toll.problems == [], summary(toll)
    assert toll.killed == 2
