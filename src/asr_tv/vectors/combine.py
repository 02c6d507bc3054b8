"""Several task vectors from files: merged into one, compared, and what each says of itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from asr_tv.errors import ConfigError, gathered
from asr_tv.models.tensors import Tensors, write_tensors
from asr_tv.store.results import file_digest
from asr_tv.vectors.compatibility import require_same_form
from asr_tv.vectors.files import (
    bases_of,
    common_origin,
    fp32_layout,
    naming,
    object_in,
    open_vector,
    vector_metadata,
)
from asr_tv.vectors.merging import Merge, merged
from asr_tv.vectors.similarity import GROUP, PartSimilarity, compared


@dataclass(frozen=True)
class VectorInfo:
    """What a task vector's file holds.

    Attributes:
        digest: sha256 of the file.
        recipe: operation and parents, as its maker recorded them.
        bases: digests of the models it was made on; none where the file does not tell.
        versions: of the software that made it.
        norm: Euclidean, over all tensors.
        groups: the module groups, without cosines.
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
    """Writes one task vector merged from several; their order matters only to coefficients.

    Raises:
        ConfigError: no vectors, not one coefficient for each, or `out` is one of them.
        DataError: a file that is not a task vector, vectors of different architecture or vocabulary, NaN or infinity.
    """
    if out.resolve() in {path.resolve() for path in vectors}:
        raise ConfigError(f"{out}: is one of the vectors to combine")
    if method.coefficients is not None and len(method.coefficients) != len(vectors):
        raise ConfigError(f"{len(vectors)} vectors need as many coefficients, got {len(method.coefficients)}")
    opened = _open_alike(vectors)
    read = [_OneAtATime(vector) for vector in opened]
    digests = [file_digest(path) for path in vectors]
    # One order for equal sets, so that equal sets give equal bytes.
    order = sorted(range(len(vectors)), key=lambda i: (digests[i], (method.coefficients or [0.0] * len(vectors))[i]))
    if method.coefficients is not None:
        method = replace(method, coefficients=tuple(method.coefficients[i] for i in order))
    recipe = {"operation": method.method, "vectors": [digests[i] for i in order]} | method.parameters
    with naming(f"{method.method} of {', '.join(map(str, vectors))}"):
        tensors = merged([read[i] for i in order], method)
        metadata = vector_metadata(opened[0].metadata, recipe) | common_origin(opened)
        write_tensors(out, fp32_layout(opened[0]), tensors, metadata)


def compare_vectors(vectors: Sequence[Path]) -> tuple[PartSimilarity, ...]:
    """Norms and cosines of task vectors: whole, by module group, by layer.

    Raises:
        ConfigError: no vectors.
        DataError: a file that is not a task vector, vectors of different architecture or vocabulary, NaN or infinity.
    """
    opened = _open_alike(vectors)
    with naming(", ".join(map(str, vectors))):
        return compared([_OneAtATime(vector) for vector in opened])


def describe_vector(vector: Path) -> VectorInfo:
    """What a task vector is and where it comes from.

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
    """A vector of which one tensor at a time is held in memory: to ask for another gives up the one before."""

    def __init__(self, vector: Tensors) -> None:
        self.path = vector.path
        self._vector = vector
        self._held = ""

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
    opened: list[Tensors] = gathered(*(lambda path=path: open_vector(path) for path in vectors))
    first = opened[0]
    gathered(
        *(
            lambda other=other: require_same_form(first.metadata, other.metadata, f"{first.path} and {other.path}")
            for other in opened[1:]
        )
    )
    return opened
