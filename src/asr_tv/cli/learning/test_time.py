"""`asr-tv test-time`: every method of test-time adaptation on one model and one manifest, with intervals."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr_tv.cli.learning.options import AdaptSetOption, parsed_adaptation
from asr_tv.cli.models import model_path
from asr_tv.cli.stages import (
    DEFAULT_STORE,
    JsonOption,
    LanguageOption,
    OutsideOption,
    QuietOption,
    StoreOption,
    runtime_for,
)
from asr_tv.errors import ConfigError, gathered

if TYPE_CHECKING:
    from asr_tv.config.test_time import Adaptation

METHODS = "none,pseudo-label,suta,continual,fast-slow,fast-slow+reset"


def adaptations(
    model: Annotated[str, typer.Argument(help="CTC model: run, folder, hub name, hama, or tuned hama-letters")],
    manifest: Annotated[Path, typer.Argument(help="JSONL manifest with audio and texts, in the order of time")],
    methods: Annotated[str, typer.Option(help="Comma-separated")] = METHODS,
    orders: Annotated[int, typer.Option(min=1, help="Orders of the recordings for methods that go on and on")] = 1,
    adapt_set: AdaptSetOption = None,
    normalizer: Annotated[str, typer.Option(help="english, basic, characters or none (phonemes)")] = "english",
    resamples: Annotated[int, typer.Option(min=100)] = 2000,
    out: Annotated[Path | None, typer.Option(help="Folder for test_time.json and test_time.md")] = None,
    language: LanguageOption = "en",
    outside: OutsideOption = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare the ways in which a CTC model can adapt to recordings without labels, against itself as it is.

    The texts of the manifest are for scoring alone. Every row is cached; a stopped table goes on where it was.

    Example: asr-tv test-time hama calls.jsonl --normalizer none --out runs/tta
    """
    from asr_tv.cli.console import print_tables
    from asr_tv.data.corpora.local import read_manifest
    from asr_tv.models.family import family_of
    from asr_tv.models.locate import resolve_model
    from asr_tv.pipeline.unlabelled.table import adaptation_table, hearing_with
    from asr_tv.report.learning.adapted import adapted_rows, adapted_table
    from asr_tv.report.table import as_markdown
    from asr_tv.scoring.bootstrap import Bootstrap
    from asr_tv.store.payload import MODEL
    from asr_tv.store.results import write_atomically
    from asr_tv.text.normalize import get_normalizer

    runtime = runtime_for(store, quiet=quiet)
    chosen, recordings, normalize, base = gathered(
        lambda: _chosen(methods, adapt_set or []),
        lambda: read_manifest(manifest, outside=outside, store=store),
        lambda: get_normalizer(normalizer),
        lambda: resolve_model(model_path(model), runtime.store),
    )
    if family_of(base.path / MODEL) != "ctc":
        raise ConfigError(
            f"{model}: test-time adaptation is for CTC models; for a Whisper: asr-tv finetune --labels self"
        )
    scores = adaptation_table(
        hearing_with(runtime, base), recordings, chosen, normalize, Bootstrap(resamples, 0.95, 17), language, orders
    )
    rows = adapted_rows(scores)
    content = {
        "model": model,
        "recordings": len(recordings),
        "seconds": round(recordings.seconds, 1),
        "rows": rows,
        "heard_without_labels": [{"manifest": recordings.name, "digest": recordings.digest, "systems": list(chosen)}],
    }
    if out is not None:
        write_atomically(out / "test_time.json", json.dumps(content, ensure_ascii=False, indent=1) + "\n")
        write_atomically(out / "test_time.md", as_markdown(adapted_table(rows), cell_limit=None))
    if as_json:
        typer.echo(json.dumps(content, ensure_ascii=False))
    else:
        print_tables(adapted_table(rows))


def _chosen(methods: str, settings: list[str]) -> "dict[str, Adaptation]":
    """The methods by the name of their row; the unadapted row comes by itself."""
    names = [name.strip() for name in methods.split(",") if name.strip() not in ("", "none")]
    known = METHODS.split(",")
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"--methods: there is no {', '.join(unknown)}; methods: {', '.join(known)}")
    if not names:
        raise ConfigError(f"--methods: none to compare; methods: {', '.join(known)}")
    return dict(
        gathered(
            *(lambda name=name: (name.replace("-", "_"), _with_reset(name, settings)) for name in dict.fromkeys(names))
        )
    )


def _with_reset(name: str, settings: list[str]) -> "Adaptation":
    method, _, reset = name.partition("+")
    own = [f"reset={'drift' if reset else 'never'}"] if method == "fast-slow" else []
    return parsed_adaptation(method, [*own, *settings])
