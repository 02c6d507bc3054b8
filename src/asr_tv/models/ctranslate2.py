"""Reads a CTranslate2 Whisper file (`model.bin`) as a state dict with transformers' names.

Little-endian: u32 version, spec name, u32 revision, u32 number of variables, each a name (u16 length, NUL-terminated),
u8 rank, u32 shape, u8 type, u32 byte count and data; then u32 number of aliases, each a pair of names.
"""

import mmap
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from asr_tv.errors import DataError
from asr_tv.store.pointers import refuse_pointer

_BINARY_VERSIONS = (4, 5, 6)
"""Versions with the layout above; earlier ones lack the type field."""

Array = npt.NDArray[Any]

_DTYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}
_MAX_RANK = 8


class _Variable(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    data: memoryview

    def array(self) -> Array:
        return np.frombuffer(self.data, dtype=self.dtype).reshape(self.shape)


class _Reader:
    """A cursor over the bytes of a file, which names file and offset when they run out."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self._path = parts[0]
        self.data = memoryview(_mapped(parts[0]) if len(parts) == 1 else b"".join(p.read_bytes() for p in parts))
        self._offset = 0

    def take(self, size: int) -> memoryview:
        end = self._offset + size
        if end > len(self.data):
            ends = f"{size} bytes expected at offset {self._offset}, the file ends at {len(self.data)}"
            raise DataError(f"{self._path}: truncated CTranslate2 file: {ends}")
        start, self._offset = self._offset, end
        return self.data[start:end]

    def number(self, code: str) -> int:
        (value,) = struct.unpack("<" + code, self.take(struct.calcsize(code)))
        return int(value)

    def text(self) -> str:
        raw = bytes(self.take(self.number("H")))
        try:
            return raw.rstrip(b"\0").decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{self._path}: not a CTranslate2 model: a name is not text") from error

    def variable(self) -> tuple[str, _Variable]:
        name = self.text()
        rank = self.number("B")
        if rank > _MAX_RANK:
            raise DataError(f"{self._path}: variable {name!r} claims {rank} dimensions")
        shape = tuple(self.number("I") for _ in range(rank))
        if (code := self.number("B")) not in _DTYPES:
            raise DataError(f"{self._path}: variable {name!r} has type {code}; known types: {sorted(_DTYPES)}")
        dtype: np.dtype[Any] = np.dtype(_DTYPES[code])
        size = self.number("I")
        expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if size != expected:
            raise DataError(f"{self._path}: variable {name!r} has {size} bytes, its shape {shape} needs {expected}")
        return name, _Variable(shape, dtype, self.take(size))


def _mapped(path: Path) -> mmap.mmap | bytes:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def read_variables(path: Path, *more: Path) -> dict[str, Array]:
    """All variables of a CTranslate2 `model.bin` under their CTranslate2 names, quantised rows rescaled to float32.

    `more` are the further parts, in order, of a file split into parts.

    Raises:
        DataError: not a Whisper model in this format, truncated, or of an unknown version.
    """
    if path.is_file():
        refuse_pointer(path)
    reader = _Reader((path, *more))
    if (version := reader.number("I")) not in _BINARY_VERSIONS:
        raise DataError(f"{path}: CTranslate2 binary version {version} is not one of {_BINARY_VERSIONS}")
    if (spec := reader.text()) != "WhisperSpec":
        raise DataError(f"{path}: holds a {spec!r} model, not a Whisper")
    reader.number("I")
    variables: dict[str, _Variable] = {}
    for _ in range(reader.number("I")):
        name, variable = reader.variable()
        if name in variables:
            raise DataError(f"{path}: variable {name!r} occurs twice")
        variables[name] = variable
    # Second names of variables: the output projection, which is the embedding, and others that happen to be equal.
    aliases = [(reader.text(), reader.text()) for _ in range(reader.number("I"))]
    if unknown := [name for _, name in aliases if name not in variables]:
        raise DataError(f"{path}: aliases of {', '.join(unknown[:3])}, which it does not contain")
    if sum(variables[name].data.nbytes for _, name in aliases) > len(reader.data):
        raise DataError(f"{path}: its {len(aliases)} aliases stand for more than the file holds")
    arrays = {
        name: _dequantised(path, name, variable, variables)
        for name, variable in variables.items()
        if not name.endswith("weight_scale")
    }
    return arrays | {alias: arrays[name] for alias, name in aliases if name in arrays}


def _dequantised(path: Path, name: str, variable: _Variable, variables: Mapping[str, _Variable]) -> Array:
    if (scale := variables.get(f"{name}_scale")) is None:
        return variable.array()
    factors = scale.array().astype(np.float32)
    if not variable.shape or factors.shape not in ((), variable.shape[:1]) or not (factors > 0).all():
        raise DataError(f"{path}: the scales of {name!r} are not one positive number for each of its rows")
    rows = factors.reshape(-1, *[1] * (len(variable.shape) - 1)) if factors.ndim else factors
    quantised: Array = variable.array().astype(np.float32)
    quantised /= rows
    return quantised


_PLAIN = {
    "conv1": "conv1",
    "conv2": "conv2",
    "layer_norm": "layer_norm",
    "position_encodings/encodings": "embed_positions.weight",
    "embeddings": "embed_tokens",
}
_ATTENTION = {"self_attention": "self_attn", "attention": "encoder_attn"}
_PROJECTIONS = {
    ("self_attn", "linear_0"): ("q_proj", "k_proj", "v_proj"),
    ("self_attn", "linear_1"): ("out_proj",),
    ("encoder_attn", "linear_0"): ("q_proj",),
    ("encoder_attn", "linear_1"): ("k_proj", "v_proj"),
    ("encoder_attn", "linear_2"): ("out_proj",),
}
_LEAF = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias"}
_LAYER = re.compile(r"layer_(\d+)/(self_attention|attention|ffn)/(layer_norm|linear_\d)/(\w+)$")


def to_transformers(variables: Mapping[str, Array]) -> dict[str, torch.Tensor]:
    """CTranslate2 variables as the tensors of `WhisperForConditionalGeneration`, without the tied `proj_out`.

    The fused query/key/value projections are split into equal parts along dimension 0; Whisper's key
    projection has no bias, so that third (zero) part is dropped.

    Raises:
        DataError: an unknown variable in a layer, or a fused projection that does not split into equal parts.
    """
    state: dict[str, torch.Tensor] = {}
    for name, array in variables.items():
        side, _, rest = name.partition("/")
        if side not in ("encoder", "decoder"):
            continue
        try:
            parts = _renamed(rest, array)
        except (KeyError, ValueError) as error:
            raise DataError(f"{name}: is not a variable of a Whisper layer ({error})") from error
        state.update((f"model.{side}.{target}", torch.from_numpy(part.astype(np.float32))) for target, part in parts)
    return state


def _renamed(rest: str, array: Array) -> list[tuple[str, Array]]:
    if (layer := _LAYER.match(rest)) is not None:
        return _layer_parts(*layer.groups(), array=array)
    if rest in _PLAIN:
        return [(_PLAIN[rest], array)]
    module, _, leaf = rest.rpartition("/")
    # Other variables are flags of the inference engine (pre_norm, num_heads, ...), not weights.
    return [(f"{_PLAIN[module]}.{_LEAF[leaf]}", array)] if module in _PLAIN and leaf in _LEAF else []


def _layer_parts(index: str, block: str, module: str, leaf: str, *, array: Array) -> list[tuple[str, Array]]:
    prefix, suffix = f"layers.{index}", _LEAF[leaf]
    if block == "ffn":
        module = {"layer_norm": "final_layer_norm", "linear_0": "fc1", "linear_1": "fc2"}[module]
        return [(f"{prefix}.{module}.{suffix}", array)]
    attention = _ATTENTION[block]
    if module == "layer_norm":
        return [(f"{prefix}.{attention}_layer_norm.{suffix}", array)]
    projections = _PROJECTIONS[attention, module]
    return [
        (f"{prefix}.{attention}.{projection}.{suffix}", part)
        for projection, part in zip(projections, np.split(array, len(projections)), strict=True)
        if (projection, suffix) != ("k_proj", "bias")
    ]
