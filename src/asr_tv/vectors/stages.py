"""The stages of weight arithmetic: build the SYN2REAL vector, average vectors, make the adapted checkpoint."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from asr_tv.errors import ConfigError
from asr_tv.models.tensors import open_tensors
from asr_tv.store.payload import MODEL, VECTOR
from asr_tv.store.results import Identity, Produced, Record, write_atomically
from asr_tv.store.runtime import Runtime
from asr_tv.vectors.apply import apply_vector
from asr_tv.vectors.combine import combine_vectors
from asr_tv.vectors.files import average_checkpoints, create_vector, mean_vector, open_vector
from asr_tv.vectors.merging import Merge
from asr_tv.vectors.similarity import LAYER, compared
from asr_tv.vectors.task_vector import floating_names

VERSION = 1


def vector_stage(runtime: Runtime, tuned: Record, base: Record) -> Record:
    """The vector tuned − base; with source_real and source_synthetic this is the SYN2REAL vector (arXiv 2406.02925)."""

    def produce(scratch: Path) -> Produced:
        with runtime.progress("task vector", 1, "vectors") as advance:
            create_vector(tuned.path / MODEL, base.path / MODEL, scratch / VECTOR, provenance={})
            advance()
        return Produced()

    inputs = {"tuned": tuned.digest, "base": base.digest}
    return runtime.store.build(Identity("vector", VERSION, {"operation": "difference"}, inputs), produce)


def mean_stage(runtime: Runtime, vectors: Sequence[Record]) -> Record:
    """The plain mean of per-domain vectors; their order does not matter."""
    ordered = sorted(vectors, key=lambda record: record.digest)

    def produce(scratch: Path) -> Produced:
        with runtime.progress("mean of vectors", 1, "vectors") as advance:
            mean_vector([record.path / VECTOR for record in ordered], scratch / VECTOR)
            advance()
        return Produced()

    inputs = {f"vector{number}": record.digest for number, record in enumerate(ordered)}
    return runtime.store.build(Identity("vector", VERSION, {"operation": "mean"}, inputs), produce)


def merged_stage(runtime: Runtime, vectors: Sequence[Record], method: Merge) -> Record:
    """Vectors merged by a method that takes no coefficient a vector, so that their order does not matter."""
    ordered = sorted(vectors, key=lambda record: record.digest)

    def produce(scratch: Path) -> Produced:
        with runtime.progress(f"{method.method} of vectors", 1, "vectors") as advance:
            combine_vectors([record.path / VECTOR for record in ordered], scratch / VECTOR, method)
            advance()
        return Produced()

    parameters = {"operation": method.method} | method.parameters
    inputs = {f"vector{number}": record.digest for number, record in enumerate(ordered)}
    return runtime.store.build(Identity("vector", VERSION, parameters, inputs), produce)


def adapt_stage(
    runtime: Runtime,
    start: Record,
    vector: Record | None,
    pretrained: Record,
    scaling_coef: float,
    pretrained_weight: float,
) -> Record:
    """The checkpoint start + scaling_coef x vector, then averaged with the pretrained weights if a share is asked for.

    Raises:
        ConfigError: a coefficient without a vector.
    """
    if vector is None and scaling_coef:
        raise ConfigError(f"a coefficient of {scaling_coef:g} needs a vector, and without source speech there is none")
    parameters = {"scaling_coef": scaling_coef, "pretrained_weight": pretrained_weight}
    inputs = {"start": start.digest, "pretrained": pretrained.digest} | ({"vector": vector.digest} if vector else {})

    def produce(scratch: Path) -> Produced:
        with runtime.progress("adapted model", 1, "models") as advance:
            _write_adapted(scratch, start, vector, pretrained, scaling_coef, pretrained_weight)
            advance()
        return Produced(details=parameters)

    return runtime.store.build(Identity("adapt", VERSION, parameters, inputs), produce)


def _write_adapted(
    scratch: Path, start: Record, vector: Record | None, pretrained: Record, scaling_coef: float, share: float
) -> None:
    summed = start.path / MODEL
    if vector is not None:
        summed = scratch / MODEL if not share else scratch / "summed"
        apply_vector(start.path / MODEL, vector.path / VECTOR, scaling_coef, summed)
    if share or vector is None:
        average_checkpoints(summed, pretrained.path / MODEL, share, scratch / MODEL)
    if summed.name == "summed":
        shutil.rmtree(summed)


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


def compare_stage(runtime: Runtime, directions: tuple[Direction, ...]) -> Record:
    """comparison.json: names, and for the whole and each module group norms and cosines in the order of the names."""
    inputs = {key: digest for direction in directions for key, digest in direction.inputs.items()}
    names = [direction.name for direction in directions]

    def produce(scratch: Path) -> Produced:
        with runtime.progress("compare vectors", 1, "comparisons") as advance:
            parts = compared([direction.tensors() for direction in directions])
            kept = [asdict(part) for part in parts if part.kind != LAYER]
            write_atomically(scratch / COMPARISON, json.dumps({"names": names, "parts": kept}))
            advance()
        return Produced()

    return runtime.store.build(Identity("compare", VERSION, {"names": names}, inputs), produce)


def read_comparison(record: Record) -> dict[str, Any]:
    """What `compare_stage` wrote."""
    content: dict[str, Any] = json.loads((record.path / COMPARISON).read_text(encoding="utf-8"))
    return content
