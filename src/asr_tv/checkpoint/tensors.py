"""Safetensors files and Hugging Face directories as lazy mappings of tensors, and a writer that streams.

The format: u64 length of the header, a JSON header {name: {dtype, shape, data_offsets}}, the tensors' bytes.
"""

import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_tv.errors import DataError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TIED = {"proj_out.weight": "model.decoder.embed_tokens.weight"}
"""Whisper's output projection is its token embedding: one tensor, kept under the second name."""

Layout = Mapping[str, tuple[torch.dtype, tuple[int, ...]]]

_DTYPES: Mapping[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


class Tensors(Mapping[str, Tensor]):
    """Tensors by name, each mapped from its file when asked for.

    Attributes:
        path: the file or directory they come from.
        metadata: the `__metadata__` of the file, of the first shard of several.
    """

    def __init__(self, path: Path, files: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
        self.path = path
        self.metadata = metadata
        self._files = files

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._files[name].get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._files))

    def __len__(self) -> int:
        return len(self._files)


def open_tensors(path: Path) -> Tensors:
    """The tensors of a .safetensors file, or of a Hugging Face directory, in one file or in shards.

    Of a directory whose model is tied, the copy `proj_out.weight` is left out.

    Raises:
        DataError: missing, truncated or foreign files; shards outside the directory, or that do not hold what the
            index says; a tied copy with other values.
    """
    if not path.is_dir():
        return _from_files(path, [path])
    if (path / WEIGHTS).exists():
        tensors = _from_files(path, [path / WEIGHTS])
    elif (path / INDEX).exists():
        tensors = _from_shards(path)
    else:
        raise DataError(f"{path}: holds neither {WEIGHTS} nor {INDEX}; other weights (.bin, .h5) are not loaded")
    return _without_tied_copies(tensors) if _is_tied(path) else tensors


def layout_of(tensors: Mapping[str, Tensor]) -> Layout:
    """What `write_tensors` must know beforehand: dtype and shape by name."""
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        DataError: missing, unreadable, or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: is missing") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not readable JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def _from_files(path: Path, files: Iterable[Path]) -> Tensors:
    opened = [(file, _opened(file)) for file in files]
    handles: dict[str, Any] = {}
    for file, handle in opened:
        names = list(handle.keys())
        if repeated := sorted(handles.keys() & set(names)):
            raise DataError(f"{file}: {', '.join(repeated[:3])} is in an earlier shard, too")
        handles.update(dict.fromkeys(names, handle))
    return Tensors(path, handles, opened[0][1].metadata() or {})


def _opened(file: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise DataError(f"{file}: no such file")
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{file}: is not a complete safetensors file: {error}") from error


def _from_shards(directory: Path) -> Tensors:
    index = directory / INDEX
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(shard, str) for shard in shards.values()):
        raise DataError(f"{index}: has no weight_map of tensor names and files")
    files = sorted(set(shards.values()))
    # Only the name is judged: the hub's cache links its files from elsewhere.
    outside = [name for name in files if Path(name).name != name or not name.endswith(".safetensors")]
    if outside:
        raise DataError(f"{index}: {name!r} is not a safetensors file of this directory" for name in outside)
    tensors = _from_files(directory, [directory / name for name in files])
    if unlisted := sorted(tensors.keys() ^ shards.keys()):
        raise DataError(f"{index}: index and shards do not hold the same tensors: {', '.join(unlisted[:5])}")
    return tensors


def _is_tied(directory: Path) -> bool:
    config = directory / "config.json"
    return not config.exists() or read_json(config).get("tie_word_embeddings", True) is True


def _without_tied_copies(tensors: Tensors) -> Tensors:
    files = dict(tensors._files)
    for copy, kept in TIED.items():
        if copy not in files or kept not in files:
            continue
        if not torch.equal(tensors[copy], tensors[kept]):
            raise DataError(f"{tensors.path}: {copy} differs from {kept}, to which config.json ties it")
        del files[copy]
    return Tensors(tensors.path, files, tensors.metadata)


def write_tensors(
    path: Path, layout: Layout, tensors: Iterable[tuple[str, Tensor]], metadata: Mapping[str, str]
) -> None:
    """Writes a safetensors file, one tensor in memory at a time; equal content gives equal bytes.

    The file appears under its name when it is complete and on disk, never before.

    Args:
        layout: what `tensors` will bring, in whatever order it brings them.

    Raises:
        ValueError: the tensors are not those of the layout.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # One name for all processes: what a killed one left behind is written over, and is part of no result.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        _write(temporary, layout, tensors, metadata)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write(path: Path, layout: Layout, tensors: Iterable[tuple[str, Tensor]], metadata: Mapping[str, str]) -> None:
    header, offsets = _header(layout, metadata)
    awaited = set(layout)
    with path.open("wb") as file:
        file.write(header)
        for name, tensor in tensors:
            if name not in awaited or layout[name] != (tensor.dtype, tuple(tensor.shape)):
                raise ValueError(f"{name}: {tensor.dtype} {tuple(tensor.shape)} is not in the layout, or came twice")
            awaited.remove(name)
            file.seek(len(header) + offsets[name])
            file.write(_bytes(tensor))
        if awaited:
            raise ValueError(f"no tensor came for {', '.join(sorted(awaited)[:5])}")
        file.flush()
        os.fsync(file.fileno())


def _header(layout: Layout, metadata: Mapping[str, str]) -> tuple[bytes, dict[str, int]]:
    """The header with its length, and each tensor's offset in the data; wide types first, so that all are aligned."""
    entries: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    offsets: dict[str, int] = {}
    end = 0
    for name in sorted(layout, key=lambda name: (-layout[name][0].itemsize, name)):
        dtype, shape = layout[name]
        offsets[name], end = end, end + dtype.itemsize * torch.Size(shape).numel()
        entries[name] = {"dtype": _DTYPES[dtype], "shape": list(shape), "data_offsets": [offsets[name], end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, offsets


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
