"""`asr-tv try`: a local page to speak to a run's models, or to any two."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr_tv.cli.models import model_path, model_settings
from asr_tv.cli.stages import DEFAULT_STORE, StoreOption
from asr_tv.errors import ConfigError
from asr_tv.safe_text import printable

if TYPE_CHECKING:
    from asr_tv.runs.trial.listeners import Listeners
    from asr_tv.runs.trial.sides import Comparison
    from asr_tv.runs.trial.trial import Trial
    from asr_tv.store.results import Store


def try_models(
    models: Annotated[list[str], typer.Argument(metavar="RUN | RUN RUN | MODEL MODEL", help="Folder of a run, or two")],
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="  [default: the first free from 7860]")] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Folder for corrections and recordings  [default: RUN/corrections]")
    ] = None,
    share: Annotated[bool, typer.Option("--share", help="Refused: the page is for this machine only")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Open a page on this machine: say a sentence and see what each model hears, side by side.

    Example: asr-tv try runs/demo
    """
    _require_gradio()
    if share:
        raise ConfigError(f"--share: refused: what people say stays on this machine; {_FROM_ELSEWHERE}")
    from asr_tv.runs.trial.listeners import loaded
    from asr_tv.runs.trial.served import listen_on, serve
    from asr_tv.runs.trial.sides import comparison_of
    from asr_tv.store.results import Store

    compared, opened = comparison_of(models, _found), Store(store)
    with listen_on(port) as listening, loaded(compared.sides, opened) as listeners:
        _tell_pace(listeners)
        page = _trial(compared, listeners, opened, keep)
        serve(page, listening, lambda address: typer.echo(f"{address} (Ctrl-C ends it)", err=True))


def _found(model: str) -> tuple[str, dict[str, Any]]:
    path = model_path(model)
    return path, model_settings(path)


def _require_gradio() -> None:
    if find_spec("gradio") is None:
        raise ConfigError('asr-tv try needs Gradio, which is not installed: pip install "asr-tv[try]"')


def _tell_pace(listeners: "Listeners") -> None:
    """Prints how long each model takes for a short clip."""
    from asr_tv.runs.trial.listeners import PACE_SECONDS

    for answer in listeners.paces():
        told = answer.problem or f"{answer.seconds:.2f} s for {PACE_SECONDS:g} s of sound"
        typer.echo(printable(f"{answer.side}: {told}", keep=""), err=True)


def _trial(compared: "Comparison", listeners: "Listeners", store: "Store", keep: Path | None) -> "Trial":
    from asr_tv.runs.trial.keeping import FOLDER, Keeper
    from asr_tv.runs.trial.sentences import sentences_of
    from asr_tv.runs.trial.trial import Trial

    run = compared.run
    folder = keep or (run.folder / FOLDER if run else None)
    keeper = Keeper(folder, run.report["target_domain"] if run else "default") if folder else None
    return Trial(compared.title, listeners, sentences_of(run, store) if run else (), keeper)


_FROM_ELSEWHERE = "from another one of yours, ssh -L 7860:127.0.0.1:7860 brings the page there"
