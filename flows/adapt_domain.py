"""The adapt-domain flow. Without a server: python flows/adapt_domain.py configs/demo.yaml."""

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

from asr_tv.config_file import load_config
from asr_tv.errors import UserError
from asr_tv.pipeline.run import require_kept, run
from flows.executor import PrefectExecutor


# One stage at a time: two trainings in one process would fight for its cores.
@flow(
    name="adapt-domain",
    flow_run_name="{config}",
    persist_result=False,
    task_runner=ThreadPoolTaskRunner(max_workers=1),
)
def adapt_domain(
    config: Path,
    target_text: Path | None = None,
    overrides: list[str] | None = None,
    out: Path | None = None,
    store: Path = Path(".store"),
) -> dict[str, Any]:
    """Adapt a recogniser to a new domain from its text.

    Args:
        config: YAML file of the run.
        target_text: the new domain's sentences, one a line; replaces the file's target.
        overrides: section.key=value, over the file.
        out: folder of the results; runs/NAME when not given.
        store: folder of cached stages.
    """
    logger = get_run_logger()
    settings = load_config(config, overrides or (), target_texts=target_text)
    execute = PrefectExecutor(store)
    folder = out or Path("runs") / settings.name
    report = run(settings, execute, folder, announce=lambda p: logger.info(str(p)))
    executed = sum(not done.record.cached for done in execute.done)
    logger.info("%d stages executed, %d cached", executed, len(execute.done) - executed)
    logger.info(report["verdict"])
    require_kept(settings, report["forgetting"], folder)
    return report


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(f"usage: python {sys.argv[0]} CONFIG\nexample: python {sys.argv[0]} configs/demo.yaml")
    try:
        adapt_domain(Path(sys.argv[1]))
    except UserError as error:
        print(*(f"error: {problem}" for problem in error.problems), sep="\n", file=sys.stderr)
        sys.exit(2)
