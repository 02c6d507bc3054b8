"""Safetensors files and Hugging Face directories as lazy mappings of tensors, and a writer that streams.

The format: u64 length of the header, a JSON header {name: {dtype, shape, data_offsets}}, the tensors' bytes.
"""

import json
import mmap
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_tv.errors import DataError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
TIED = {"proj_out.weight": "model.decoder.embed_tokens.weight"}
"""Whisper's output projection is its token embedding: one tensor, kept under the second name."""

_EMBEDDINGS = ("model.embed_tokens.weight", "transformer.wte.weight", "model.decoder.embed_tokens.weight")
"""What `lm_head.weight` is a copy of, in a model whose config.json ties it."""

Layout = Mapping[str, tuple[torch.dtype, tuple[int, ...]]]

_DTYPES: Mapping[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_NAMED = {name: dtype for dtype, name in _DTYPES.items()}

_LONGEST_JSON = 1 << 28

_FAULTED_AROUND = 1 << 17
"""Linux maps what lies around the page that is asked for, before it as well."""

# Private and writable, as torch wants memory; without it Linux would refuse files larger than its memory.
_NO_RESERVE = 0x4000 if sys.platform == "linux" else 0


class _File:
    """One safetensors file, mapped into memory: tensors are views of it."""

    def __init__(self, path: Path) -> None:
        self.names, self.metadata = _validated(path)
        with path.open("rb") as file:
            flags = mmap.MAP_PRIVATE | _NO_RESERVE
            self._map = mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        (length,) = struct.unpack("<Q", self._map[:8])
        self._entries: dict[str, Any] = json.loads(self._map[8 : 8 + length])
        self._data = 8 + length
        if foreign := [name for name in self.names if self._entries[name]["dtype"] not in _NAMED]:
            raise DataError(f"{path}: {name}: numbers of type {self._entries[name]['dtype']}" for name in foreign[:5])

    def tensor(self, name: str) -> Tensor:
        entry = self._entries[name]
        dtype, shape = _NAMED[entry["dtype"]], torch.Size(entry["shape"])
        if not shape.numel():
            return torch.empty(shape, dtype=dtype)
        start = self._data + entry["data_offsets"][0]
        return torch.frombuffer(self._map, dtype=dtype, count=shape.numel(), offset=start).reshape(shape)

    def release(self, name: str, start: int, stop: int | None) -> None:
        first, last = self._entries[name]["data_offsets"]
        stop = last - first if stop is None else stop
        page = max(0, self._data + first + start - _FAULTED_AROUND) // mmap.PAGESIZE * mmap.PAGESIZE
        if stop > start:
            self._map.madvise(mmap.MADV_DONTNEED, page, self._data + first + stop - page)


class Tensors(Mapping[str, Tensor]):
    """Tensors by name, each mapped from its file when asked for.

    Attributes:
        path: the file or directory they come from.
        metadata: the `__metadata__` of the file, of the first shard of several.
        files: name of a file -> its tensors; of several, the shards that the index names.
        copies: tied copies, which are left out -> the tensor they are of.
    """

    def __init__(self, path: Path, files: Mapping[str, _File], copies: Mapping[str, str]) -> None:
        self.path = path
        self.copies = copies
        self.metadata: Mapping[str, str] = next(iter(files.values())).metadata
        self.files = {name: tuple(file.names) for name, file in files.items()}
        self._homes = {name: file for file in files.values() for name in file.names if name not in copies}

    @property
    def is_sharded(self) -> bool:
        """Whether an index names the files."""
        return self.path.is_dir() and WEIGHTS not in self.files

    def form_of(self, name: str) -> tuple[torch.dtype, tuple[int, ...]]:
        """Type and shape, also of a tied copy."""
        tensor = self[self.copies.get(name, name)]
        return tensor.dtype, tuple(tensor.shape)

    def __getitem__(self, name: str) -> Tensor:
        return self._homes[name].tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._homes))

    def __len__(self) -> int:
        return len(self._homes)

    def release(self, name: str, start: int = 0, stop: int | None = None) -> None:
        """Gives the memory of a tensor's bytes back; asked for again, they are read from the file again."""
        self._homes[name].release(name, start, stop)


def open_tensors(path: Path) -> Tensors:
    """The tensors of a .safetensors file, or of a Hugging Face directory, in one file or in shards.

    Of a directory whose model is tied, copies of the embedding, as `proj_out.weight` or `lm_head.weight`, are left out.

    Raises:
        DataError: missing, truncated or foreign files; shards outside the directory, or that do not hold what the
            index says; a tied copy with other values.
    """
    if not path.is_dir():
        return _from_files(path, [path], ())
    if (path / WEIGHTS).exists():
        files, listed = [path / WEIGHTS], None
    elif (path / INDEX).exists():
        listed = _listed_shards(path)
        files = [path / name for name in sorted(set(listed.values()))]
    else:
        raise DataError(f"{path}: holds neither {WEIGHTS} nor {INDEX}; other weights (.bin, .h5) are not loaded")
    return _from_files(path, files, _ties(path), listed)


