"""Checks that a vector belongs to a model: that the model is its base, or was made from its base.

Digests are of tensors, not of files, so that sharding a model does not change its identity.
"""

from collections.abc import Sequence
from pathlib import Path

from asr_tv.errors import DataError
from asr_tv.models.tensors import Tensors
from asr_tv.vectors.files import SHORT, ancestors_of, bases_of, object_in


class BaseCheck:
    """Compares the recorded bases of vectors with a model, in part before and in part while the model is read.

    A vector is foreign if one of its bases is neither this model nor recorded as an ancestor of it.

    Raises:
        DataError: damaged metadata.
    """

    def __init__(self, model: Tensors, vectors: Sequence[Tensors]) -> None:
        self._model = model.path
        ancestors = set(ancestors_of(model))
        self._foreign: list[Path] = []
        self._awaited: dict[Path, str] = {}
        self._hashes: dict[Path, dict[str, str]] = {}
        for vector in vectors:
            bases = bases_of(vector)
            unknown = set(bases) - ancestors
            if not bases or len(unknown) > 1:
                self._foreign.append(vector.path)
            elif unknown:
                self._awaited[vector.path] = unknown.pop()
                self._hashes[vector.path] = object_in(vector, "base_tensors") if len(bases) == 1 else {}

    def require(self, digest: str | None = None) -> None:
        """Raises a DataError for foreign vectors: all of them, or without the digest, those known before reading."""
        if foreign := self._foreign if digest is None else self.foreign(digest):
            raise DataError(map(self._refusal, foreign))

    def require_tensor(self, name: str, digest: str) -> None:
        """Raises a DataError as soon as one tensor of the model differs from that of a vector's base."""
        known = {path: hashes.get(name, digest)[:SHORT] for path, hashes in self._hashes.items()}
        if other := [path for path, short in known.items() if short != digest[:SHORT]]:
            raise DataError(map(self._refusal, other))

    def foreign(self, digest: str) -> tuple[Path, ...]:
        """The foreign vectors, once the model's digest is known."""
        return (*self._foreign, *(path for path, base in self._awaited.items() if base != digest))

    def _refusal(self, vector: Path) -> str:
        return (
            f"{vector}: was made on another model than {self._model}; --other-base allows it, as SYN2REAL and chat "
            "vectors are meant for another model"
        )
