"""Creates task vectors and averages checkpoints, from files to files, each read once and piece by piece.

The metadata of a result state the digests of its parents, the operation and the library versions, and no time.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_tv.errors import DataError
from asr_tv.models.directory import METADATA
from asr_tv.models.output import Layout, Output, new_file
from asr_tv.models.tensors import Tensors, open_tensors
from asr_tv.store.results import canonical_json
from asr_tv.vectors import task_vector
from asr_tv.vectors.compatibility import Embedding, form_of, matched_names, require_form
from asr_tv.vectors.low_rank import FORM, LowRankVector, write_low_rank
from asr_tv.vectors.model_folder import new_model_like, require_apart
from asr_tv.vectors.quantised import FORM as ROW_SCALES
from asr_tv.vectors.quantised import QuantisedVector
from asr_tv.vectors.streaming import NO_DIGEST, Reader, cuts, exhaust, on_all_cores, weights_digest
from asr_tv.vectors.task_vector import BASE, TUNED

KIND = "task vector"
SHORT = 16
"""Digits of a digest that suffice to tell tensors apart."""


def create_vector(
    tuned: Path, base: Path, out: Path, provenance: Mapping[str, Any], embedding: Embedding = "same"
) -> None:
    """Writes the task vector tuned − base of two models, in fp32; `provenance` adds to the file's recipe.

    Raises:
        ConfigError: `out` touches one of the models.
        DataError: models of different names, shapes, architecture or vocabulary, or with NaN or infinity.
    """
    require_apart(out, (tuned, base))
    form = form_of(base) | ({} if embedding == "same" else {"embedding": embedding})
    require_form(form, tuned, f"{base} and {tuned}", embedding)
    ours, theirs = Reader(open_model(tuned)), Reader(open_model(base))
    with naming(f"{tuned} − {base}"):
        names = matched_names(ours.tensors, theirs.tensors, TUNED, BASE, embedding)
    # The smaller shape is that of the rows that both sides have.
    layout = {name: (torch.float32, tuple(min(r.tensors[name].shape for r in (ours, theirs)))) for name in names}

    def metadata() -> dict[str, str]:
        digests = {"tuned": ours.digest_or_blank, "base": theirs.digest_or_blank}
        recipe = {"operation": "difference"} | digests | dict(provenance)
        short = {name: theirs.hashes.get(name, NO_DIGEST)[:SHORT] for name in theirs.tensors}
        origin = {"bases": canonical_json([digests["base"]]), "base_tensors": canonical_json(short)}
        return vector_metadata(form, recipe) | origin

    with naming(f"{tuned} − {base}"), new_file(out) as file, Output({file: layout}, metadata) as output:
        names = sorted({*ours.tensors, *theirs.tensors})
        on_all_cores(lambda name: _subtract(name, ours, theirs, output, layout), names)


def _subtract(name: str, tuned: Reader, base: Reader, output: Output, layout: Layout) -> None:
    # Both sides are read in any case, for the digests.
    sides = [reader for reader in (tuned, base) if name in reader.tensors]
    length = torch.Size(layout[name][1]).numel() if name in layout else 0
    reading = [reader.pieces(name, cuts(reader.tensors[name].numel(), length)) for reader in sides]
    if name in layout:
        called = (tuned.called, base.called)
        pairs = ((next(reading[0]), next(reading[1])) for _ in cuts(length))
        output.write(name, (task_vector.subtract(name, *pair, called) for pair in pairs))
    for rest in reading:
        exhaust(rest)


def write_lora_vector(
    factors: Mapping[str, tuple[Tensor, Tensor]], scale: float, tuned: Path, base: Path, out: Path
) -> None:
    """Writes the LoRA update between two model directories as a low-rank task vector.

    The update of a tensor is `scale` · b @ a with its factors (a, b); it is merged into `tuned`.
    """
    before, after = open_model(base), open_model(tuned)
    digest = weights_digest(before)
    recipe = {"operation": "lora", "tuned": weights_digest(after), "base": digest}
    shapes = {name: shape for name, (_, shape) in fp32_layout(before).items()}
    metadata = vector_metadata(form_of(base), recipe) | {"bases": canonical_json([digest])}
    write_low_rank(out, factors, scale, shapes, metadata)


def average_checkpoints(a: Path, b: Path, weight_of_b: float, out: Path) -> None:
    """Writes (1 − weight_of_b) · a + weight_of_b · b; all files other than the weights are those of `a`.

    Raises:
        ConfigError: a weight outside 0..1.
        DataError: models of different architecture or vocabulary.
    """
    require_apart(out, (a, b))
    require_form(form_of(a), b, f"{a} and {b}")
    ours, theirs = Reader(open_model(a)), Reader(open_model(b))
    with naming(f"the average of {a} and {b}"):
        # Checks names, shapes and the weight now; the result is lazy and not used.
        task_vector.interpolated(ours.tensors, theirs.tensors, weight_of_b)

        def metadata() -> dict[str, str]:
            digests = {"a": ours.digest_or_blank, "b": theirs.digest_or_blank}
            return model_metadata(ours.tensors, {"operation": "average", "weight_of_b": weight_of_b} | digests, ())

        def average(name: str) -> None:
            pairs = zip(ours.pieces(name), theirs.pieces(name), strict=True)
            output.write(name, (task_vector.average(name, *pair, weight_of_b) for pair in pairs))

        with new_model_like(ours.tensors, out, metadata) as output:
            on_all_cores(average, ours.tensors)


def open_model(path: Path) -> Tensors:
    """The tensors and metadata of a model; a DataError for missing or damaged files, or a task vector."""
    tensors = open_tensors(path)
    if tensors.metadata.get("kind") == KIND:
        raise DataError(f"{path}: is a task vector, not a model")
    return tensors


def open_vector(path: Path) -> Tensors:
    """The tensors and metadata of a task vector's file; a DataError if it is none, or its metadata are damaged."""
    if path.is_dir():
        raise DataError(f"{path}: is a directory; a task vector is one .safetensors file")
    tensors = open_tensors(path)
    if tensors.metadata.get("kind") != KIND:
        raise DataError(f"{path}: is not a task vector, as `asr-tv vector create` makes them")
    for key in ("recipe", "architecture", "base_tensors"):
        object_in(tensors, key)
    if not tensors.metadata.get("tokens", "0").isdecimal():
        raise DataError(f"{path}: its metadata are damaged: tokens is not a number")
    bases_of(tensors)
    if ROW_SCALES in tensors.metadata:
        return QuantisedVector(tensors)
    return LowRankVector(tensors) if FORM in tensors.metadata else tensors


