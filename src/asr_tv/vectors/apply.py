"""Adds task vectors to models: sums, analogies, and chat vectors on an extended vocabulary (2310.04799)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from asr_tv.errors import ConfigError, DataError, UserError, gathered
from asr_tv.models.parameter_names import coefficients_by_name, is_buffer
from asr_tv.models.tensors import Tensors
from asr_tv.vectors.base_check import BaseCheck
from asr_tv.vectors.compatibility import Embedding, matched_names, require_form
from asr_tv.vectors.files import ancestors_of, create_vector, model_metadata, naming, object_in, open_model, open_vector
from asr_tv.vectors.model_folder import new_model_like, require_apart
from asr_tv.vectors.streaming import Reader, cuts, exhaust, on_all_cores
from asr_tv.vectors.task_vector import CHECKPOINT, VECTOR, add_changes, require_coefficients
from asr_tv.vectors.token_rows import RowMap


@dataclass(frozen=True)
class Addend:
    """A task vector and its scaling coefficients.

    Attributes:
        scaling_coef: of the modules that no pattern of `by_module` fits; None if every module must fit one.
        by_module: coefficients by pattern, see `parameter_names.coefficients_by_name`.
    """

    vector: Path
    scaling_coef: float | None
    by_module: Mapping[str, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The addend as a formula."""
        rest = [] if self.scaling_coef is None else [f"{self.scaling_coef:g}"]
        parts = [*rest, *(f"{pattern}={value:g}" for pattern, value in self.by_module.items())]
        return f"({', '.join(parts)}) · {self.vector}" if self.by_module else f"{rest[0]} · {self.vector}"


@dataclass(frozen=True)
class Applied:
    """The digest of the model that vectors were added to, and which of them were made on another model."""

    model: str
    foreign: tuple[Path, ...]


def apply_vector(
    model: Path, vector: Path, scaling_coef: float | None, out: Path, by_module: Mapping[str, float] | None = None
) -> None:
    """Writes model + scaling_coef · vector, on whichever model the vector was made; see `apply_vectors`."""
    apply_vectors(model, [Addend(vector, scaling_coef, by_module or {})], out, other_base=True)


def apply_vectors(
    model: Path,
    addends: Sequence[Addend],
    out: Path,
    *,
    embedding: Embedding = "same",
    rows: RowMap | None = None,
    other_base: bool = False,
) -> Applied:
    """Writes model + Σ coefficient · vector in the model's files, shards and types, with its folder's other files.

    Tensors to which nothing is added, and all with a coefficient of 0, keep their bytes. A tied output is one tensor
    with the embedding, so it changes once.

    Args:
        embedding: what happens to tensors with one row per token, see `Embedding`.
        rows: rows of embedding and head to take from the tuned model of a vector.
        other_base: allow a vector that was made neither on the model nor on an ancestor of it.

    Raises:
        ConfigError: `out` touches an input; a coefficient is not finite; a pattern fits no module; a tensor has no
            coefficient; rows that do not exist.
        DataError: not a task vector, or one of another architecture or vocabulary, or of another base; NaN or infinity.
    """
    if not addends:
        raise ConfigError("there are no vectors to add")
    require_apart(out, (model, *(addend.vector for addend in addends), *([rows.model] if rows else [])))
    vectors: list[Tensors] = gathered(*(lambda path=addend.vector: open_vector(path) for addend in addends))
    start = Reader(open_model(model))
    # Rows that were left out when a vector was made cannot be added.
    modes: list[Embedding] = ["skip" if v.metadata.get("embedding") == "skip" else embedding for v in vectors]
    for vector, mode in zip(vectors, modes, strict=True):
        require_form(vector.metadata, model, f"{vector.path} and {model}", mode)
    lineage = BaseCheck(start.tensors, vectors)
    if not other_base:
        lineage.require()
    with naming(f"{model} + {' + '.join(addend.text for addend in addends)}"):
        plan = _plan(start.tensors, vectors, addends, modes)
        overlay = rows.overlay(start.tensors, vectors, [a.scaling_coef for a in addends]) if rows else None
        recipe: dict[str, Any] = {} if embedding == "same" else {"embedding": embedding}
        # The source of the rows is named in the recipe of its vector.
        recipe |= {"rows": {str(new): old for new, old in sorted(rows.rows.items())}} if rows else {}
        recipe |= {"operation": "apply", "vectors": [_recipe(*pair) for pair in zip(vectors, addends, strict=True)]}

        def metadata() -> dict[str, str]:
            digest = start.digest_or_blank
            return model_metadata(start.tensors, recipe | {"model": digest}, [digest, *ancestors_of(start.tensors)])

        def add(name: str) -> None:
            terms = [(coefficient, Reader(vectors[i], digest=False)) for i, coefficient in plan.get(name, ())]
            pieces = _sums(name, start, terms)
            output.write(name, overlay.over(name, pieces) if overlay else pieces)
            if not other_base:
                lineage.require_tensor(name, start.hashes[name])

        with new_model_like(start.tensors, out, metadata) as output:
            on_all_cores(add, start.tensors)
            if not other_base:
                lineage.require(start.digest)
    return Applied(start.digest, lineage.foreign(start.digest))


