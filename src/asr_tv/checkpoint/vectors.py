"""Task vectors and weight averages from files to files, streamed tensor by tensor.

Every result carries in its metadata the digests of its parents, the operation and the library versions, and no clock.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_tv import task_vector
from asr_tv.checkpoint.ctc import VOCABULARY
from asr_tv.checkpoint.directory import CONFIG, METADATA, TOKENIZER, copy_side_files
from asr_tv.checkpoint.family import family_of
from asr_tv.checkpoint.low_rank import FORM, LowRankVector, write_low_rank
from asr_tv.checkpoint.tensors import WEIGHTS, Layout, Tensors, layout_of, open_tensors, read_json, write_tensors
from asr_tv.checkpoint.whisper import checkpoint_digest
from asr_tv.errors import DataError
from asr_tv.modules import coefficients_by_name
from asr_tv.store import canonical_json, file_digest

KIND = "task vector"
_ARCHITECTURE = (
    *("d_model", "encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads"),
    *("num_mel_bins", "vocab_size", "tie_word_embeddings"),
)
_CTC_ARCHITECTURE = (
    *("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"),
    *("conv_dim", "conv_kernel", "conv_stride", "feat_extract_norm", "position_embeddings_type"),
)


def create_vector(tuned: Path, base: Path, out: Path, provenance: Mapping[str, Any]) -> None:
    """Writes the task vector tuned − base of two checkpoint directories, in fp32.

    Args:
        provenance: what else the file should say of its origin, JSON-able.

    Raises:
        DataError: checkpoints of different architecture or vocabulary, or with NaN or infinity.
    """
    require_same_form(_form(tuned), _form(base), f"{tuned} and {base}")
    recipe = {"operation": "difference", "tuned": checkpoint_digest(tuned), "base": checkpoint_digest(base)}
    base_tensors = open_tensors(base)
    with naming(f"{tuned} − {base}"):
        difference = task_vector.difference(open_tensors(tuned), base_tensors)
        write_tensors(
            out, fp32_layout(base_tensors), difference, vector_metadata(_form(base), recipe | dict(provenance))
        )


def write_lora_vector(
    factors: Mapping[str, tuple[Tensor, Tensor]], scale: float, tuned: Path, base: Path, out: Path
) -> None:
    """Writes what LoRA changed between two directories, as a task vector of its factors alone.

    Args:
        factors: (a, b) of each changed tensor: the change is `scale` · b @ a.
        tuned: the base with the change merged in.
    """
    recipe = {"operation": "lora", "tuned": checkpoint_digest(tuned), "base": checkpoint_digest(base)}
    shapes = {name: shape for name, (_, shape) in fp32_layout(open_tensors(base)).items()}
    write_low_rank(out, factors, scale, shapes, vector_metadata(_form(base), recipe))


def mean_vector(vectors: Sequence[Path], out: Path) -> None:
    """Writes the plain mean of task vectors.

    Raises:
        ConfigError: no vectors.
        DataError: a file that is not a task vector, or vectors of different architecture or vocabulary.
    """
    opened = [open_vector(path) for path in vectors]
    for vector in opened[1:]:
        require_same_form(opened[0].metadata, vector.metadata, f"{opened[0].path} and {vector.path}")
    recipe = {"operation": "mean", "vectors": sorted(file_digest(path) for path in vectors)}
    with naming("the mean of vectors"):
        tensors = task_vector.mean(opened)
        write_tensors(out, fp32_layout(opened[0]), tensors, vector_metadata(opened[0].metadata, recipe))


def apply_vector(
    model: Path, vector: Path, scaling_coef: float | None, out: Path, by_module: Mapping[str, float] | None = None
) -> None:
    """Writes the directory of model + scaling_coef · vector; with a coefficient of 0, the model's own tensors.

    The tied output is one tensor with the embedding, and so moves once.

    Args:
        scaling_coef: the coefficient of all modules that `by_module` leaves; None if it must leave none.
        by_module: coefficients by pattern, as `modules.coefficients_by_name` reads them.

    Raises:
        ConfigError: a coefficient is not a finite number; a pattern fits no module; a tensor has no coefficient.
        DataError: not a task vector, or one of another architecture or vocabulary; NaN or infinity.
    """
    tensors, delta = open_tensors(model), open_vector(vector)
    require_same_form(delta.metadata, _form(model), f"{vector} and {model}")
    coefficients = coefficients_by_name(delta, by_module or {}, scaling_coef)
    recipe = {
        "operation": "apply",
        "model": checkpoint_digest(model),
        "vector": file_digest(vector),
        "scaling_coef": scaling_coef,
    } | ({"by_module": dict(by_module)} if by_module else {})
    with naming(f"{model} + {_coefficient_text(scaling_coef, by_module or {})} · {vector}"):
        _write_directory(tensors, task_vector.applied(tensors, delta, coefficients), recipe, like=model, out=out)


def _coefficient_text(scaling_coef: float | None, by_module: Mapping[str, float]) -> str:
    rest = [] if scaling_coef is None else [f"{scaling_coef:g}"]
    parts = [*rest, *(f"{pattern}={value:g}" for pattern, value in by_module.items())]
    return f"({', '.join(parts)})" if by_module else "".join(parts)


def average_checkpoints(a: Path, b: Path, weight_of_b: float, out: Path) -> None:
    """Writes the directory of (1 − weight_of_b) · a + weight_of_b · b; all files but the weights are those of `a`.

    Raises:
        ConfigError: a weight outside 0..1.
        DataError: checkpoints of different architecture or vocabulary.
    """
    require_same_form(_form(a), _form(b), f"{a} and {b}")
    recipe = {
        "operation": "average",
        "a": checkpoint_digest(a),
        "b": checkpoint_digest(b),
        "weight_of_b": weight_of_b,
    }
    tensors = open_tensors(a)
    with naming(f"the average of {a} and {b}"):
        average = task_vector.interpolated(tensors, open_tensors(b), weight_of_b)
        _write_directory(tensors, average, recipe, like=a, out=out)


def _write_directory(
    layout: Mapping[str, Tensor],
    tensors: Iterator[tuple[str, Tensor]],
    recipe: Mapping[str, Any],
    *,
    like: Path,
    out: Path,
) -> None:
    # Weights first: where they cannot be computed, no half model is left.
    write_tensors(
        out / WEIGHTS, layout_of(layout), tensors, METADATA | {"recipe": canonical_json(recipe)} | _versions()
    )
    copy_side_files(like, out)


def open_vector(path: Path) -> Tensors:
    """The tensors and metadata of a task vector's file.

    Raises:
        DataError: not such a file.
    """
    if path.is_dir():
        raise DataError(f"{path}: is a directory; a task vector is one .safetensors file")
    tensors = open_tensors(path)
    if tensors.metadata.get("kind") != KIND:
        raise DataError(f"{path}: is not a task vector, as `asr-tv vector create` makes them")
    return LowRankVector(tensors) if FORM in tensors.metadata else tensors


def _form(directory: Path) -> dict[str, str]:
    """Architecture and vocabulary, as vectors carry them: weights of equal form may be added."""
    config = {"tie_word_embeddings": True} | read_json(directory / CONFIG)
    if family_of(directory) == "ctc":
        architecture = {key: config.get(key) for key in _CTC_ARCHITECTURE}
        vocabulary = canonical_json(read_json(directory / VOCABULARY))
        return {
            "architecture": canonical_json(architecture),
            "vocabulary": hashlib.sha256(vocabulary.encode()).hexdigest(),
        }
    architecture = {key: config.get(key) for key in _ARCHITECTURE}
    return {"architecture": canonical_json(architecture), "vocabulary": _vocabulary_digest(directory)}


def _vocabulary_digest(directory: Path) -> str:
    """sha256 of the byte-pair tokens and their ids; the special tokens after them are named in several ways."""
    vocabulary = read_json(directory / TOKENIZER).get("model", {}).get("vocab", {})
    ordinary = {token: number for token, number in vocabulary.items() if not token.startswith("<|")}
    return hashlib.sha256(canonical_json(ordinary).encode()).hexdigest()


def require_same_form(a: Mapping[str, str], b: Mapping[str, str], which: str) -> None:
    """Refuses to combine weights of different architectures or vocabularies, as two files' metadata have them.

    Raises:
        DataError: they differ; `which` names the two.
    """
    ours, theirs = (json.loads(form["architecture"]) for form in (a, b))
    problems = [
        f"{which}: different architectures: {key} is {ours.get(key)} and {theirs.get(key)}"
        for key in dict.fromkeys((*_ARCHITECTURE, *_CTC_ARCHITECTURE))
        if ours.get(key) != theirs.get(key)
    ]
    if a["vocabulary"] != b["vocabulary"]:
        problems.append(f"{which}: different vocabularies: a row of the embedding is not the same word in both")
    if problems:
        raise DataError(problems)


def fp32_layout(tensors: Mapping[str, Tensor]) -> Layout:
    """The layout of a vector of these tensors."""
    return {name: (torch.float32, tuple(tensors[name].shape)) for name in task_vector.floating_names(tensors)}


def vector_metadata(form: Mapping[str, str], recipe: Mapping[str, Any]) -> dict[str, str]:
    """What a vector's file says of itself: its form, as that of a parent, and how it was made."""
    same = {key: form[key] for key in ("architecture", "vocabulary")}
    return METADATA | {"kind": KIND, "recipe": canonical_json(recipe)} | same | _versions()


def _versions() -> dict[str, str]:
    return {f"{package}_version": version(package) for package in ("asr-tv", "torch")}


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Puts the files' names before the problems that the arithmetic, which knows none, finds."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{what}: {problem}" for problem in error.problems) from error
