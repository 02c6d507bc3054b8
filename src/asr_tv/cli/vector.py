"""`asr-tv vector`: task vectors between checkpoints."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr_tv.cli.adapt import DEFAULT_STORE
from asr_tv.cli.tools import JsonOption, StoreOption, require_model_folder, say
from asr_tv.errors import ConfigError, UserError, gathered

if TYPE_CHECKING:
    from asr_tv.checkpoint.combine import VectorInfo
    from asr_tv.similarity import Part

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
    coef: Annotated[
        list[str], typer.Option(help="Scaling coefficient, or one for a module, such as encoder=0.3; repeatable")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the new model")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write MODEL + COEF x VECTOR; the inputs are not touched.

    Modules: encoder, decoder, embedding, conv_stem, layers as encoder.layers.0-3, or decoder.layers.*.encoder_attn;
    the most specific wins, and a plain number is for the rest.

    Example: asr-tv vector apply target_synthetic vector.safetensors --coef 0.4 --out adapted

    Example: asr-tv vector apply tuned v.safetensors --coef 0.3 --coef decoder=0.6 --coef embedding=0 --out adapted
    """
    from asr_tv.checkpoint.locate import resolve_model
    from asr_tv.checkpoint.vectors import apply_vector
    from asr_tv.store import Store

    whole, by_module = _coefficients(coef)
    require_model_folder(out)
    if out.resolve() == Path(model).resolve():
        raise ConfigError(f"--out {out}: is the model itself")
    start = resolve_model(model, Store(store)).path / MODEL
    with _named_as_given({start: model}):
        apply_vector(start, vector, whole, out, by_module)
    shown = ", ".join(coef) if by_module else f"{whole:g}"
    row = {"model": str(out), "coef": whole} | ({"by_module": by_module} if by_module else {})
    say(row, as_json=as_json, text=f"{model} + {shown} x {vector}: {out}")


def _coefficients(texts: Sequence[str]) -> tuple[float | None, dict[str, float]]:
    """The plain coefficient, and those of module patterns."""
    pairs = [text.rpartition("=") for text in texts]
    problems = [f"--coef {pattern or 'N'}: given twice" for pattern in _repeated(pattern for pattern, _, _ in pairs)]
    by_module: dict[str, float] = {}
    for text, (pattern, equals, number) in zip(texts, pairs, strict=True):
        if equals and not pattern:
            problems.append(f"--coef {text}: no module before the equals sign")
        try:
            by_module[pattern] = float(number)
        except ValueError:
            problems.append(f"--coef {text}: {number!r} is not a number")
    if problems:
        raise ConfigError(problems)
    return by_module.pop("", None), by_module


def _repeated(words: Iterable[str]) -> list[str]:
    return sorted(word for word, count in Counter(words).items() if count > 1)


@app.command()
def combine(
    vectors: Annotated[list[Path], typer.Argument(help="Vector files")],
    method: Annotated[str, typer.Option(help="mean, sum, ties, dare or dare-ties")],
    out: Annotated[Path, typer.Option(help="Vector file, .safetensors")],
    coef: Annotated[list[float] | None, typer.Option(help="sum, dare: one a vector, in their order")] = None,
    keep: Annotated[float | None, typer.Option(help="ties: share of entries kept  [default: 0.2]")] = None,
    drop: Annotated[float | None, typer.Option(help="dare: probability of dropping  [default: 0.9]")] = None,
    seed: Annotated[int | None, typer.Option(help="dare: of the dropping  [default: 17]")] = None,
    as_json: JsonOption = False,
) -> None:
    """Merge vectors into one. Several domains: mean, ties. A vector negated: --method sum --coef -1.

    ties keeps the largest entries of each vector, then those that agree in sign; dare drops entries at random and
    divides the rest by 1 - drop; dare-ties does both.

    Example: asr-tv vector combine a.safetensors b.safetensors --method ties --keep 0.2 --out both.safetensors

    Example: asr-tv vector combine a.safetensors b.safetensors --method sum --coef 1 --coef -1 --out difference
    """
    from asr_tv.checkpoint.combine import combine_vectors
    from asr_tv.merging import Merge

    merge = Merge(method, tuple(coef) if coef else None, keep, drop, seed)
    combine_vectors(vectors, out, merge)
    settings = {name: value for name, value in merge.parameters.items() if value is not None}
    text = ", ".join([method, *(f"{name} {value}" for name, value in settings.items())])
    row = {"vector": str(out), "method": method, **settings}
    say(row, as_json=as_json, text=f"{text} of {len(vectors)} vectors: {out}")


@app.command()
def compare(
    vectors: Annotated[list[Path], typer.Argument(help="Vector files")],
    as_json: JsonOption = False,
) -> None:
    """Print norms and cosines of vectors: whole, by module group, by layer.

    A cosine near 1: the domains teach the same; near 0: their vectors add up undisturbed; below 0: they fight.

    Example: asr-tv vector compare voicemail.safetensors conference.safetensors --json
    """
    from asr_tv.checkpoint.combine import compare_vectors

    parts = compare_vectors(vectors)
    row = {"vectors": [str(path) for path in vectors], "parts": [asdict(part) for part in parts]}
    say(row, as_json=as_json, text=_comparison(vectors, parts))


def _comparison(vectors: Sequence[Path], parts: Iterable["Part"]) -> str:
    pairs = list(combinations(range(len(vectors)), 2))
    header = ["part", *(f"norm {i + 1}" for i in range(len(vectors))), *(f"cos {i + 1},{j + 1}" for i, j in pairs)]
    rows = [[part.name, *(f"{norm:.4g}" for norm in part.norms), *_cosines(part, pairs)] for part in parts]
    files = [f"{number}  {path}" for number, path in enumerate(vectors, start=1)]
    return "\n".join([*files, "", *_columns([header, *rows])])


def _cosines(part: "Part", pairs: Iterable[tuple[int, int]]) -> list[str]:
    values = (part.cosines[i][j] for i, j in pairs)
    return ["-" if value is None else f"{value:.3f}" for value in values]


@app.command()
def info(
    vector: Annotated[Path, typer.Argument(help="Vector file")],
    as_json: JsonOption = False,
) -> None:
    """Print what a vector is made of, its size and norm, and those of its module groups.

    Example: asr-tv vector info voicemail.safetensors
    """
    from asr_tv.checkpoint.combine import describe_vector

    described = describe_vector(vector)
    groups = [
        {"name": part.name, "tensors": part.tensors, "parameters": part.parameters, "norm": part.norms[0]}
        for part in described.groups
    ]
    say(asdict(described) | {"path": str(vector), "groups": groups}, as_json=as_json, text=_description(described))


def _description(described: "VectorInfo") -> str:
    facts = {"digest": described.digest, **described.recipe, **described.architecture, **described.versions}
    rows = [["part", "tensors", "parameters", "norm"]]
    rows += [["whole", str(described.tensors), f"{described.parameters:,}", f"{described.norm:.4g}"]]
    rows += [[p.name, str(p.tensors), f"{p.parameters:,}", f"{p.norms[0]:.4g}"] for p in described.groups]
    return "\n".join([str(described.path), *(f"  {k}: {v}" for k, v in facts.items()), "", *_columns(rows)])


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return ["  ".join(row) for row in cells]


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
