"""Untrusted arrays in .npz and .npy files: plain numbers only, and never more than the file contains."""

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

MAX_BYTES = 1 << 30
"""Limit for all arrays of a file together, unpacked."""

Array = npt.NDArray[Any]


def read_npz(path: Path) -> dict[str, Array]:
    """The arrays of an .npz file by name.

    Raises:
        OSError: the file cannot be read.
        ValueError: not an .npz file, Python objects instead of numbers, or a size beyond the file's or `MAX_BYTES`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if (size := sum(member.file_size for member in members)) > MAX_BYTES:
                raise ValueError(f"unpacks to {size} bytes, over the limit of {MAX_BYTES}")
            return {m.filename.removesuffix(".npy"): _array(archive.open(m), m.file_size) for m in members}
    except (EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"damaged: {error}") from error


def read_npy(path: Path) -> Array:
    """The array of an .npy file; raises as `read_npz`."""
    with path.open("rb") as file:
        return _array(file, path.stat().st_size)


def _array(file: IO[bytes], size: int) -> Array:
    with file:
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read is None:
            raise ValueError(f"version {version} of the array format is not supported")
        shape, by_column, dtype = read(file)
        if dtype.hasobject:
            raise ValueError(
                "contains pickled objects instead of numbers, and nothing is unpickled: allow_pickle=False"
            )
        needed = math.prod(shape) * dtype.itemsize
        if not 0 <= needed <= size:
            raise ValueError(f"an array of {shape} {dtype} does not fit in its {size} bytes")
        data = file.read(needed)
        return np.frombuffer(data, dtype).reshape(shape, order="F" if by_column else "C")
