"""`asr-tv benchmark`: the leave-one-domain-out table."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from asr_tv.cli.adapt import DEFAULT_STORE
from asr_tv.cli.stages import JsonOption, QuietOption, StoreOption
from asr_tv.safe_text import printable


def benchmark(
    config: Annotated[Path, typer.Argument(help="YAML file, such as configs/asterisk_all.yaml")],
    out: Annotated[Path | None, typer.Option(help="Folder of the results  [default: runs/NAME]")] = None,
    store: StoreOption = DEFAULT_STORE,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value, over the file; repeatable")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make every domain the target in turn and compare all systems: benchmark.md and benchmark.json.

    Example: asr-tv benchmark configs/asterisk_all.yaml
    """
    from asr_tv.cli.console import console, progress_for
    from asr_tv.cli.stopping import telling_what_is_kept
    from asr_tv.config.benchmark import BenchmarkConfig
    from asr_tv.config.file import read_config
    from asr_tv.pipeline.execution.processes import Processes
    from asr_tv.runs.benchmark import TABLE_MD, run_benchmark
    from asr_tv.runs.run import require_kept
    from asr_tv.store.results import Store

    start = time.perf_counter()
    settings = read_config(BenchmarkConfig, config, set_ or ())
    folder = out or Path("runs") / settings.name
    opened = Store(store)
    with telling_what_is_kept(opened.root), Processes(opened, settings.run.jobs, progress_for(quiet=quiet)) as execute:
        report = run_benchmark(
            settings, execute, folder, announce=lambda plan: None if quiet else console.print(printable(plan))
        )
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False, indent=1))
    else:
        typer.echo(printable("\n".join(report["conclusions"])))
    if not quiet:
        console.print(f"{report['executed']} stages executed, {time.perf_counter() - start:.1f} s: {folder / TABLE_MD}")
    require_kept(settings, report["forgetting"], folder)
