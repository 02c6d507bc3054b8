"""Which model a vector was made on, told by its numbers: copies from hub, package or CTranslate2 are one model."""

import hashlib
from pathlib import Path

from torch import Tensor

from asr_tv.models.tensors import open_tensors
from asr_tv.store.results import canonical_json
from asr_tv.vectors.task_vector import floating_names


def weights_digests(model: Path) -> tuple[str, str]:
    """sha256 of a model's parameters as fp32 numbers, and of the same numbers rounded to fp16.

    Names, shapes and numbers count, and neither files nor types. The second is what a copy that was released in fp16
    has in common with one in fp32.
    """
    tensors = open_tensors(model)
    exact, rounded = {}, {}
    for name in floating_names(tensors):
        tensor = tensors[name].float()
        exact[name] = _digest(tensor)
        rounded[name] = _digest(tensor.half().float())
        tensors.release(name)
    return tuple(hashlib.sha256(canonical_json(each).encode()).hexdigest() for each in (exact, rounded))  # type: ignore[return-value]


def _digest(tensor: Tensor) -> list[object]:
    return [list(tensor.shape), hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()]
