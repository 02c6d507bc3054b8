"""Whether a vector belongs to a model: the model is the one that was subtracted to make it, or was made from it.

Digests are of tensors, not of files, so that sharding a model does not change what it is.
"""

from collections.abc import Sequence
from pathlib import Path

from asr_tv.errors import DataError
from asr_tv.models.tensors import Tensors
from asr_tv.vectors.files import SHORT, ancestors_of, bases_of, object_in


class BaseCheck:
    """What is known of vectors and the model they are to be added to, and what reading the model adds to it.

    A vector is foreign if a model it was made on is neither this one nor recorded as an ancestor of this one.

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
        """Refuses vectors that are foreign as far as is known: before the model is read, or with its digest.

        Raises:
            DataError: all of them.
        """
        if foreign := self._foreign if digest is None else self.foreign(digest):
            raise DataError(map(self._refusal, foreign))

    def require_tensor(self, name: str, digest: str) -> None:
        """Refuses as soon as one tensor of the model is another than the base's.

        Raises:
            DataError: the vectors made on other weights.
        """
        known = {path: hashes.get(name, digest)[:SHORT] for path, hashes in self._hashes.items()}
        if other := [path for path, short in known.items() if short != digest[:SHORT]]:
            raise DataError(map(self._refusal, other))

    def foreign(self, digest: str) -> tuple[Path, ...]:
        """The foreign vectors, once the model's digest is known."""
        return (*self._foreign, *(path for path, base in self._awaited.items() if base != digest))

    def _refusal(self, vector: Path) -> str:
        return (
            f"{vector}: was made on another model than {self._model}; as SYN2REAL and chat vectors are, by intent, "
            "added to another model, --other-base allows it"
        )
