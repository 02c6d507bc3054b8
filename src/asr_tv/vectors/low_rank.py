"""The task vector of LoRA in a few megabytes: two factors per updated tensor, multiplied on access.

The file lists every tensor of the model with its shape; those without factors did not change.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_tv.errors import DataError
from asr_tv.models.tensors import Tensors, write_tensors
from asr_tv.store.results import canonical_json

FORM = "low_rank"
"""Metadata key of the scale of the products and the shapes of all tensors."""
_A, _B = ".lora_a", ".lora_b"


class LowRankVector(Tensors):
    """The tensors of the whole vector, computed on access: scale · b @ a, or zeros."""

    def __init__(self, stored: Tensors) -> None:
        self.path, self.metadata, self._stored = stored.path, stored.metadata, stored
        self.copies, self.files = {}, {}
        try:
            form: Any = json.loads(stored.metadata[FORM])
            self._scale = float(form["scale"])
            self._shapes = {str(name): tuple(map(int, shape)) for name, shape in form["shapes"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{stored.path}: its metadata does not describe a low-rank vector") from error
        changed = {name.removesuffix(_A).removesuffix(_B) for name in stored}
        if set(stored) != {f"{name}{factor}" for name in changed for factor in (_A, _B)} or changed - set(self._shapes):
            raise DataError(f"{stored.path}: its factors are not those of the tensors it names")
        self._changed = changed

    def __getitem__(self, name: str) -> Tensor:
        shape = self._shapes[name]
        if name not in self._changed:
            return torch.zeros(shape)
        a, b = self._stored[name + _A], self._stored[name + _B]
        if a.ndim != 2 or b.ndim != 2 or (b.shape[0], a.shape[1]) != shape or a.shape[0] != b.shape[1]:
            raise DataError(f"{self.path}: the factors of {name} do not make a tensor of shape {list(shape)}")
        return (b.float() @ a.float()) * self._scale

    def release(self, name: str, start: int = 0, stop: int | None = None) -> None:
        """Does nothing: no tensor is held."""

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._shapes))

    def __len__(self) -> int:
        return len(self._shapes)


def write_low_rank(
    out: Path,
    factors: Mapping[str, tuple[Tensor, Tensor]],
    scale: float,
    shapes: Mapping[str, tuple[int, ...]],
    metadata: Mapping[str, str],
) -> None:
    """Writes the factors (a, b) of each updated tensor, with the shapes of all tensors of the vector."""
    tensors = {f"{name}{suffix}": f for name, pair in factors.items() for suffix, f in zip((_A, _B), pair, strict=True)}
    layout = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    form = canonical_json({"scale": scale, "shapes": {name: list(shape) for name, shape in shapes.items()}})
    write_tensors(out, layout, sorted(tensors.items()), {**metadata, FORM: form})
