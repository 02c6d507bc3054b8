"""The parts of a model by the names of its tensors: module groups, layers, and coefficients by pattern."""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from asr_tv.errors import ConfigError

CONV_STEM, EMBEDDING = "conv_stem", "embedding"

_EMBEDDINGS = frozenset({"embed_tokens", "token_embedding", "wte"})
_HEADS = frozenset({"lm_head", "proj_out", "embed_out"})
_BUFFERS = frozenset({"running_mean", "running_var", "num_batches_tracked", "inv_freq", "original_inv_freq"})
_LAYER = re.compile(r"(.*?\.?(?:layers|blocks|h)\.\d+)(?:\.|$)")
_RANGE = re.compile(r"(\d+)-(\d+)")
_ROOTS = ("model.", "wav2vec2.", "wav2vec2_conformer.")


def group_of(name: str) -> str:
    """The module group of a tensor: conv_stem, embedding, or else its first module, such as encoder."""
    parts = _parts(name)
    if not _EMBEDDINGS.isdisjoint(parts):
        return EMBEDDING
    return CONV_STEM if parts[0] == "encoder" and parts[1:2] in (["conv1"], ["conv2"]) else parts[0]


def layer_of(name: str) -> str | None:
    """The layer of a tensor, such as encoder.layers.3, or None outside of layers."""
    match = _LAYER.match(without_root(name))
    return match[1] if match else None


def has_token_rows(name: str) -> bool:
    """Whether a tensor has one row per token of the vocabulary, as embedding and output head have."""
    return not (_EMBEDDINGS | _HEADS).isdisjoint(name.split("."))


def is_buffer(name: str) -> bool:
    """Whether a tensor is not trained: statistics of batch norm, frequencies of rotary positions."""
    return name.rpartition(".")[2] in _BUFFERS


def order_of(part: str) -> tuple[int | str, ...]:
    """A sorting key for names that puts layer 10 after layer 9."""
    return tuple(f"{int(word):09d}" if word.isdigit() else word for word in part.split("."))


def coefficients_by_name(
    names: Iterable[str], by_module: Mapping[str, float], rest: float | None = None
) -> dict[str, float]:
    """The coefficient of each tensor, from patterns of modules.

    A pattern is a module and all below it: encoder, decoder.layers.2, encoder.layers.0-3 (both ends included),
    decoder.layers.*.encoder_attn; or a group, conv_stem or embedding. The longest pattern that fits a tensor applies,
    so that encoder.layers.0-3 may differ from encoder; groups count as two parts; `rest` is for what no pattern fits.

    Raises:
        ConfigError: a pattern that fits nothing, two of one length that fit the same tensor, a tensor with none.
    """
    names = sorted(names)
    fitting = {name: _fitting(name, by_module) for name in names}
    unused = by_module.keys() - {pattern for patterns in fitting.values() for pattern in patterns}
    problems = [f"{pattern}: no tensor of the model is in such a module" for pattern in sorted(unused)]
    contests = [(n, f) for n, f in fitting.items() if len(f) > 1 and _depth(f[0]) == _depth(f[1])]
    problems += sorted(f"{found[0]} and {found[1]} both fit {name}" for name, found in contests)[:3]
    bare = [name for name in names if not fitting[name]] if rest is None else []
    if bare:
        problems.append(f"{len(bare)} tensors have no coefficient, such as {bare[0]}; give one number for the rest")
    if problems:
        raise ConfigError(problems)
    return {name: by_module[found[0]] if found else float(rest or 0) for name, found in fitting.items()}


def _fitting(name: str, patterns: Iterable[str]) -> list[str]:
    """The patterns that fit, the most specific first."""
    return sorted((pattern for pattern in patterns if _fits(name, pattern)), key=lambda p: (-_depth(p), p))


def _fits(name: str, pattern: str) -> bool:
    if pattern in (CONV_STEM, EMBEDDING):
        return group_of(name) == pattern
    parts, wanted = _parts(name), _parts(pattern)
    return len(wanted) <= len(parts) and all(map(_word_fits, parts, wanted))


def _word_fits(word: str, wanted: str) -> bool:
    if (limits := _RANGE.fullmatch(wanted)) and word.isdigit():
        return int(limits[1]) <= int(word) <= int(limits[2])
    return fnmatchcase(word, wanted)


def _depth(pattern: str) -> int:
    # Groups stand for modules of this depth: encoder.conv1, decoder.embed_tokens.
    return 2 if pattern in (CONV_STEM, EMBEDDING) else len(_parts(pattern))


def _parts(name: str) -> list[str]:
    return without_root(name).split(".")


def without_root(name: str) -> str:
    """The name without the root module that contains all of a model except its head."""
    return next((name.removeprefix(root) for root in _ROOTS if name.startswith(root)), name)
