"""Reads an openai-whisper checkpoint (`.pt`: dims and model_state_dict) as tensors with transformers' names."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from asr_tv.errors import DataError
from asr_tv.models.pickled import read_plain, require_tensors

MODULES = {
    "attn.query": "self_attn.q_proj",
    "attn.key": "self_attn.k_proj",
    "attn.value": "self_attn.v_proj",
    "attn.out": "self_attn.out_proj",
    "attn_ln": "self_attn_layer_norm",
    "cross_attn.query": "encoder_attn.q_proj",
    "cross_attn.key": "encoder_attn.k_proj",
    "cross_attn.value": "encoder_attn.v_proj",
    "cross_attn.out": "encoder_attn.out_proj",
    "cross_attn_ln": "encoder_attn_layer_norm",
    "mlp.0": "fc1",
    "mlp.2": "fc2",
    "mlp_ln": "final_layer_norm",
}
TOP = {
    "encoder.positional_embedding": "model.encoder.embed_positions.weight",
    "decoder.positional_embedding": "model.decoder.embed_positions.weight",
    "decoder.token_embedding.weight": "model.decoder.embed_tokens.weight",
    "encoder.conv1.weight": "model.encoder.conv1.weight",
    "encoder.conv1.bias": "model.encoder.conv1.bias",
    "encoder.conv2.weight": "model.encoder.conv2.weight",
    "encoder.conv2.bias": "model.encoder.conv2.bias",
    "encoder.ln_post.weight": "model.encoder.layer_norm.weight",
    "encoder.ln_post.bias": "model.encoder.layer_norm.bias",
    "decoder.ln.weight": "model.decoder.layer_norm.weight",
    "decoder.ln.bias": "model.decoder.layer_norm.bias",
}
BLOCK = re.compile(r"(encoder|decoder)\.blocks\.(\d+)\.(.+)\.(weight|bias)")


def read_openai(path: Path) -> tuple[Mapping[str, int], dict[str, Tensor]]:
    """The dimensions, and the tensors under transformers' names without the tied `proj_out`.

    The file is loaded with `weights_only=True`: it can hold tensors and plain values, not code.

    Raises:
        DataError: not such a checkpoint, or an unknown tensor.
    """
    dimensions, state = _content(path, read_plain(path))
    names = {name: transformers_name(name) for name in state}
    if unknown := [name for name, ours in names.items() if ours is None]:
        raise DataError(f"{path}: {', '.join(unknown[:5])} is not a tensor of openai-whisper")
    return dimensions, {ours: state[name] for name, ours in names.items() if ours is not None}


def transformers_name(name: str) -> str | None:
    """The name of an openai-whisper parameter in transformers, or None for an unknown one."""
    if (match := BLOCK.fullmatch(name)) is None:
        return TOP.get(name)
    side, index, module, leaf = match.groups()
    return f"model.{side}.layers.{index}.{MODULES[module]}.{leaf}" if module in MODULES else None


def _content(path: Path, checkpoint: Any) -> tuple[Mapping[str, int], Mapping[str, Tensor]]:
    parts = checkpoint if isinstance(checkpoint, dict) else {}
    dimensions, state = parts.get("dims"), parts.get("model_state_dict")
    if not isinstance(dimensions, dict) or not isinstance(state, dict):
        raise DataError(f"{path}: has no dims and model_state_dict, as openai-whisper's checkpoints do")
    return dimensions, require_tensors(path, state)
