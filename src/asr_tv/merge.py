"""The stages of weight arithmetic: build the SYN2REAL vector, average vectors, make the adapted checkpoint."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from asr_tv.checkpoint.apply import apply_vector
from asr_tv.checkpoint.combine import combine_vectors
from asr_tv.checkpoint.vectors import average_checkpoints, create_vector, mean_vector
from asr_tv.errors import ConfigError
from asr_tv.merging import Merge
from asr_tv.progress import Progress, silent
from asr_tv.store import Identity, Produced, Record, Store

VERSION = 1
VECTOR = "vector.safetensors"
MODEL = "model"


def vector_stage(tuned: Record, base: Record, *, store: Store, progress: Progress = silent) -> Record:
    """The vector tuned − base; with source_real and source_synthetic this is the SYN2REAL vector (arXiv 2406.02925)."""

    def produce(scratch: Path) -> Produced:
        with progress("task vector", 1, "vectors") as advance:
            create_vector(tuned.path / MODEL, base.path / MODEL, scratch / VECTOR, provenance={})
            advance()
        return Produced()

    inputs = {"tuned": tuned.digest, "base": base.digest}
    return store.build(Identity("vector", VERSION, {"operation": "difference"}, inputs), produce)


def mean_stage(vectors: Sequence[Record], *, store: Store, progress: Progress = silent) -> Record:
    """The plain mean of per-domain vectors; their order does not matter."""
    ordered = sorted(vectors, key=lambda record: record.digest)

    def produce(scratch: Path) -> Produced:
        with progress("mean of vectors", 1, "vectors") as advance:
            mean_vector([record.path / VECTOR for record in ordered], scratch / VECTOR)
            advance()
        return Produced()

    inputs = {f"vector{number}": record.digest for number, record in enumerate(ordered)}
    return store.build(Identity("vector", VERSION, {"operation": "mean"}, inputs), produce)


def merged_stage(vectors: Sequence[Record], method: Merge, *, store: Store, progress: Progress = silent) -> Record:
    """Vectors merged by a method that takes no coefficient a vector, so that their order does not matter."""
    ordered = sorted(vectors, key=lambda record: record.digest)

    def produce(scratch: Path) -> Produced:
        with progress(f"{method.method} of vectors", 1, "vectors") as advance:
            combine_vectors([record.path / VECTOR for record in ordered], scratch / VECTOR, method)
            advance()
        return Produced()

    parameters = {"operation": method.method} | method.parameters
    inputs = {f"vector{number}": record.digest for number, record in enumerate(ordered)}
    return store.build(Identity("vector", VERSION, parameters, inputs), produce)


def adapt_stage(
    start: Record,
    vector: Record | None,
    pretrained: Record,
    *,
    scaling_coef: float,
    pretrained_weight: float,
    store: Store,
    progress: Progress = silent,
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
        with progress("adapted model", 1, "models") as advance:
            _write_adapted(scratch, start, vector, pretrained, scaling_coef, pretrained_weight)
            advance()
        return Produced(details=parameters)

    return store.build(Identity("adapt", VERSION, parameters, inputs), produce)


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