def layout_of(tensors: Mapping[str, Tensor]) -> Layout:
    """What `write_tensors` must know beforehand: dtype and shape by name."""
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        DataError: missing, unreadable, or not an object.
    """
    try:
        if path.stat().st_size > _LONGEST_JSON:
            raise DataError(f"{path}: more than {_LONGEST_JSON} bytes")
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not readable JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def _from_files(
    path: Path, files: Iterable[Path], ties: Iterable[tuple[str, str]], listed: Mapping[str, str] | None = None
) -> Tensors:
    opened = {file.name: _File(file) for file in files}
    seen: set[str] = set()
    for name, file in opened.items():
        if repeated := sorted(seen.intersection(file.names)):
            raise DataError(f"{path / name}: {', '.join(repeated[:3])} is in an earlier shard, too")
        seen.update(file.names)
    if listed is not None and (unlisted := sorted(seen ^ listed.keys())):
        raise DataError(f"{path / INDEX}: index and shards do not hold the same tensors: {', '.join(unlisted[:5])}")
    copies = {copy: kept for copy, kept in ties if copy in seen and kept in seen}
    tensors = Tensors(path, opened, {})
    for copy, kept in copies.items():
        a, b = tensors[copy], tensors[kept]
        if a.dtype != b.dtype or not torch.equal(a, b):
            raise DataError(f"{path}: {copy} differs from {kept}, to which config.json ties it")
        tensors.release(copy)
        tensors.release(kept)
    return Tensors(path, opened, copies)


def _validated(file: Path) -> tuple[list[str], Mapping[str, str]]:
    """The names and the metadata of a file that is whole."""
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise DataError(f"{file}: no such file")
    try:
        with safe_open(file, framework="pt") as opened:
            return list(opened.keys()), opened.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{file}: is not a complete safetensors file: {error}") from error


def _listed_shards(directory: Path) -> Mapping[str, str]:
    """The shard of each tensor."""
    index = directory / INDEX
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(shard, str) for shard in shards.values()):
        raise DataError(f"{index}: has no weight_map of tensor names and files")
    # Only the name is judged: the hub's cache links its files from elsewhere.
    names = sorted(set(shards.values()))
    if outside := [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]:
        raise DataError(f"{index}: {name!r} is not a safetensors file of this directory" for name in outside)
    return shards


def _ties(directory: Path) -> list[tuple[str, str]]:
    """Tied copies that files may hold, and what they are of; Whisper's output is tied unless its config denies it."""
    config = read_json(directory / CONFIG) if (directory / CONFIG).exists() else {}
    tied = config.get("tie_word_embeddings")
    heads = [("lm_head.weight", embedding) for embedding in _EMBEDDINGS] if tied is True else []
    return [*TIED.items(), *heads] if tied in (True, None) else []


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
    start, offsets = header(layout, metadata)
    awaited = set(layout)
    with path.open("wb") as file:
        file.write(start)
        for name, tensor in tensors:
            if name not in awaited or layout[name] != (tensor.dtype, tuple(tensor.shape)):
                raise ValueError(f"{name}: {tensor.dtype} {tuple(tensor.shape)} is not in the layout, or came twice")
            awaited.remove(name)
            file.seek(len(start) + offsets[name])
            file.write(bytes_of(tensor))
        if awaited:
            raise ValueError(f"no tensor came for {', '.join(sorted(awaited)[:5])}")
        file.flush()
        os.fsync(file.fileno())


def header(layout: Layout, metadata: Mapping[str, str], length: int = 0) -> tuple[bytes, dict[str, int]]:
    """The header with its length, and each tensor's offset in the data; wide types first, so that all are aligned.

    Args:
        length: of the header at least; the rest is filled with spaces.
    """
    entries: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    offsets: dict[str, int] = {}
    end = 0
    for name in sorted(layout, key=lambda name: (-layout[name][0].itemsize, name)):
        dtype, shape = layout[name]
        offsets[name], end = end, end + dtype.itemsize * torch.Size(shape).numel()
        entries[name] = {"dtype": _DTYPES[dtype], "shape": list(shape), "data_offsets": [offsets[name], end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(length - 8)
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, offsets


def bytes_of(tensor: Tensor) -> memoryview:
    """The bytes of a tensor's numbers, as files hold them."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
