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
from flows.runs import NOTHING_NEW, Engine, counted, executing


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
    store: str = ".store",
    out: str = "",
    engine: str = "",
    training_cores: Annotated[int, Field(ge=1)] = 1,
    training_gpus: Annotated[float, Field(gt=0, le=1)] = 1.0,
) -> State[dict[str, Any]]:
    """Make every domain the target in turn and compare all systems.

    Args:
        config: YAML file of the table, on the worker's machine, such as configs/asterisk_all.yaml.
        overrides: Settings that replace the configuration's, one per item, such as training.epochs=5.
        refresh: Stages to run again with all that depend on them, one per item, such as finetune source_real.
        store: Folder of finished stages, or an address such as s3://bucket/asr-tv; the same for all machines.
        out: Folder of the results; runs/NAME when empty.
        engine: Ray cluster, such as ray://10.0.0.1:10001, or ray for this machine's; processes here when empty.
        training_cores: On a cluster, cores of each training and transcription.
        training_gpus: On a cluster with GPUs, share of one that each training and transcription takes.
    """
    loaded = read_config(BenchmarkConfig, Path(config), overrides)
    folder = Path(out) if out else Path("runs") / loaded.name
    where = Engine(engine, training_cores, training_gpus)
    with executing(loaded.name, loaded.run.jobs, store, refresh=refresh, engine=where) as execute:
        report = run_benchmark(loaded, execute, folder, announce=lambda plan: get_run_logger().info(str(plan)))
    executed, stages = counted(execute)
    publish_table(loaded.name, folder, report["conclusions"], stages)
    if (broken := forgot_too_much(loaded, report["forgetting"])) is not None:
        return Failed(message=f"{broken}; everything is kept in {folder}")
    return Completed(name=None if executed else NOTHING_NEW, message=stages, data=report)


if __name__ == "__main__":
    settings.from_command_line(leave_one_domain_out, "configs/asterisk_all.yaml")
