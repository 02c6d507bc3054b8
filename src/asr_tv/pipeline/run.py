"""One run: the graph, then its report and outputs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from asr_tv.config import AdaptConfig
from asr_tv.pipeline.executor import Executor
from asr_tv.pipeline.graph import adapt
from asr_tv.pipeline.outputs import note_start, report_of, write_outputs
from asr_tv.pipeline.plan import Plan
from asr_tv.pipeline.preflight import check


def run(
    config: AdaptConfig, execute: Executor, folder: Path, *, announce: Callable[[Plan], Any] = lambda plan: None
) -> dict[str, Any]:
    """Runs the configuration and leaves report, model and vector in `folder`; returns the report."""
    check(config)
    note_start(config, folder)
    outcome = adapt(config, execute, announce)
    report = report_of(config, outcome, execute.done)
    write_outputs(config, outcome, report, folder)
    return report
