"""`asr-tv vector`: task vectors between checkpoints."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr_tv.cli.stages import DEFAULT_STORE, JsonOption, StoreOption, require_model_folder, say
from asr_tv.errors import ConfigError, UserError, gathered
from asr_tv.safe_text import printable
from asr_tv.store.payload import MODEL

if TYPE_CHECKING:
    from asr_tv.vectors.apply import Addend
    from asr_tv.vectors.combine import VectorInfo
    from asr_tv.vectors.compatibility import Embedding
    from asr_tv.vectors.similarity import PartSimilarity

app = typer.Typer(
    help="Build task vectors of any safetensors model and add them: learn, forget, carry over, chat.\n\n"
    "A MODEL is a folder with model.safetensors or its shards, a .safetensors file, or, for Whisper, also what the "
    "other commands take: a name, a CTranslate2 folder, an openai-whisper .pt.\n\n"
    "Example: asr-tv vector create base tuned --out v.safetensors",
    no_args_is_help=True,
    rich_markup_mode=None,
)

EmbeddingOption = Annotated[
    str, typer.Option(help="same: equal tokens; skip: leave embedding and head out; shared: rows both sides have")
]
RowOption = Annotated[
    list[str] | None,
    typer.Option(help="Token of the new model = token whose row it takes, such as 32011=32000; repeatable"),
]
CoefOption = Annotated[
    list[str],
    typer.Option(
        "--coef",
        "--scaling-coef",
        help="Scaling coefficient, negative to forget; one per vector, or per module as encoder=0.3; repeatable",
    ),
]


@app.command()
def create(
    base: Annotated[str, typer.Argument(help="Model that is subtracted")],
    tuned: Annotated[str, typer.Argument(help="Model it is subtracted from")],
    out: Annotated[Path, typer.Option(help="Vector file, .safetensors")],
    embedding: EmbeddingOption = "same",
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write the vector TUNED - BASE. SYN2REAL is source_real - source_synthetic.

    Example: asr-tv vector create source_synthetic source_real --out vector.safetensors

    Example: asr-tv vector create Llama Llama-chat --embedding skip --out chat.safetensors
    """
    from asr_tv.vectors.files import create_vector

    way = _embedding(embedding)
    paths = _models((tuned, base), store)
    out.parent.mkdir(parents=True, exist_ok=True)
    with _named_as_given(dict(zip(paths, (tuned, base), strict=True))):
        create_vector(paths[0], paths[1], out, {}, way)
    say({"vector": str(out)}, as_json=as_json, text=f"{tuned} - {base}: {out}")


