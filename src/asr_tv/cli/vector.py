"""`asr-tv vector`: task vectors between checkpoints."""

from pathlib import Path
from typing import Annotated

import typer

from asr_tv.cli.adapt import DEFAULT_STORE
from asr_tv.cli.tools import JsonOption, StoreOption, _say

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
    parents = [resolve_model(name, shelf).path / "model" for name in (tuned, base)]
    out.parent.mkdir(parents=True, exist_ok=True)
    create_vector(parents[0], parents[1], out, provenance={})
    _say({"vector": str(out)}, as_json=as_json, text=f"{tuned} - {base}: {out}")


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

    record = resolve_model(model, Store(store))
    apply_vector(record.path / "model", vector, coef, out)
    _say({"model": str(out), "coef": coef}, as_json=as_json, text=f"{model} + {coef:g} x {vector}: {out}")
