"""The stages of weight arithmetic: create, merge and compare task vectors, and make the adapted checkpoint."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from asr_tv.vectors.files import average_checkpoints, create_vector, open_vector
from asr_tv.vectors.merging import Merge
from asr_tv.vectors.similarity import LAYER, compare
from asr_tv.vectors.sparsify import Streamed
from asr_tv.vectors.task_vector import chunks, floating_names

VERSION = 1


def vector_stage(runtime: Runtime, tuned: Record, base: Record) -> Record:
    """The vector tuned − base; with source_real and source_synthetic this is the SYN2REAL vector (arXiv 2406.02925)."""

    def write(scratch: Path) -> None:
        create_vector(tuned.path / MODEL, base.path / MODEL, scratch / VECTOR, provenance={})

    inputs = {"tuned": tuned.digest, "base": base.digest}
    identity = Identity("vector", VERSION, {"operation": "difference"}, inputs)
    return _build(runtime, identity, "task vector", "vectors", write)


def mean_stage(runtime: Runtime, vectors: Sequence[Record]) -> Record:
    """The mean of per-domain vectors; their order does not matter."""
    return merged_stage(runtime, vectors, Merge("mean"))


def merged_stage(runtime: Runtime, vectors: Sequence[Record], method: Merge) -> Record:
    """Vectors merged by a method without coefficients per vector, so that their order does not matter."""
    ordered = sorted(vectors, key=lambda record: record.digest)

    def write(scratch: Path) -> None:
        combine_vectors([record.path / VECTOR for record in ordered], scratch / VECTOR, method)

    inputs = {f"vector{number}": record.digest for number, record in enumerate(ordered)}
    identity = Identity("vector", VERSION, {"operation": method.method} | method.parameters, inputs)
    return _build(runtime, identity, f"{method.method} of vectors", "vectors", write)


def adapt_stage(
    runtime: Runtime,
    start: Record,
    vector: Record | None,
    pretrained: Record,
    scaling_coef: float,
    pretrained_weight: float,
) -> Record:
    """The checkpoint start + scaling_coef · vector, averaged with the pretrained one if that is given a weight.

    Raises:
        ConfigError: a coefficient without a vector.
    """
    if vector is None and scaling_coef:
        raise ConfigError(f"a coefficient of {scaling_coef:g} needs a vector, and without source speech there is none")
    parameters = {"scaling_coef": scaling_coef, "pretrained_weight": pretrained_weight}
    inputs = {"start": start.digest, "pretrained": pretrained.digest} | ({"vector": vector.digest} if vector else {})

    def write(scratch: Path) -> None:
        summed = start.path / MODEL
        if vector is not None:
            summed = scratch / ("summed" if pretrained_weight else MODEL)
            apply_vector(start.path / MODEL, vector.path / VECTOR, scaling_coef, summed)
        if pretrained_weight or vector is None:
            average_checkpoints(summed, pretrained.path / MODEL, pretrained_weight, scratch / MODEL)
        if summed.name == "summed":
            shutil.rmtree(summed)

    identity = Identity("adapt", VERSION, parameters, inputs)
    return _build(runtime, identity, "adapted model", "models", write, details=parameters)


def _build(
    runtime: Runtime,
    identity: Identity,
    label: str,
    unit: str,
    write: Callable[[Path], None],
    details: Mapping[str, Any] | None = None,
) -> Record:
    def produce(scratch: Path) -> Produced:
        with runtime.progress(label, 1, unit) as advance:
            write(scratch)
            advance()
        return Produced(details=details or {})

    return runtime.store.build(identity, produce)


COMPARISON = "comparison.json"


@dataclass(frozen=True)
class Direction:
    """A named direction in weight space: the stored vector `of`, or the checkpoint `of` minus another, not stored."""

    name: str
    of: Record
    minus: Record | None = None

    def tensors(self) -> Mapping[str, Tensor]:
        """Its tensors, read lazily."""
        if self.minus is None:
            return open_vector(self.of.path / VECTOR)
        return _Shift(open_tensors(self.of.path / MODEL), open_tensors(self.minus.path / MODEL))


class _Shift(Streamed):
    """tuned − base in fp32, computed on access."""

    def __init__(self, tuned: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> None:
        super().__init__({name: base[name].shape for name in floating_names(base)})
        self._tuned, self._base = tuned, base

    def pieces(self, name: str) -> Iterator[Tensor]:
        for tuned, base in chunks(self._tuned[name], self._base[name]):
            yield tuned.float() - base.float()


def compare_stage(runtime: Runtime, directions: tuple[Direction, ...]) -> Record:
    """Writes comparison.json: norms and cosines of the whole and of each module group, in the order of `names`."""
    inputs: dict[str, str] = {}
    for direction in directions:
        inputs[f"{direction.name}: of"] = direction.of.digest
        if direction.minus is not None:
            inputs[f"{direction.name}: minus"] = direction.minus.digest
    names = [direction.name for direction in directions]

    def write(scratch: Path) -> None:
        parts = compare([direction.tensors() for direction in directions])
        kept = [asdict(part) for part in parts if part.kind != LAYER]
        write_atomically(scratch / COMPARISON, json.dumps({"names": names, "parts": kept}))

    identity = Identity("compare", VERSION, {"names": names}, inputs)
    return _build(runtime, identity, "compare vectors", "comparisons", write)


def read_comparison(record: Record) -> dict[str, Any]:
    """The contents of comparison.json."""
    content: dict[str, Any] = json.loads((record.path / COMPARISON).read_text(encoding="utf-8"))
    return content
