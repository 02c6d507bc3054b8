"""Safetensors files, and files and folders of any kind, that appear under their names when they are whole."""

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

Layout = Mapping[str, tuple[torch.dtype, tuple[int, ...]]]
"""Type and shape by name of a tensor."""

DTYPES: Mapping[torch.dtype, str] = {
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
"""What safetensors calls torch's types."""


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it on success and removed on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # One name for all processes, so that the leftovers of a killed one are overwritten.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, which replaces it on success and is removed on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = (path.with_name(f".{path.name}.{word}") for word in ("partial", "old"))
    for left_behind in (temporary, old):
        shutil.rmtree(left_behind, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    finally:
        for left_behind in (temporary, old):
            shutil.rmtree(left_behind, ignore_errors=True)


class Output:
    """Safetensors files being written: tensors in any order and from several threads, the headers on leaving.

    Args:
        files: the layout of each file.
        metadata: called before the first tensor, to reserve space for the header, and after the last, to fill it.
        copies: tensors that are written with the bytes of others, see `Tensors.copies`.

    Raises:
        ValueError: on leaving, when a tensor has not been written or the metadata have grown.
    """

    def __init__(
        self,
        files: Mapping[Path, Layout],
        metadata: Callable[[], Mapping[str, str]],
        copies: Mapping[str, str] | None = None,
    ) -> None:
        self._files: dict[Path, BinaryIO] = {}
        self._layouts, self._metadata, self._copies = files, metadata, copies or {}
        self._starts: dict[Path, int] = {}
        self._places: dict[str, list[tuple[Path, int]]] = {}
        self._awaited = {name: form for layout in files.values() for name, form in layout.items()}
        reserved = metadata()
        for path, layout in files.items():
            start, offsets = _header(layout, reserved)
            self._starts[path] = len(start)
            for name, offset in offsets.items():
                self._places.setdefault(self._copies.get(name, name), []).append((path, len(start) + offset))

    def __enter__(self) -> "Output":
        # A disk that is too small is reported before anything is written.
        needed = sum(self._starts.values()) + sum(_size(*form) for form in self._awaited.values())
        for folder in {path.parent for path in self._starts}:
            if (free := shutil.disk_usage(folder).free) < needed:
                sizes = f"{needed:,} bytes are needed, {free:,} are free"
                raise OSError(ENOSPC, f"No space left on device: {sizes}", str(folder))
        for path in self._starts:
            with _naming(path):
                self._files[path] = path.open("wb")
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            for file in self._files.values():
                file.close()

    def write(self, name: str, pieces: Iterable[Tensor]) -> None:
        """Writes the consecutive pieces of a tensor.

        Raises:
            ValueError: an unknown or repeated name, or pieces of another type or total length than the layout's.
        """
        if name not in self._awaited:
            raise ValueError(f"{name}: is not in the layout, or came twice")
        dtype, shape = self._awaited[name]
        done = 0
        for piece in pieces:
            if piece.dtype != dtype:
                raise ValueError(f"{name}: {piece.dtype} is not the layout's {dtype}")
            data = bytes_of(piece)
            for path, offset in self._places[name]:
                with _naming(path):
                    _put(self._files[path], data, offset + done)
            done += len(data)
        if done != _size(dtype, shape):
            raise ValueError(f"{name}: {done} bytes do not fill {list(shape)} of {dtype}")
        for written in (name, *(copy for copy, kept in self._copies.items() if kept == name)):
            self._awaited.pop(written, None)

    def _finish(self) -> None:
        if self._awaited:
            raise ValueError(f"no tensor came for {', '.join(sorted(self._awaited)[:5])}")
        metadata = self._metadata()
        for path, file in self._files.items():
            start, _ = _header(self._layouts[path], metadata, self._starts[path])
            if len(start) != self._starts[path]:
                raise ValueError(f"{path.name}: the metadata are longer than the space reserved for them")
            with _naming(path):
                _put(file, memoryview(start), 0)
                os.fsync(file.fileno())


def bytes_of(tensor: Tensor) -> memoryview:
    """The bytes of a tensor's numbers in row-major order, as files hold them."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _header(layout: Layout, metadata: Mapping[str, str], length: int = 0) -> tuple[bytes, dict[str, int]]:
    """The header, padded to at least `length` bytes, and the offset of each tensor in the data after it."""
    entries: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    offsets: dict[str, int] = {}
    end = 0
    # Wide types first, so that every tensor is aligned.
    for name in sorted(layout, key=lambda name: (-layout[name][0].itemsize, name)):
        dtype, shape = layout[name]
        offsets[name], end = end, end + _size(dtype, shape)
        entries[name] = {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [offsets[name], end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(length - 8)
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, offsets


def _size(dtype: torch.dtype, shape: tuple[int, ...]) -> int:
    return dtype.itemsize * torch.Size(shape).numel()


def _put(file: BinaryIO, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(file.fileno(), data, offset)
        data, offset = data[written:], offset + written


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Adds the path to errors of the file system, which know only a file descriptor."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
