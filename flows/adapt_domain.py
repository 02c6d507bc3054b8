"""The adapt-domain flow. Without a server: python flows/adapt_domain.py configs/demo.yaml."""

import sys
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from flows import settings

settings.prepare()
if __name__ == "__main__":
    settings.alone("adapt")

from prefect import flow, get_run_logger
from prefect.runtime import flow_run
from prefect.states import State
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from asr_tv.config.file import load_config
from asr_tv.runs.run import forgot_too_much, run
from flows.runs import Engine, executing, finished


@flow(
    name="adapt-domain",
    flow_run_name=lambda: f"adapt {Path(flow_run.parameters['config']).stem}",
    persist_result=False,
    timeout_seconds=7 * 24 * 3600,
    task_runner=ThreadPoolTaskRunner(max_workers=64),
)
def adapt_domain(
    config: str,
    target_text: str = "",
    overrides: list[str] = [],  # noqa: B006 - Prefect shows it as the default
    refresh: list[str] = [],  # noqa: B006
    store: str = ".store",
    out: str = "",
    engine: str = "",
    training_cores: Annotated[int, Field(ge=1)] = 1,
    training_gpus: Annotated[float, Field(gt=0, le=1)] = 1.0,
) -> State[dict[str, Any]]:
    """Adapt a recogniser to a new domain from its text.

    Args:
        config: YAML file of the run, on the worker's machine, such as configs/demo.yaml.
        target_text: File with the new domain's sentences, one per line, instead of the configuration's target.
        overrides: Settings that replace the configuration's, one per item, such as training.epochs=5.
        refresh: Stages to run again with all that depend on them, one per item, such as finetune source_real.
        store: Folder of finished stages, or an address such as s3://bucket/asr-tv; the same for all machines.
        out: Folder of the results; runs/NAME when empty.
        engine: Ray cluster, such as ray://10.0.0.1:10001, or ray for this machine's; processes here when empty.
        training_cores: On a cluster, cores of each training and transcription.
        training_gpus: On a cluster with GPUs, share of one that each training and transcription takes.
    """
    loaded = load_config(Path(config), overrides, target_texts=Path(target_text) if target_text else None)
    folder = Path(out) if out else Path("runs") / loaded.name
    where = Engine(engine, training_cores, training_gpus)
    with executing(loaded.name, loaded.run.jobs, store, refresh=refresh, engine=where) as execute:
        report = run(loaded, execute, folder, announce=lambda plan: get_run_logger().info(str(plan)))
    return finished(execute, report, folder, forgot_too_much(loaded, report["forgetting"]))


if __name__ == "__main__":
    settings.from_command_line(adapt_domain, "configs/demo.yaml")
