"""`asr-tv sequence`: one model through several domains, and what it forgets on the way."""

import time
from pathlib import Path
from typing import Annotated

import typer

from asr_tv.cli.adapt import OutOption, SetOption
from asr_tv.cli.stages import DEFAULT_STORE, JsonOption, QuietOption, StoreOption
from asr_tv.safe_text import printable


def sequence(
    config: Annotated[Path, typer.Argument(help="YAML file, such as configs/sequence.yaml")],
    out: OutOption = None,
    store: StoreOption = DEFAULT_STORE,
    set_: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Learn domain after domain from texts alone, and measure after each what is left of those before.

    Rows: none, real (replayed recordings), texts (spoken anew), generated (by a text model of each domain), generated +
    vector, averaged, joint. Leaves sequence.md, sequence.json and sequence.svg.

    Example: asr-tv sequence configs/sequence.yaml
    """
    import json

    from asr_tv.cli.console import console, progress_for
    from asr_tv.cli.stopping import telling_what_is_kept
    from asr_tv.config.file import read_config
    from asr_tv.config.sequence import SequenceConfig
    from asr_tv.pipeline.execution.processes import Processes
    from asr_tv.runs.sequence import SEQUENCE_MD, run_sequence
    from asr_tv.store.results import Store

    start = time.perf_counter()
    settings = read_config(SequenceConfig, config, set_ or ())
    folder = out or Path("runs") / settings.name
    opened = Store(store)
    with telling_what_is_kept(opened.root), Processes(opened, settings.run.jobs, progress_for(quiet=quiet)) as execute:
        report = run_sequence(settings, execute, folder)
        executed = sum(not done.record.cached for done in execute.done)
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False, indent=1))
        return
    for row in report["rows"]:
        final, transfer = 100 * row["final"]["value"], 100 * row["backward_transfer"]["value"]
        typer.echo(
            printable(f"{row['row']}: mean WER at the end {final:.1f} %, backward transfer {transfer:+.1f} points")
        )
    for row in report["replayed"]:
        typer.echo(
            printable(f"texts like {row['domain']}: {100 * row['verbatim']:.0f} % verbatim, {row['bytes']} bytes kept")
        )
    if not quiet:
        console.print(f"{executed} stages executed, {time.perf_counter() - start:.1f} s: {folder / SEQUENCE_MD}")
