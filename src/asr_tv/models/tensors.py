"""Reads safetensors files and Hugging Face directories as lazy mappings of tensors, and writes such files.

The format: u64 length of the header, a JSON header {name: {dtype, shape, data_offsets}}, the tensors' bytes.
"""

import json
import mmap
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_tv.errors import DataError
from asr_tv.models.output import DTYPES, Output, new_file
from asr_tv.models.output import Layout as Layout
from asr_tv.models.pickled import PickledFile
from asr_tv.store.pointers import refuse_pointer

WEIGHTS = "model.safetensors"
ADAPTER = "adapter_config.json"
INDEX = "model.safetensors.index.json"
PICKLED, PICKLED_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
"""Read where there are no safetensors."""
CONFIG = "config.json"
TIED = {"proj_out.weight": "model.decoder.embed_tokens.weight"}
"""Whisper's output projection is its token embedding: one tensor, stored under the second name."""

_EMBEDDINGS = ("model.embed_tokens.weight", "transformer.wte.weight", "model.decoder.embed_tokens.weight")
"""Names of the embedding of which a tied `lm_head.weight` is a copy."""

_NAMED = {name: dtype for dtype, name in DTYPES.items()}
_LONGEST_JSON = 1 << 28
_FAULTED_AROUND = 1 << 17
"""Bytes around a page, before it as well, that Linux maps together with it."""

# torch needs writable memory; without this flag Linux refuses private writable maps larger than its memory.
_NO_RESERVE = 0x4000 if sys.platform == "linux" else 0


class _File:
    """A safetensors file mapped into memory, of which tensors are views."""

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
    """Tensors by name, each mapped from its file on access.

    Attributes:
        path: of the file or directory.
        metadata: the `__metadata__` of the file, or of the first shard.
        files: name of a file or shard -> its tensors; pickled weights stand under the name they are written by.
        copies: tied copies, which are left out -> the tensors they duplicate.
    """

    def __init__(self, path: Path, files: Mapping[str, _File | PickledFile], copies: Mapping[str, str]) -> None:
        self.path = path
        self.copies = copies
        self.metadata: Mapping[str, str] = next(iter(files.values())).metadata
        self.files = {name: tuple(file.names) for name, file in files.items()}
        self._homes = {name: file for file in files.values() for name in file.names if name not in copies}

    def form_of(self, name: str) -> tuple[torch.dtype, tuple[int, ...]]:
        """Type and shape of a tensor or of a tied copy."""
        tensor = self[self.copies.get(name, name)]
        return tensor.dtype, tuple(tensor.shape)

    def __getitem__(self, name: str) -> Tensor:
        return self._homes[name].tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._homes))

    def __len__(self) -> int:
        return len(self._homes)

    def release(self, name: str, start: int = 0, stop: int | None = None) -> None:
        """Releases the memory of a range of a tensor's bytes, which are read from the file again on access."""
        self._homes[name].release(name, start, stop)


def open_tensors(path: Path) -> Tensors:
    """The tensors of a .safetensors file, or of a Hugging Face directory, in one file or in shards.

    Tied copies of the embedding, such as `proj_out.weight` or `lm_head.weight`, are left out.

    Raises:
        DataError: missing, truncated or foreign files; shards outside the directory, or that do not match the index;
            a tied copy with other values.
    """
    if not path.is_dir():
        return _from_files(path, {path.name: _File(path)}, ())
    names = weight_files(path)
    index = path / names[0] if names[0].endswith(".json") else None
    files = [path / name for name in names[index is not None :]]
    if files[0].suffix == ".bin":
        return _from_files(path, {WEIGHTS: PickledFile(files)}, _ties(path), index)
    return _from_files(path, {file.name: _File(file) for file in files}, _ties(path), index)


