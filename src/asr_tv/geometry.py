"""The stage that compares directions in weight space: task vectors, and how far checkpoints moved from their base."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from asr_tv.checkpoint.tensors import open_tensors
from asr_tv.checkpoint.vectors import open_vector
from asr_tv.progress import Progress, silent
from asr_tv.similarity import LAYER, compared
from asr_tv.store import Identity, Produced, Record, Store, write_atomically
from asr_tv.task_vector import floating_names

STAGE, VERSION = "compare", 1
MODEL, VECTOR = "model", "vector.safetensors"
COMPARISON = "comparison.json"


@dataclass(frozen=True)
class Direction:
    """A named direction: the stored vector `of`, or the checkpoint `of` minus another, which is never written."""

    name: str
    of: Record
    minus: Record | None = None

    @property
    def inputs(self) -> dict[str, str]:
        """Digests of what it is made of."""
        less = {} if self.minus is None else {f"{self.name}: minus": self.minus.digest}
        return {f"{self.name}: of": self.of.digest, **less}

    def tensors(self) -> Mapping[str, Tensor]:
        """Opened lazily, tensor by tensor."""
        if self.minus is None:
            return open_vector(self.of.path / VECTOR)
        return _Shift(open_tensors(self.of.path / MODEL), open_tensors(self.minus.path / MODEL))


class _Shift(Mapping[str, Tensor]):
    """tuned − base in fp32, made when a tensor is asked for."""

    def __init__(self, tuned: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> None:
        self._tuned, self._base = tuned, base
        self._names = floating_names(base)

    def __getitem__(self, name: str) -> Tensor:
        return self._tuned[name].float() - self._base[name].float()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def compare_stage(directions: tuple[Direction, ...], *, store: Store, progress: Progress = silent) -> Record:
    """comparison.json: names, and for the whole and each module group norms and cosines in the order of the names."""
    inputs = {key: digest for direction in directions for key, digest in direction.inputs.items()}
    names = [direction.name for direction in directions]

    def produce(scratch: Path) -> Produced:
        with progress("compare vectors", 1, "comparisons") as advance:
            parts = compared([direction.tensors() for direction in directions])
            kept = [asdict(part) for part in parts if part.kind != LAYER]
            write_atomically(scratch / COMPARISON, json.dumps({"names": names, "parts": kept}))
            advance()
        return Produced()

    return store.build(Identity(STAGE, VERSION, {"names": names}, inputs), produce)


def read_comparison(record: Record) -> dict[str, Any]:
    """What `compare_stage` wrote."""
    content: dict[str, Any] = json.loads((record.path / COMPARISON).read_text(encoding="utf-8"))
    return content
