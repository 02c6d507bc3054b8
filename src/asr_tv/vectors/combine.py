"""Combines, compares and describes the files of task vectors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from asr_tv.errors import ConfigError, gathered
from asr_tv.models.tensors import Tensors, write_tensors
from asr_tv.store.results import file_digest
from asr_tv.vectors.compatibility import require_same_form
from asr_tv.vectors.files import bases_of, common_origin, fp32_layout, naming, object_in, open_vector, vector_metadata
from asr_tv.vectors.merging import Merge, merged
from asr_tv.vectors.similarity import GROUP, PartSimilarity, compare


@dataclass(frozen=True)
class VectorInfo:
    """The contents of a task vector's file.

    Attributes:
        recipe: operation and parents.
        bases: digests of the models it was made on; empty where the file does not state them.
        versions: of the software that made it.
    """

    path: Path
    digest: str
    recipe: Mapping[str, Any]
    bases: tuple[str, ...]
    architecture: Mapping[str, Any]
    versions: Mapping[str, str]
    tensors: int
    parameters: int
    norm: float
    groups: tuple[PartSimilarity, ...]


def combine_vectors(vectors: Sequence[Path], out: Path, method: Merge) -> None:
    """Writes one task vector merged from several; their order matters only for coefficients.

    Raises:
        ConfigError: no vectors, not one coefficient per vector, or `out` is one of them.
        DataError: a file that is not a task vector, vectors of different architecture or vocabulary, NaN or infinity.
    """
    if out.resolve() in {path.resolve() for path in vectors}:
        raise ConfigError(f"{out}: is one of the vectors to combine")
    if method.coefficients is not None and len(method.coefficients) != len(vectors):
        raise ConfigError(f"{len(vectors)} vectors need as many coefficients, got {len(method.coefficients)}")
    opened = _open_alike(vectors)
    digests = [file_digest(path) for path in vectors]
    # One order per set, so that equal sets give equal bytes.
    order = sorted(range(len(vectors)), key=lambda i: (digests[i], (method.coefficients or [0.0] * len(vectors))[i]))
    if method.coefficients is not None:
        method = replace(method, coefficients=tuple(method.coefficients[i] for i in order))
    recipe = {"operation": method.method, "vectors": [digests[i] for i in order]} | method.parameters
    with naming(f"{method.method} of {', '.join(map(str, vectors))}"):
        tensors = merged([_OneAtATime(opened[i]) for i in order], method)
        metadata = vector_metadata(opened[0].metadata, recipe) | common_origin(opened)
        write_tensors(out, fp32_layout(opened[0]), tensors, metadata)


def compare_vectors(vectors: Sequence[Path]) -> tuple[PartSimilarity, ...]:
    """Norms and cosines of task vectors: over all tensors, per module group and per layer.

    Raises:
        ConfigError: no vectors.
        DataError: a file that is not a task vector, vectors of different architecture or vocabulary, NaN or infinity.
    """
    opened = _open_alike(vectors)
    with naming(", ".join(map(str, vectors))):
        return compare([_OneAtATime(vector) for vector in opened])


def describe_vector(vector: Path) -> VectorInfo:
    """Contents and origin of a task vector.

    Raises:
        DataError: a file that is not a task vector; NaN or infinity.
    """
    opened = open_vector(vector)
    whole, *parts = compare_vectors([vector])
    return VectorInfo(
        path=vector,
        digest=file_digest(vector),
        recipe=object_in(opened, "recipe"),
        bases=tuple(bases_of(opened)),
        architecture=object_in(opened, "architecture"),
        versions={key: value for key, value in sorted(opened.metadata.items()) if key.endswith("_version")},
        tensors=whole.tensors,
        parameters=whole.parameters,
        norm=whole.norms[0],
        groups=tuple(part for part in parts if part.kind == GROUP),
    )


class _OneAtATime(Mapping[str, Tensor]):
    """A vector with one tensor in memory at a time: reading another releases the one before."""

    def __init__(self, vector: Tensors) -> None:
        self.path, self._vector, self._held = vector.path, vector, ""

    def __getitem__(self, name: str) -> Tensor:
        if self._held not in ("", name):
            self._vector.release(self._held)
        self._held = name
        return self._vector[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._vector)

    def __len__(self) -> int:
        return len(self._vector)


def _open_alike(vectors: Sequence[Path]) -> list[Tensors]:
    if not vectors:
        raise ConfigError("there are no vectors")
    opened: list[Tensors] = gathered(*(partial(open_vector, path) for path in vectors))
    a = opened[0]
    checks = (partial(require_same_form, a.metadata, b.metadata, f"{a.path} and {b.path}") for b in opened[1:])
    gathered(*checks)
    return opened