def weight_files(directory: Path) -> tuple[str, ...]:
    """Names of the files of weights, behind their index if there is one: safetensors, else what torch.save wrote.

    Raises:
        DataError: there are none, or the index is not one.
    """
    for whole, index in ((WEIGHTS, INDEX), (PICKLED, PICKLED_INDEX)):
        if (directory / whole).exists():
            return (whole,)
        if (directory / index).exists():
            return index, *sorted(set(_listed_shards(directory / index).values()))
    if (directory / ADAPTER).exists():
        raise DataError(f"{directory}: {_what_adapter(directory)}")
    raise DataError(f"{directory}: holds neither {WEIGHTS} nor {PICKLED}, whole or in shards; others are not read")


def _what_adapter(path: Path) -> str:
    base = read_json(path / ADAPTER).get("base_model_name_or_path") or "its base"
    return (
        f"a PEFT adapter of {base}, not a model: merge it with merge_and_unload() and save that, "
        "or give the base and tune with training.trainable: lora"
    )


def _refuse_wrapped(path: Path, names: Iterable[str]) -> None:
    """Refuses tensors that were saved from within PEFT's wrapper."""
    if wrapped := [name for name in names if name.startswith("base_model.model.")]:
        reason = "names that begin with base_model.model.: saved by PEFT before merging; call merge_and_unload() first"
        raise DataError(f"{path}: {len(wrapped)} tensors have {reason}")


def layout_of(tensors: Mapping[str, Tensor]) -> Layout:
    """The types and shapes of tensors."""
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; a DataError if it is missing, unreadable or not an object."""
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
    path: Path,
    opened: Mapping[str, _File | PickledFile],
    ties: Iterable[tuple[str, str]],
    index: Path | None = None,
) -> Tensors:
    for file in opened.values():
        _refuse_wrapped(path, file.names)
    seen: set[str] = set()
    for name, file in opened.items():
        if repeated := sorted(seen.intersection(file.names)):
            raise DataError(f"{path / name}: {', '.join(repeated[:3])} is in an earlier shard as well")
        seen.update(file.names)
    if index is not None and (unlisted := sorted(seen ^ _listed_shards(index).keys())):
        raise DataError(f"{index}: index and shards do not hold the same tensors: {', '.join(unlisted[:5])}")
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
    """The names and the metadata of a file that is checked to be complete."""
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise DataError(f"{file}: no such file")
    refuse_pointer(file)
    try:
        with safe_open(file, framework="pt") as opened:
            return list(opened.keys()), opened.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{file}: is not a complete safetensors file: {error}") from error


def _listed_shards(index: Path) -> Mapping[str, str]:
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(shard, str) for shard in shards.values()):
        raise DataError(f"{index}: has no weight_map of tensor names and files")
    # Only the name is checked, since the hub's cache links its files from elsewhere.
    names = sorted(set(shards.values()))
    kind = Path(WEIGHTS if index.name == INDEX else PICKLED).suffix
    if outside := [name for name in names if Path(name).name != name or not name.endswith(kind)]:
        raise DataError(f"{index}: {name!r} is not a {kind[1:]} file of this directory" for name in outside)
    return shards


def _ties(directory: Path) -> list[tuple[str, str]]:
    """Possible tied copies and their originals; Whisper's output is tied unless its config says otherwise."""
    config = read_json(directory / CONFIG) if (directory / CONFIG).exists() else {}
    tied = config.get("tie_word_embeddings")
    heads = [("lm_head.weight", embedding) for embedding in _EMBEDDINGS] if tied is True else []
    return [*TIED.items(), *heads] if tied in (True, None) else []


def write_tensors(
    path: Path, layout: Layout, tensors: Iterable[tuple[str, Tensor]], metadata: Mapping[str, str]
) -> None:
    """Writes a safetensors file, one tensor in memory at a time; equal content gives equal bytes.

    Args:
        layout: of `tensors`, which may come in any order.

    Raises:
        ValueError: the tensors are not those of the layout.
    """
    with new_file(path) as temporary, Output({temporary: layout}, lambda: metadata) as output:
        for name, tensor in tensors:
            if layout.get(name) != (tensor.dtype, tuple(tensor.shape)):
                raise ValueError(f"{name}: {tensor.dtype} {tuple(tensor.shape)} is not in the layout")
            output.write(name, [tensor])
