"""The assist flow: a helper of another run, on another worker; it runs stages and writes no run folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from flows import settings

settings.prepare()

from typing import Literal
from uuid import UUID

import prefect
from prefect.states import Completed, State
from prefect.task_runners import ThreadPoolTaskRunner

from asr_tv.config.benchmark import BenchmarkConfig
from asr_tv.config.file import load_config, read_config
from asr_tv.config.run import AdaptConfig
from asr_tv.pipeline.benchmark import benchmark
from asr_tv.pipeline.execution.processes import Processes
from asr_tv.pipeline.execution.refresh import Refresh
from asr_tv.pipeline.graph import adapt
from asr_tv.pipeline.preflight import named_voices
from asr_tv.store.object_storage import open_store
from flows.executor import PrefectExecutor
from flows.machines import LeaderEnded, until_ended
from flows.settings import show_library_logs


@prefect.flow(name="assist", persist_result=False, task_runner=ThreadPoolTaskRunner(max_workers=64))
def assist(
    leader: UUID,
    config: str,
    store: str,
    target_text: str = "",
    overrides: list[str] = [],  # noqa: B006 - Prefect shows it as the default
    refresh: list[str] = [],  # noqa: B006
    since: float = 0.0,
    shards: int = 4,
    flow: Literal["adapt-domain", "leave-one-domain-out"] = "adapt-domain",
) -> State[None]:
    """Help a run that asked for helpers; started by that run, not by people.

    Args:
        leader: the flow run that asked for help.
        config: the leader's configuration file.
        store: the leader's store, which both must reach.
        target_text: the leader's target_text.
        overrides: the leader's overrides.
        refresh: the leader's stages to run again.
        since: when the leader was asked to refresh, in seconds since the epoch.
        shards: number of parts that each synthesis is divided into.
        flow: the leader's flow.
    """
    show_library_logs()
    loaded: AdaptConfig
    if flow == "adapt-domain":
        loaded = load_config(Path(config), overrides, target_texts=Path(target_text) if target_text else None)
    else:
        loaded = read_config(BenchmarkConfig, Path(config), overrides)
    loaded = named_voices(loaded)
    try:
        with Processes(open_store(store), loaded.run.jobs, refresh=Refresh(refresh, since)) as runner:
            execute = PrefectExecutor(
                runner, f"{loaded.name} helper", shards=shards, last_first=True, go_on=until_ended(leader)
            )
            if isinstance(loaded, BenchmarkConfig):
                benchmark(loaded, execute)
            else:
                adapt(loaded, execute)
    except LeaderEnded:
        return Completed(message="the run that asked for help is over")
    executed = sum(not done.record.cached for done in execute.done)
    return Completed(message=f"{executed} stages executed here, {len(execute.done) - executed} taken from the store")
