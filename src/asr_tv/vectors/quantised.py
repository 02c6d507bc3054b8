"""A task vector in fewer bytes: fp16, or int8 with a scale for each row of a matrix; whole again on access.

Tensors of one dimension stay in fp32: they are few.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from asr_tv.errors import DataError
from asr_tv.models.tensors import Layout, Tensors, write_tensors
from asr_tv.vectors import low_rank

Numbers = Literal["fp32", "fp16", "int8"]
NUMBERS: tuple[Numbers, ...] = ("fp32", "fp16", "int8")
FORM = "row_scales"
"""Metadata key of a file whose int8 tensors have a tensor of scales beside them."""
_SCALE = ".row_scale"
_LARGEST = 127


class QuantisedVector(Tensors):
    """The tensors of the whole vector in fp32, computed on access: scale of the row · int8.

    Raises:
        DataError: int8 without scales, scales without int8, or scales that are not one finite number a row.
    """

    def __init__(self, stored: Tensors) -> None:
        self.path, self.metadata, self._stored = stored.path, stored.metadata, stored
        self.copies, self.files = {}, {}
        self._names = tuple(name for name in stored if not name.endswith(_SCALE))
        scaled = {name.removesuffix(_SCALE) for name in stored if name.endswith(_SCALE)}
        if scaled != {name for name in self._names if stored[name].dtype == torch.int8}:
            raise DataError(f"{stored.path}: its scales are not those of its int8 tensors")
        for name in sorted(scaled):
            scale, rows = stored[name + _SCALE], stored[name].shape[:1]
            if scale.dtype != torch.float32 or scale.shape != rows or not bool(torch.isfinite(scale).all()):
                raise DataError(f"{stored.path}: {name}: its scales are not one finite number for each row")
        self._scaled = scaled

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._scaled:
            return self._stored[name].float()
        whole = self._stored[name]
        rows = whole.reshape(whole.shape[0], -1).float() * self._stored[name + _SCALE][:, None]
        return rows.reshape(whole.shape)

    def release(self, name: str, start: int = 0, stop: int | None = None) -> None:
        """Does nothing: no tensor is held."""

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names))

    def __len__(self) -> int:
        return len(self._names)


def quantised(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """A tensor of two dimensions or more as int8, and the scale of each row: largest absolute value / 127."""
    rows = tensor.reshape(tensor.shape[0], -1).float()
    scale = rows.abs().amax(dim=1) / _LARGEST
    whole = torch.where(scale[:, None] > 0, rows / scale[:, None], torch.zeros_like(rows))
    return whole.round().clamp(-_LARGEST, _LARGEST).to(torch.int8).reshape(tensor.shape), scale


def write_compact(vector: Tensors, out: Path, numbers: Numbers) -> float:
    """Writes a vector with other numbers; returns the relative error, the norm of what is lost over the vector's."""
    metadata = {key: value for key, value in vector.metadata.items() if key not in (low_rank.FORM, FORM)}
    layout: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {}
    for name in vector:
        shape = tuple(vector[name].shape)
        layout |= _form(name, shape, numbers)
    if numbers == "int8":
        metadata[FORM] = "1"
    lost, whole = [0.0], [0.0]
    write_tensors(out, layout, _parts(vector, numbers, lost, whole), metadata)
    return float((lost[0] / whole[0]) ** 0.5) if whole[0] else 0.0


def _form(name: str, shape: tuple[int, ...], numbers: Numbers) -> Layout:
    if len(shape) < 2 or numbers == "fp32":
        return {name: (torch.float32, shape)}
    if numbers == "fp16":
        return {name: (torch.float16, shape)}
    return {name: (torch.int8, shape), name + _SCALE: (torch.float32, shape[:1])}


def _parts(vector: Tensors, numbers: Numbers, lost: list[float], whole: list[float]) -> Iterator[tuple[str, Tensor]]:
    """The tensors as they are stored; adds up the squares of the vector and of what storing it loses."""
    for name in vector:
        tensor = vector[name].float()
        whole[0] += float(tensor.double().square().sum())
        if tensor.ndim < 2 or numbers == "fp32":
            yield name, tensor
        elif numbers == "fp16":
            half = tensor.half()
            if not bool(torch.isfinite(half).all()):
                raise DataError(f"{vector.path}: {name}: too large for fp16")
            lost[0] += float((half.double() - tensor.double()).square().sum())
            yield name, half
        else:
            small, scale = quantised(tensor)
            back = small.reshape(small.shape[0], -1).double() * scale.double()[:, None]
            lost[0] += float((back.reshape(tensor.shape) - tensor.double()).square().sum())
            yield name, small
            yield name + _SCALE, scale
        vector.release(name)
