"""Arrays of strangers in .npz and .npy files: plain numbers only, and no more of them than the file holds."""

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

MAX_BYTES = 1 << 30
"""Of all arrays of a file, unpacked."""

Array = npt.NDArray[Any]


def read_npz(path: Path) -> dict[str, Array]:
    """The arrays of an .npz file by name.

    Raises:
        OSError: it cannot be read.
        ValueError: not such a file, objects in place of numbers, or more bytes than there are, or than `MAX_BYTES`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if (size := sum(member.file_size for member in members)) > MAX_BYTES:
                raise ValueError(f"unpacks to {size} bytes, and {MAX_BYTES} are the most")
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
            raise ValueError(f"an array in version {version} of the format")
        shape, by_column, dtype = read(file)
        if dtype.hasobject:
            raise ValueError("holds pickled objects in place of numbers, and nothing is unpickled: allow_pickle=False")
        needed = math.prod(shape) * dtype.itemsize
        if not 0 <= needed <= size:
            raise ValueError(f"an array of {shape} {dtype}, which its {size} bytes cannot be")
        data = file.read(needed)
        return np.frombuffer(data, dtype).reshape(shape, order="F" if by_column else "C")
