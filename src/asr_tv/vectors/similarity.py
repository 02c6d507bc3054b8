"""Similarity of task vectors: norms and cosines over all tensors, per module group and per layer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from asr_tv.errors import ConfigError, DataError
from asr_tv.models.parameter_names import group_of, layer_of, order_of
from asr_tv.vectors.task_vector import State, chunks, floating_names, name_of, require_alike

WHOLE, GROUP, LAYER = "whole", "group", "layer"


@dataclass(frozen=True)
class PartSimilarity:
    """Norms and cosines of one part of the vectors, in their order; a cosine is None where one of its norms is zero."""

    kind: str
    name: str
    tensors: int
    parameters: int
    norms: tuple[float, ...]
    cosines: tuple[tuple[float | None, ...], ...]


def compare(vectors: Sequence[State]) -> tuple[PartSimilarity, ...]:
    """The whole, the module groups and the layers, in this order; inner products in fp64, each tensor read once.

    Raises:
        ConfigError: no vectors.
        DataError: vectors of different names or shapes; NaN or infinity.
    """
    if not vectors:
        raise ConfigError("there are no vectors to compare")
    alike = require_alike(vectors)
    grams = {name: _gram(alike, name) for name in floating_names(alike[0])}
    sizes = {name: vectors[0][name].numel() for name in grams}
    members: dict[tuple[str, str], list[str]] = {(WHOLE, WHOLE): list(grams)}
    for name in grams:
        members.setdefault((GROUP, group_of(name)), []).append(name)
        if layer := layer_of(name):
            members.setdefault((LAYER, layer), []).append(name)
    ordered = sorted(members, key=lambda part: ((WHOLE, GROUP, LAYER).index(part[0]), order_of(part[1])))
    return tuple(_part(*part, members[part], grams, sizes) for part in ordered)


def _gram(vectors: Sequence[State], name: str) -> Tensor:
    """The Gram matrix of the vectors' tensors of this name, (vectors, vectors) in fp64."""
    total = torch.zeros(len(vectors), len(vectors), dtype=torch.float64)
    for parts in chunks(*(vector[name] for vector in vectors)):
        stack = torch.stack([part.double() for part in parts])
        total += stack @ stack.T
    for number, square in enumerate(total.diagonal().tolist(), start=1):
        if not math.isfinite(square):
            raise DataError(f"{name}: {name_of(vectors[number - 1], f'vector {number}')} holds NaN or infinity")
    return total


def _part(
    kind: str, name: str, names: Sequence[str], grams: Mapping[str, Tensor], sizes: Mapping[str, int]
) -> PartSimilarity:
    gram = sum((grams[name] for name in names), start=torch.zeros((), dtype=torch.float64))
    norms = [math.sqrt(square) for square in gram.diagonal().tolist()] if names else []
    cosines = tuple(tuple(_cosine(gram, norms, i, j) for j in range(len(norms))) for i in range(len(norms)))
    return PartSimilarity(kind, name, len(names), sum(sizes[name] for name in names), tuple(norms), cosines)


def _cosine(gram: Tensor, norms: Sequence[float], i: int, j: int) -> float | None:
    scale = norms[i] * norms[j]
    if not scale:
        return None
    return 1.0 if i == j else max(-1.0, min(1.0, float(gram[i, j]) / scale))
