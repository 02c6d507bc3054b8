"""Weights as torch.save writes them (`.pt`, `pytorch_model.bin`): only tensors and plain values are read, no code."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_tv.errors import DataError
from asr_tv.models.output import DTYPES
from asr_tv.store.pointers import refuse_pointer

_MAX_MEMBERS = 100_000


def read_plain(path: Path) -> Any:
    """What torch.save wrote, loaded with `weights_only=True`.

    Raises:
        DataError: code, a compressed or damaged file, or torch's form before version 1.6.
    """
    refuse_pointer(path)
    _require_plain_zip(path)
    try:
        # Mapped, so that tensors are views of the file and cannot claim more memory than its size.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # the restricted unpickler raises anything on a hostile file
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: is not a checkpoint of plain weights: {reason:.200}") from error


def require_tensors(path: Path, state: dict[Any, Any]) -> dict[str, Tensor]:
    """The state dict, once it is clear that it is one.

    Raises:
        DataError: names that are not text, and values that are not tensors whose every number the file holds.
    """
    foreign = [f"{name!s:.80}" for name, value in state.items() if not (isinstance(name, str) and _is_whole(value))]
    if foreign:
        raise DataError(f"{path}: {', '.join(foreign[:5])} is not a tensor of numbers that the file holds")
    return state


class PickledFile:
    """The tensors of a `pytorch_model.bin`, in one file or in shards, as `Tensors` asks for them."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self._state: dict[str, Tensor] = {}
        for path in parts:
            content = read_plain(path)
            state = require_tensors(path, content if isinstance(content, dict) else {type(content).__name__: content})
            if twice := sorted(self._state.keys() & state.keys()):
                raise DataError(f"{path}: {', '.join(twice[:3])} is in an earlier shard as well")
            self._state |= state
        foreign = [name for name, tensor in self._state.items() if tensor.dtype not in DTYPES]
        if foreign:
            raise DataError(f"{parts[0]}: {n}: numbers of type {self._state[n].dtype}" for n in foreign[:5])
        self.names, self.metadata = sorted(self._state), dict[str, str]()

    def tensor(self, name: str) -> Tensor:
        return self._state[name].detach()

    def release(self, name: str, start: int, stop: int | None) -> None:
        """Nothing to do: the system drops the mapped pages when it needs them."""


def _require_plain_zip(path: Path) -> None:
    """Raises a DataError for archives that torch.save does not write: compressed members may expand to any size."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: is not a checkpoint of plain weights, as torch.save writes it: {error}") from None
    if packed := [member.filename for member in members if member.compress_type != zipfile.ZIP_STORED]:
        raise DataError(f"{path}: {packed[0]!r:.80} is compressed, which torch.save never does")
    if len(members) > _MAX_MEMBERS:
        raise DataError(f"{path}: {len(members)} members; at most {_MAX_MEMBERS} are read")


def _is_whole(value: Any) -> bool:
    """Whether every number of a tensor has its own bytes in the file; a view may repeat one a billion times."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        return False
    return not value.is_quantized and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
