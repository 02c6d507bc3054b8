"""The leave-one-domain-out flow. Without a server: python flows/leave_one_domain_out.py configs/asterisk_all.yaml."""

import sys
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from flows import settings

settings.prepare()
if __name__ == "__main__":
    settings.alone("benchmark")

from prefect import flow, get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from asr_tv.config.benchmark import BenchmarkConfig
from asr_tv.config.file import read_config
from asr_tv.runs.benchmark import run_benchmark
from asr_tv.runs.run import forgot_too_much
from flows.artifacts import publish_table
from flows.runs import NOTHING_NEW, counted, executing


@flow(
    name="leave-one-domain-out",
    flow_run_name=lambda: f"leave one out {Path(flow_run.parameters['config']).stem}",
    persist_result=False,
    timeout_seconds=30 * 24 * 3600,
    task_runner=ThreadPoolTaskRunner(max_workers=64),
)
def leave_one_domain_out(
    config: str,
    overrides: list[str] = [],  # noqa: B006 - Prefect shows it as the default
    refresh: list[str] = [],  # noqa: B006
    helpers: Annotated[int, Field(ge=0, le=64)] = 0,
    store: str = ".store",
    out: str = "",
) -> State[dict[str, Any]]:
    """Make every domain the target in turn and compare all systems.

    Args:
        config: YAML file of the table, on the worker's machine, such as configs/asterisk_all.yaml.
        overrides: Settings that replace the configuration's, one per item, such as training.epochs=5.
        refresh: Stages to run again with all that depend on them, one per item, such as finetune source_real.
        helpers: Number of further workers that share the work; 0 for one machine.
        store: Folder of finished stages, or an address such as s3://bucket/asr-tv; the same for all machines.
        out: Folder of the results; runs/NAME when empty.
    """
    loaded = read_config(BenchmarkConfig, Path(config), overrides)
    folder = Path(out) if out else Path("runs") / loaded.name
    same = {"config": config, "overrides": overrides, "flow": "leave-one-domain-out"}
    with executing(loaded.name, loaded.run.jobs, store, refresh=refresh, helpers=helpers, same=same) as execute:
        report = run_benchmark(loaded, execute, folder, announce=lambda plan: get_run_logger().info(str(plan)))
    executed, stages = counted(execute)
    publish_table(loaded.name, folder, report["conclusions"], stages)
    if (broken := forgot_too_much(loaded, report["forgetting"])) is not None:
        return Failed(message=f"{broken}; everything is kept in {folder}")
    return Completed(name=None if executed else NOTHING_NEW, message=stages, data=report)


if __name__ == "__main__":
    settings.from_command_line(leave_one_domain_out, "configs/asterisk_all.yaml")