def apply_analogy(
    a: Path,
    b: Path,
    c: Path,
    scaling_coef: float | None,
    out: Path,
    *,
    by_module: Mapping[str, float] | None = None,
    embedding: Embedding = "same",
    rows: Mapping[int, int] | None = None,
) -> None:
    """Writes c + scaling_coef · (b − a): a is to b as c is to the result.

    With a = source_synthetic, b = source_real, c = target_synthetic this is SYN2REAL (2406.02925); with a language
    model, its chat model and its continually pre-trained one, a chat vector.

    Args:
        rows: rows of embedding and head to take from `b`, see `RowMap.rows`.

    Raises:
        ConfigError: as `apply_vectors`.
        DataError: as `create_vector` and `apply_vectors`.
    """
    require_apart(out, (a, b, c))
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        vector = Path(folder) / "vector.safetensors"
        try:
            create_vector(b, a, vector, {}, embedding)
            addend = Addend(vector, scaling_coef, by_module or {})
            taken = RowMap(b, rows) if rows else None
            apply_vectors(c, [addend], out, embedding=embedding, rows=taken, other_base=True)
        except UserError as error:
            raise type(error)(problem.replace(str(vector), f"({b} − {a})") for problem in error.problems) from error


def _plan(
    model: Tensors, vectors: Sequence[Tensors], addends: Sequence[Addend], modes: Sequence[Embedding]
) -> dict[str, list[tuple[int, float]]]:
    """The (number of the vector, coefficient) pairs to add to each tensor."""
    plan: dict[str, list[tuple[int, float]]] = {}
    for number, (vector, addend, mode) in enumerate(zip(vectors, addends, modes, strict=True)):
        names = matched_names(model, vector, CHECKPOINT, VECTOR, mode)
        if longer := [name for name in names if vector[name].numel() > model[name].numel()]:
            raise DataError(f"{name}: {vector.path} has more rows than {model.path}" for name in longer)
        coefficients = coefficients_by_name(names, addend.by_module, addend.scaling_coef)
        require_coefficients(coefficients.values())
        for name in names:
            plan.setdefault(name, []).append((number, coefficients[name]))
    return plan


def _sums(name: str, start: Reader, terms: Sequence[tuple[float, Reader]]) -> Iterator[Tensor]:
    """The flat pieces of a tensor of the result; a vector with fewer rows is added to the first rows."""
    lengths = [reader.tensors[name].numel() for _, reader in terms]
    at = cuts(start.tensors[name].numel(), *lengths)
    changes = [
        reader.pieces(name, [cut for cut in at if cut[1] <= length])
        for (_, reader), length in zip(terms, lengths, strict=True)
    ]
    for (_, stop), piece in zip(at, start.pieces(name, at), strict=True):
        if not piece.is_floating_point() or is_buffer(name):
            yield piece
            continue
        reached = [i for i, length in enumerate(lengths) if stop <= length]
        by = [(terms[i][0], next(changes[i])) for i in reached]
        yield add_changes(name, piece, by, (start.called, *(terms[i][1].called for i in reached)))
    for change in changes:
        exhaust(change)


def _recipe(vector: Tensors, addend: Addend) -> dict[str, Any]:
    by_module = {"by_module": dict(addend.by_module)} if addend.by_module else {}
    return {"scaling_coef": addend.scaling_coef, "recipe": object_in(vector, "recipe")} | by_module
