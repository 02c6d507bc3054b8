"""Reads hama's container of weights, a list of named tensors, and gives them the names of `HamaConformer`."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asr_tv.data.text_files import read_bytes
from asr_tv.errors import DataError
from asr_tv.models.hama.conformer import BLOCKS

_MAGIC = b"HAMAPK\x01\x02"
_TYPES: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 1: np.dtype("<f2")}
_ALIGNED = 16
"""The payload begins at a multiple of so many bytes."""
_PREFIX = "acoustic_model.model."
_RENAMED = {
    "attn_norm": "attention_norm",
    "attn.in_proj_bias": "attention.projections.bias",
    "attn.out_proj": "attention.out",
}
_MATRICES = ("ffn1.fc1", "ffn1.fc2", "attention.projections", "attention.out", "ffn2.fc1", "ffn2.fc2")
"""Of a block, in the order in which the export to ONNX numbered them; stored as (inputs, outputs)."""
_BUFFERS = {"mel_fb": "mel", "stft_real_kernel": "stft_real", "stft_imag_kernel": "stft_imaginary"}


def read_container(path: Path) -> dict[str, Tensor]:
    """The tensors of a file in fp32, under its own names.

    Raises:
        DataError: it is not such a file, or a tensor lies outside it.
    """
    data = read_bytes(path)
    try:
        return dict(_tensors(data))
    except (struct.error, ValueError, KeyError, IndexError) as error:
        raise DataError(f"{path}: not a container of hama's weights: {error}") from error


def _tensors(data: bytes) -> Iterator[tuple[str, Tensor]]:
    if not data.startswith(_MAGIC):
        raise ValueError("it begins otherwise")
    (count,) = struct.unpack_from("<I", data, len(_MAGIC))
    place = len(_MAGIC) + 4
    entries: list[tuple[str, np.dtype[Any], tuple[int, ...], int, int]] = []
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, place)
        name = data[place + 2 : place + 2 + length].decode()
        kind, rank = data[place + 2 + length], data[place + 3 + length]
        form = struct.unpack_from(f"<{rank}I", data, place + 4 + length)
        offset, size = struct.unpack_from("<QQ", data, place + 4 + length + 4 * rank)
        entries.append((name, _TYPES[kind], form, offset, size))
        place += 4 + length + 4 * rank + 16
    start = -(-place // _ALIGNED) * _ALIGNED
    for name, dtype, form, offset, size in entries:
        values = np.frombuffer(data, dtype, size // dtype.itemsize, start + offset)
        yield name, torch.from_numpy(values.astype(np.float32)).reshape(form)


def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same under the names of `HamaConformer`.

    Raises:
        DataError: another set of tensors.
    """
    matrices = iter([tensors[name].T.contiguous() for name in tensors if name.startswith("onnx::MatMul")])
    convolutions = iter([tensors[name] for name in tensors if name.startswith("onnx::Conv")])
    found = {f"feature_extractor.{ours}": tensors[theirs] for theirs, ours in _BUFFERS.items() if theirs in tensors}
    try:
        found |= {f"feature_extractor.conv.{part}": next(convolutions) for part in ("weight", "bias")}
        for block in range(BLOCKS):
            found |= {f"blocks.{block}.conv.depthwise.{part}": next(convolutions) for part in ("weight", "bias")}
            found |= {f"blocks.{block}.{name}.weight": next(matrices) for name in _MATRICES}
    except StopIteration:
        raise DataError("hama's weights: another number of matrices or convolutions than its Conformer has") from None
    for name, tensor in tensors.items():
        if name.startswith(_PREFIX):
            found[_own_name(name.removeprefix(_PREFIX))] = tensor
    return found


def _own_name(name: str) -> str:
    for theirs, ours in _RENAMED.items():
        name = name.replace(theirs, ours)
    return f"head.{name.removeprefix('proj.')}" if name.startswith("proj.") else name
