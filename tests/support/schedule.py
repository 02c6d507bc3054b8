"""Which test files run in one process, and which begin: what is dear is set up once, and the processes end together."""

from typing import Any

FIRST = (
    (
        "tests/end_to_end/test_commands.py",
        "tests/report/test_browser.py",
        "tests/runs/trial/test_browser.py",
    ),  # slice_report
    ("tests/faults/test_store_faults.py", "tests/faults/test_store_races.py", "tests/store/test_garbage.py"),  # whole
    ("tests/faults/test_kill.py", "tests/pipeline/test_speech.py"),  # unbroken
    ("tests/pipeline/execution/test_cluster.py",),
    ("tests/pipeline/test_benchmark.py",),
    ("tests/end_to_end/test_pipeline.py",),
    ("tests/flows/test_flows.py",),
    ("tests/runs/test_export.py",),
    ("tests/pipeline/test_keys.py",),
    ("tests/synthesis/gate/test_gate.py",),
    ("tests/synthesis/test_synthesize.py",),
    ("tests/training/test_finetune.py",),
    ("tests/models/test_locate.py",),
    ("tests/decoding/biasing/test_noise.py",),
    ("tests/synthesis/engines/test_bark.py",),
    ("tests/end_to_end/test_slurp_run.py",),
)
"""The longest first; files of one group share a session fixture and therefore a process."""

PLACES = {file: place for place, files in enumerate(FIRST) for file in files}


def file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def place_of(nodeid: str) -> int:
    """Where a test's file stands in the order of the run."""
    return PLACES.get(file_of(nodeid), len(FIRST))


def longest_first(config: Any, log: Any) -> Any:
    """A scheduler for xdist that hands out whole groups of `FIRST`, then whole files, in the order of collection.

    xdist's own `--dist loadgroup` cannot: it adds the group to the names of tests, which pytest 9.2 no longer lets it.
    """
    from xdist.scheduler import LoadScopeScheduling

    class LongestFirst(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = file_of(nodeid)
            return FIRST[PLACES[file]][0] if file in PLACES else file

    config.option.loadscopereorder = False
    return LongestFirst(config, log)