@app.command()
def apply(
    model: Annotated[str, typer.Argument(help="Model the vectors are added to")],
    vectors: Annotated[list[Path], typer.Argument(help="Vector files")],
    coef: CoefOption,
    out: Annotated[Path, typer.Option(help="Folder for the new model; a file if MODEL is a file")],
    embedding: EmbeddingOption = "same",
    row: RowOption = None,
    rows_from: Annotated[Path | None, typer.Option(help="Model of those rows: the TUNED of a vector")] = None,
    other_base: Annotated[
        bool, typer.Option("--other-base", help="Add vectors to a model they were not made on")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write MODEL + COEF x VECTOR + ..., in MODEL's shards and types, with its other files; inputs are not touched.

    A vector belongs to the model it was made on. SYN2REAL and chat vectors are meant for another: --other-base.

    Modules: encoder, decoder, embedding, conv_stem, layers as encoder.layers.0-3 or layers.4-7, or
    decoder.layers.*.encoder_attn; the most specific wins, and a plain number is for the rest.

    Example, two domains learnt: asr-tv vector apply base a.safetensors b.safetensors --coef 0.5 --coef 0.5 --out both

    Example, one forgotten: asr-tv vector apply base a.safetensors --coef -0.4 --out without

    Example: asr-tv vector apply target_synthetic syn2real.safetensors --coef 0.4 --other-base --out adapted

    Example: asr-tv vector apply base v.safetensors --coef 0.3 --coef decoder=0.6 --coef embedding=0 --out adapted

    Example: asr-tv vector apply Llama-ja chat.safetensors --coef 1 --other-base --embedding skip
    --rows-from Llama-chat --row 45001=32001 --out Llama-ja-chat
    """
    from asr_tv.vectors.apply import apply_vectors
    from asr_tv.vectors.token_rows import RowMap

    addends = _addends(vectors, coef)
    if bool(row) != (rows_from is not None):
        raise ConfigError("--row and --rows-from go together")
    rows, way = _rows(row), _embedding(embedding)
    taken = RowMap(rows_from, rows) if rows_from else None
    (start,) = _models((model,), store)
    _require_place(start, out)
    with _named_as_given({start: model}):
        done = apply_vectors(start, addends, out, embedding=way, rows=taken, other_base=other_base)
    for vector in done.foreign:
        warning = f"warning: {vector} was made on another model, none that {model} is known to come from"
        typer.echo(printable(warning), err=True)
    row_of: dict[str, Any] = {"model": str(out)}
    row_of |= {"other_base": [str(path) for path in done.foreign]} if done.foreign else {}
    row_of |= {"coef": addends[0].scaling_coef} if len(addends) == 1 else {"coef": [a.scaling_coef for a in addends]}
    row_of |= {"by_module": dict(addends[0].by_module)} if addends[0].by_module else {}
    shown = ", ".join(coef) if len(addends) == 1 else ""
    text = f"{shown} x {vectors[0]}" if shown else " + ".join(f"{a.scaling_coef:g} x {a.vector}" for a in addends)
    say(row_of, as_json=as_json, text=f"{model} + {text}: {out}")


@app.command()
def analogy(
    a: Annotated[str, typer.Argument(help="Model A ...")],
    b: Annotated[str, typer.Argument(help="... is to model B ...")],
    c: Annotated[str, typer.Argument(help="... as model C is to what is written")],
    out: Annotated[Path, typer.Option(help="Folder for the new model; a file if C is a file")],
    coef: CoefOption = ["1"],  # noqa: B006 - typer reads it and makes its own
    embedding: EmbeddingOption = "same",
    row: RowOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write C + COEF x (B - A), without a vector file.

    Example: asr-tv vector analogy source_synthetic source_real target_synthetic --coef 0.4 --out adapted

    Example: asr-tv vector analogy Llama Llama-chat Llama-ja --embedding skip --row 45001=32001 --out Llama-ja-chat
    """
    from asr_tv.vectors.apply import apply_analogy

    whole, by_module = _coefficients(coef)
    rows, way = _rows(row), _embedding(embedding)
    paths = _models((a, b, c), store)
    _require_place(paths[2], out)
    with _named_as_given(dict(zip(paths, (a, b, c), strict=True))):
        apply_analogy(paths[0], paths[1], paths[2], whole, out, by_module=by_module, embedding=way, rows=rows)
    row_of = {"model": str(out), "coef": whole} | ({"by_module": by_module} if by_module else {})
    say(row_of, as_json=as_json, text=f"{c} + {', '.join(coef)} x ({b} - {a}): {out}")


def _models(names: Sequence[str], store: Path) -> list[Path]:
    """Safetensors models as they are; any other Whisper as a folder in the store."""
    from asr_tv.models.locate import resolve_model
    from asr_tv.models.tensors import INDEX, WEIGHTS
    from asr_tv.store.results import Store

    def path_of(name: str) -> Path:
        path = Path(name)
        if path.suffix == ".safetensors" or (path / WEIGHTS).exists() or (path / INDEX).exists():
            return path
        return resolve_model(name, Store(store)).path / MODEL

    return gathered(*(lambda name=name: path_of(name) for name in names))


def _require_place(model: Path, out: Path) -> None:
    """Refuse a place of the wrong kind, and to overwrite anything that is not a model."""
    if model.is_dir():
        require_model_folder(out)
    elif out.is_dir() or out.suffix != ".safetensors":
        raise ConfigError(f"--out {out}: the model is one file, and so is the result; name it .safetensors")


def _embedding(text: str) -> "Embedding":
    from asr_tv.vectors.compatibility import EMBEDDINGS

    for known in EMBEDDINGS:
        if text == known:
            return known
    raise ConfigError(f"--embedding {text}: must be one of {', '.join(EMBEDDINGS)}")


def _rows(texts: Sequence[str] | None) -> dict[int, int]:
    pairs = [text.partition("=") for text in texts or ()]
    problems = [
        f"--row {text}: two numbers of tokens, as 32011=32000"
        for text, (new, _, old) in zip(texts or (), pairs, strict=True)
        if not (new.isdecimal() and old.isdecimal())
    ]
    problems += [f"--row {new}: given twice" for new in _repeated(new for new, _, _ in pairs)]
    if problems:
        raise ConfigError(problems)
    return {int(new): int(old) for new, _, old in pairs}


def _addends(vectors: Sequence[Path], texts: Sequence[str]) -> "list[Addend]":
    """One vector with its coefficients, or several with a plain one each."""
    from asr_tv.vectors.apply import Addend

    if len(vectors) == 1:
        return [Addend(vectors[0], *_coefficients(texts))]
    if len(texts) != len(vectors):
        raise ConfigError(f"{len(vectors)} vectors need as many --coef, got {len(texts)}")
    numbers = gathered(*(lambda text=text: _coefficients([text]) for text in texts))
    if any(by_module for _, by_module in numbers):
        raise ConfigError("coefficients of modules are for a single vector; combine the vectors first")
    return [Addend(vector, whole) for vector, (whole, _) in zip(vectors, numbers, strict=True)]


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
    coef: Annotated[list[float] | None, typer.Option(help="sum, dare: one per vector, in their order")] = None,
    keep: Annotated[float | None, typer.Option(help="ties: share of entries kept  [default: 0.2]")] = None,
    drop: Annotated[float | None, typer.Option(help="dare: probability of dropping  [default: 0.9]")] = None,
    seed: Annotated[int | None, typer.Option(help="dare: seed of the dropping  [default: 17]")] = None,
    as_json: JsonOption = False,
) -> None:
    """Merge vectors into one. Several domains: mean, ties. A vector negated: --method sum --coef -1.

    ties keeps the largest entries of each vector, then those that agree in sign; dare drops entries at random and
    divides the rest by 1 - drop; dare-ties does both.

    Example: asr-tv vector combine a.safetensors b.safetensors --method ties --keep 0.2 --out both.safetensors

    Example: asr-tv vector combine a.safetensors b.safetensors --method sum --coef 1 --coef -1 --out difference
    """
    from asr_tv.vectors.combine import combine_vectors
    from asr_tv.vectors.merging import Merge

    merge = Merge(method, tuple(coef) if coef else None, keep, drop, seed)
    combine_vectors(vectors, out, merge)
    settings = {name: value for name, value in merge.parameters.items() if value is not None}
    text = ", ".join([method, *(f"{name} {value}" for name, value in settings.items())])
    row = {"vector": str(out), "method": method, **settings}
    say(row, as_json=as_json, text=f"{text} of {len(vectors)} vectors: {out}")


@app.command()
def compare(vectors: Annotated[list[Path], typer.Argument(help="Vector files")], as_json: JsonOption = False) -> None:
    """Print norms and cosines of vectors: whole, by module group, by layer.

    A cosine near 1: the domains teach the same; near 0: their vectors add up independently; below 0: they conflict.

    Example: asr-tv vector compare voicemail.safetensors conference.safetensors --json
    """
    from asr_tv.vectors.combine import compare_vectors

    parts = compare_vectors(vectors)
    if as_json:
        row = {"vectors": [str(path) for path in vectors], "parts": [asdict(part) for part in parts]}
        say(row, as_json=True, text="")
    else:
        _print_comparison(vectors, parts)


def _print_comparison(vectors: Sequence[Path], parts: Iterable["PartSimilarity"]) -> None:
    from asr_tv.cli.console import print_rows
    from asr_tv.report.table import number, words

    numbers = range(len(vectors))
    norms = {f"norm {i + 1}": i for i in numbers}
    pairs = {f"cos {i + 1},{j + 1}": (i, j) for i, j in combinations(numbers, 2)}
    rows = [
        {
            "part": part.name,
            **{title: part.norms[i] for title, i in norms.items()},
            **{title: part.cosines[i][j] for title, (i, j) in pairs.items()},
        }
        for part in parts
    ]
    typer.echo(printable("".join(f"{n}  {path}\n" for n, path in enumerate(vectors, start=1))))
    print_rows(rows, [words("part"), *(number(t, form=".4g") for t in norms), *(number(t, form=".3f") for t in pairs)])


@app.command()
def info(vector: Annotated[Path, typer.Argument(help="Vector file")], as_json: JsonOption = False) -> None:
    """Print what a vector is made of, its size and norm, and those of its module groups.

    Example: asr-tv vector info voicemail.safetensors
    """
    from asr_tv.vectors.combine import describe_vector

    described = describe_vector(vector)
    groups = [
        {"name": part.name, "tensors": part.tensors, "parameters": part.parameters, "norm": part.norms[0]}
        for part in described.groups
    ]
    if as_json:
        say(asdict(described) | {"path": str(vector), "groups": groups}, as_json=True, text="")
    else:
        whole = {"name": "whole", **{key: getattr(described, key) for key in ("tensors", "parameters", "norm")}}
        _print_description(described, [whole, *groups])


def _print_description(described: "VectorInfo", parts: Sequence[Mapping[str, Any]]) -> None:
    from asr_tv.cli.console import print_rows
    from asr_tv.report.table import count, number, words

    facts = {"digest": described.digest, **described.recipe, **described.architecture, **described.versions}
    typer.echo(printable("\n".join([str(described.path), *(f"  {k}: {v}" for k, v in facts.items()), ""])))
    print_rows(parts, [words("part", "name"), count("tensors"), count("parameters"), number("norm", form=".4g")])


@contextmanager
def _named_as_given(names: Mapping[Path, str]) -> Iterator[None]:
    """In messages, replace folders of the store by what the user typed."""
    try:
        yield
    except UserError as error:
        problems = list(error.problems)
        for path, name in names.items():
            problems = [problem.replace(str(path), name) for problem in problems]
        raise type(error)(problems) from error
