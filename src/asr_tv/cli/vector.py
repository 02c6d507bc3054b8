"""`asr-tv vector`: task vectors between checkpoints."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from asr_tv.cli.adapt import DEFAULT_STORE
from asr_tv.cli.tools import JsonOption, StoreOption, require_model_folder, say
from asr_tv.errors import ConfigError, UserError, gathered

MODEL = "model"
app = typer.Typer(help="Build task vectors and add them to checkpoints.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def create(
    base: Annotated[str, typer.Argument(help="Model that is subtracted")],
    tuned: Annotated[str, typer.Argument(help="Model it is subtracted from")],
    out: Annotated[Path, typer.Option(help="Vector file, .safetensors")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write the vector TUNED - BASE. SYN2REAL is source_real - source_synthetic.

    Example: asr-tv vector create source_synthetic source_real --out vector.safetensors
    """
    from asr_tv.checkpoint.locate import resolve_model
    from asr_tv.checkpoint.vectors import create_vector
    from asr_tv.store import Store

    shelf = Store(store)
    parents = gathered(*(lambda name=name: resolve_model(name, shelf).path / MODEL for name in (tuned, base)))
    out.parent.mkdir(parents=True, exist_ok=True)
    with _named_as_given({parents[0]: tuned, parents[1]: base}):
        create_vector(parents[0], parents[1], out, provenance={})
    say({"vector": str(out)}, as_json=as_json, text=f"{tuned} - {base}: {out}")


@app.command()
def apply(
    model: Annotated[str, typer.Argument(help="Model the vector is added to")],
    vector: Annotated[Path, typer.Argument(help="Vector file")],
    coef: Annotated[float, typer.Option(help="Scaling coefficient")],
    out: Annotated[Path, typer.Option(help="Folder for the new model")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write MODEL + COEF x VECTOR; the inputs are not touched.

    Example: asr-tv vector apply target_synthetic vector.safetensors --coef 0.4 --out adapted
    """
    from asr_tv.checkpoint.locate import resolve_model
    from asr_tv.checkpoint.vectors import apply_vector
    from asr_tv.store import Store

    require_model_folder(out)
    if out.resolve() == Path(model).resolve():
        raise ConfigError(f"--out {out}: is the model itself")
    start = resolve_model(model, Store(store)).path / MODEL
    with _named_as_given({start: model}):
        apply_vector(start, vector, coef, out)
    say({"model": str(out), "coef": coef}, as_json=as_json, text=f"{model} + {coef:g} x {vector}: {out}")


@contextmanager
def _named_as_given(names: Mapping[Path, str]) -> Iterator[None]:
    """Puts what the user typed in the place of the store's folders in messages."""
    try:
        yield
    except UserError as error:
        problems = list(error.problems)
        for path, name in names.items():
            problems = [problem.replace(str(path), name) for problem in problems]
        raise type(error)(problems) from error
