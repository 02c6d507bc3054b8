"""`asr-tv adapt`, the whole method, and `asr-tv benchmark`, the leave-one-domain-out table."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from asr_tv.cli.stages import DEFAULT_STORE, JsonOption, QuietOption, StoreOption
from asr_tv.safe_text import printable

OutOption = Annotated[Path | None, typer.Option(help="Folder of the results  [default: runs/NAME]")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="section.key=value, over the file; repeatable")]


def adapt(
    config: Annotated[Path, typer.Argument(help="YAML file of the run, such as configs/demo.yaml")],
    target_text: Annotated[
        Path | None, typer.Option(help="The new domain's sentences, one per line; replaces the file's target")
    ] = None,
    out: OutOption = None,
    store: Annotated[str, typer.Option(help="Cached stages: a folder, or s3://bucket/path")] = str(DEFAULT_STORE),
    refresh: Annotated[
        list[str] | None,
        typer.Option(help='Run a stage and all that follow it again, such as "finetune source_real"; repeatable'),
    ] = None,
    set_: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json")] = False,
    quiet: QuietOption = False,
) -> None:
    """Adapt a recogniser to a new domain from its text, and report what was gained.

    Example: asr-tv adapt configs/demo.yaml --target-text my_sentences.txt
    """
    from asr_tv.cli.console import console, progress_for
    from asr_tv.cli.stopping import telling_what_is_kept
    from asr_tv.config.file import load_config
    from asr_tv.pipeline.execution.processes import Processes
    from asr_tv.pipeline.execution.refresh import Refresh, asked_now
    from asr_tv.runs.promotion import promote
    from asr_tv.runs.run import forgot_too_much, require_kept, run
    from asr_tv.store.object_storage import open_store

    start = time.perf_counter()
    opened = open_store(store)
    again = Refresh(refresh or (), asked_now(opened.root) if refresh else 0.0)
    settings = load_config(config, set_ or (), target_texts=target_text)
    folder = out or Path("runs") / settings.name
    shown = progress_for(quiet=quiet)
    with telling_what_is_kept(opened.root), Processes(opened, settings.run.jobs, shown, again) as execute:
        report = run(settings, execute, folder, announce=lambda plan: None if quiet else console.print(printable(plan)))
    again.require_matched([done.label for done in execute.done])
    promotion = promote(folder, report, forgot_too_much(settings, report["forgetting"]))
    executed = sum(not done.record.cached for done in execute.done)
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False, indent=1))
    else:
        print_report(report)
    if not quiet:
        seconds = time.perf_counter() - start
        console.print(
            f"{executed} stages executed, {len(execute.done) - executed} cached, {seconds:.1f} s; "
            f"report: {folder / 'report.html'}; model: {folder / 'model'}"
        )
    if not promotion.promoted:
        console.print(printable(f"{folder / 'current'} stays at the last good model: {promotion.reason}"))
    require_kept(settings, report["forgetting"], folder)


def print_report(report: dict[str, Any]) -> None:
    """Print the WER tables and the verdict of a report.json."""
    from asr_tv.cli.console import print_tables, print_text
    from asr_tv.report.score_tables import wer_tables

    print_tables(*wer_tables(report))
    print_text(report["verdict"])


def benchmark(
    config: Annotated[Path, typer.Argument(help="YAML file, such as configs/asterisk_all.yaml")],
    out: OutOption = None,
    store: StoreOption = DEFAULT_STORE,
    set_: SetOption = None,
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