def object_in(vector: Tensors, key: str) -> dict[str, Any]:
    """The JSON object under a key of the metadata, empty where the key is missing; a DataError if it is damaged."""
    value = _json_in(vector, key, "{}")
    if not isinstance(value, dict):
        raise DataError(f"{vector.path}: its metadata are damaged: {key} is not a JSON object")
    return value


def bases_of(vector: Tensors) -> list[str]:
    """Digests of the models that were subtracted to make a vector; empty where its file does not state them."""
    return _digests_in(vector, "bases")


def ancestors_of(model: Tensors) -> list[str]:
    """Digests of the models that this one was made from by adding vectors, as far as its file states them."""
    return _digests_in(model, "ancestors")


def _digests_in(tensors: Tensors, key: str) -> list[str]:
    digests = _json_in(tensors, key, "[]")
    if not isinstance(digests, list) or not all(isinstance(digest, str) for digest in digests):
        raise DataError(f"{tensors.path}: its metadata are damaged: {key} is not a JSON list of digests")
    return digests


def _json_in(tensors: Tensors, key: str, default: str) -> Any:
    try:
        return json.loads(tensors.metadata.get(key, default))
    except ValueError:
        return None


def common_origin(vectors: Sequence[Tensors]) -> dict[str, str]:
    """The metadata on the bases of a vector combined from several; empty if one of them is unknown."""
    known = [bases_of(vector) for vector in vectors]
    if not all(known):
        return {}
    bases = sorted({digest for bases in known for digest in bases})
    short = vectors[0].metadata.get("base_tensors")
    origin = {"bases": canonical_json(bases)}
    return origin | ({"base_tensors": short} if short and len(bases) == 1 else {})


def fp32_layout(tensors: Mapping[str, Tensor]) -> Layout:
    """The layout of a task vector with the parameters among these tensors."""
    names = task_vector.floating_names(tensors)
    return {name: (torch.float32, tuple(tensors[name].shape)) for name in names}


def vector_metadata(form: Mapping[str, str], recipe: Mapping[str, Any]) -> dict[str, str]:
    """The metadata of a task vector: the form it shares with its parent, and its recipe."""
    same = {key: form[key] for key in ("architecture", "vocabulary", "tokens", "embedding") if key in form}
    return METADATA | {"kind": KIND, "recipe": canonical_json(recipe)} | same | _versions()


def model_metadata(like: Tensors, recipe: Mapping[str, Any], ancestors: Sequence[str]) -> dict[str, str]:
    """The metadata of a new model: those of the model it is written like, its recipe and its ancestors."""
    origin = {"ancestors": canonical_json(list(ancestors))} if ancestors else {}
    return {**like.metadata, **METADATA, "recipe": canonical_json(recipe), **origin, **_versions()}


def _versions() -> dict[str, str]:
    return {f"{package}_version": version(package) for package in ("asr-tv", "torch")}


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Prefixes problems found by the arithmetic, which knows no files, with the files' names."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{what}: {problem}" for problem in error.problems) from error
