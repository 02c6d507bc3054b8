"""The leave-one-domain-out flow. Without a server: python flows/leave_one_domain_out.py configs/asterisk_all.yaml."""

import os
import sys
from pathlib import Path
from typing import Any

# Before Prefect reads its settings: a server it starts for this run reports nothing to anybody.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

from prefect import flow, get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from asr_tv.benchmark_config import BenchmarkConfig
from asr_tv.config_file import read_config
from asr_tv.errors import UserError
from asr_tv.pipeline.leave_one_out_run import run_benchmark
from asr_tv.pipeline.run import require_kept
from flows.executor import PrefectExecutor


# One stage at a time: two trainings in one process would fight for its cores.
@flow(
    name="leave-one-domain-out",
    flow_run_name="{config}",
    persist_result=False,
    task_runner=ThreadPoolTaskRunner(max_workers=1),
)
def leave_one_domain_out(
    config: str, overrides: list[str] | None = None, out: str | None = None, store: str = ".store"
) -> dict[str, Any]:
    """Make every domain the target in turn and compare all systems.

    Args:
        config: YAML file of the table.
        overrides: section.key=value, over the file.
        out: folder of the results; runs/NAME when not given.
        store: folder of cached stages.
    """
    logger = get_run_logger()
    settings = read_config(BenchmarkConfig, Path(config), overrides or ())
    folder = Path("runs") / settings.name if out is None else Path(out)
    execute = PrefectExecutor(Path(store))
    report = run_benchmark(settings, execute, folder, announce=lambda plan: logger.info(str(plan)))
    for conclusion in report["conclusions"]:
        logger.info(conclusion)
    require_kept(settings, report["forgetting"], folder)
    return report


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(f"usage: python {sys.argv[0]} CONFIG\nexample: python {sys.argv[0]} configs/asterisk_all.yaml")
    try:
        leave_one_domain_out(sys.argv[1])
    except UserError as error:
        print(*(f"error: {problem}" for problem in error.problems), sep="\n", file=sys.stderr)
        sys.exit(2)
