"""Files of tensors read once and written once, piece by piece on all cores, in the memory of a few pieces.

What is under way lies beside its place under another name, and comes there whole or not at all.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from errno import ENOSPC
from itertools import pairwise
from pathlib import Path
from threading import Barrier, Lock
from typing import BinaryIO

import torch
from torch import Tensor

from asr_tv.models.tensors import Layout, Tensors, bytes_of, header
from asr_tv.store.results import canonical_json
from asr_tv.workers import cores

PIECE = 1 << 17
"""Numbers in a piece: fewer cost more in Python than in arithmetic, more leave the processor's cache."""

_HELD = 1 << 19
"""Numbers whose memory is given back at once."""

Cuts = Sequence[tuple[int, int]]

_starting = Lock()


def cuts(length: int, *breaks: int) -> Cuts:
    """Where a flat tensor of so many numbers is cut: into pieces, and at the breaks."""
    edges = sorted({*range(0, length, PIECE), *(at for at in breaks if at < length), length})
    return list(pairwise(edges))


class Reader:
    """Reads a checkpoint's tensors in flat pieces, gives their memory back, and makes the digest on the way."""

    def __init__(self, tensors: Tensors, *, digest: bool = True) -> None:
        self.tensors = tensors
        self.called = str(tensors.path)
        self._digest = digest
        self._hashes: dict[str, str] = {}

    def pieces(self, name: str, at: Cuts | None = None) -> Iterator[Tensor]:
        """The pieces between the cuts, by default of the whole tensor."""
        flat = self.tensors[name].reshape(-1)
        size = flat.dtype.itemsize
        digest, held = hashlib.sha256(), 0
        for start, stop in cuts(len(flat)) if at is None else at:
            piece = flat[start:stop]
            if self._digest:
                digest.update(bytes_of(piece))
            yield piece
            if stop - held >= _HELD:
                self.tensors.release(name, held * size, stop * size)
                held = stop
        # A page of a large folio brings the others back that were given up already.
        self.tensors.release(name)
        self._hashes[name] = digest.hexdigest()

    @property
    def hashes(self) -> Mapping[str, str]:
        """sha256 by name of the tensors that were read to their end."""
        return self._hashes

    @property
    def digest(self) -> str:
        """sha256 over names, types, shapes and numbers: the same however the tensors are spread over files.

        Raises:
            ValueError: not all tensors were read.
        """
        if lacking := self.tensors.keys() - self._hashes.keys():
            raise ValueError(f"not read: {', '.join(sorted(lacking)[:5])}")
        forms = {name: [str(t.dtype), list(t.shape), self._hashes[name]] for name, t in self.tensors.items()}
        return hashlib.sha256(canonical_json(forms).encode()).hexdigest()


def weights_digest(tensors: Tensors) -> str:
    """The digest of a checkpoint's tensors, see `Reader.digest`."""
    reader = Reader(tensors)
    on_all_cores(lambda name: exhaust(reader.pieces(name)), tensors)
    return reader.digest


def exhaust(pieces: Iterator[Tensor]) -> None:
    """Reads to the end, for the digest's sake."""
    for _ in pieces:
        pass


def on_all_cores(work: Callable[[str], None], names: Iterable[str]) -> None:
    """Calls `work` once for each name, side by side; the first error ends it."""
    names = list(names)
    count = min(cores(), len(names))
    started = Barrier(count + 1)
    with ThreadPoolExecutor(max(1, count), initializer=_on_one_core, initargs=(started,)) as pool:
        try:
            for future in as_completed(_submitted(pool, work, names, started)):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _submitted(
    pool: ThreadPoolExecutor, work: Callable[[str], None], names: Sequence[str], started: Barrier
) -> list[Future[None]]:
    """The names are spread over the cores, so torch is not to spread each piece once more.

    A thread's number of cores is the process's, too, for threads that come later: it is given back at once.
    """
    with _starting:
        threads = torch.get_num_threads()
        try:
            futures = [pool.submit(work, name) for name in names]
            started.wait()
        except BaseException:
            started.abort()
            raise
        finally:
            torch.set_num_threads(threads)
    return futures


def _on_one_core(started: Barrier) -> None:
    torch.get_num_threads()  # a thread takes the process's number when it first asks
    torch.set_num_threads(1)
    started.wait()


class Output:
    """Safetensors files under way: tensors come in any order and from several threads, the headers last.

    Args:
        files: what each file will hold.
        metadata: as long as that which `finish` will bring.
        copies: tensors that are written as others are, see `Tensors.copies`.
    """

    def __init__(
        self, files: Mapping[Path, Layout], metadata: Mapping[str, str], copies: Mapping[str, str] | None = None
    ) -> None:
        self._files: dict[Path, BinaryIO] = {}
        self._layouts, self._copies = files, copies or {}
        self._starts: dict[Path, int] = {}
        self._places: dict[str, list[tuple[Path, int]]] = {}
        self._awaited = {name: form for layout in files.values() for name, form in layout.items()}
        for path, layout in files.items():
            start, offsets = header(layout, metadata)
            self._starts[path] = len(start)
            for name, offset in offsets.items():
                source = self._copies.get(name, name)
                self._places.setdefault(source, []).append((path, len(start) + offset))

    def __enter__(self) -> "Output":
        _require_space(self._starts, self._awaited)
        for path in self._starts:
            with _naming(path):
                self._files[path] = path.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def write(self, name: str, pieces: Iterable[Tensor]) -> None:
        """Writes a tensor's flat pieces to its place.

        Raises:
            ValueError: they are not of the layout's type or length.
        """
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
        if done != dtype.itemsize * torch.Size(shape).numel():
            raise ValueError(f"{name}: {done} bytes do not fill {list(shape)} of {dtype}")
        for written in (name, *(copy for copy, kept in self._copies.items() if kept == name)):
            self._awaited.pop(written, None)

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Writes the headers, and waits until all is on disk.

        Raises:
            ValueError: a tensor has not come, or the metadata are longer than was said.
        """
        if self._awaited:
            raise ValueError(f"no tensor came for {', '.join(sorted(self._awaited)[:5])}")
        for path, file in self._files.items():
            start, _ = header(self._layouts[path], metadata, self._starts[path])
            if len(start) != self._starts[path]:
                raise ValueError(f"{path.name}: the metadata are longer than was said")
            with _naming(path):
                _put(file, memoryview(start), 0)
                os.fsync(file.fileno())


def _put(file: BinaryIO, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(file.fileno(), data, offset)
        data, offset = data[written:], offset + written


def _require_space(files: Mapping[Path, int], forms: Layout) -> None:
    """Says at once what would end in a full disk."""
    needed = sum(files.values()) + sum(d.itemsize * torch.Size(shape).numel() for d, shape in forms.values())
    for folder in {path.parent for path in files}:
        if (free := shutil.disk_usage(folder).free) < needed:
            raise OSError(
                ENOSPC, f"No space left on device: {needed:,} bytes are needed, {free:,} are free", str(folder)
            )


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Puts the file's name into errors of the file system, which know only a number."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A place to write a file to, which comes under its name in the end and not before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # One name for all processes: what a killed one left behind is written over, and is part of no result.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A place to write a folder to, which comes under its name in the end, in place of what was there."""
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
