"""Prepares a model for tuning in part: freezing, LoRA and (IA)3 through peft, and merging of adapters."""

import re
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor

from asr_tv.config.trainable import Blocks, Everything, Ia3, Lora, Part, Trainable, written
from asr_tv.errors import ConfigError
from asr_tv.models.parameter_names import CONV_STEM, EMBEDDING, group_of, without_root

_QUERY_VALUE = ("q_proj", "v_proj", "linear_q", "linear_v", "projections")
_KEY_VALUE = ("k_proj", "v_proj", "linear_k", "linear_v")
_MLP_OUTPUT = ("fc2", "output_dense")
_TIED = "proj_out"
"""Whisper's output projection, which must stay tied to the embedding."""
_ATTENTION = frozenset({"self_attn", "encoder_attn", "attention"})
_MLP = frozenset({"fc1", "fc2", "feed_forward", "ffn1", "ffn2"})
_BEFORE_BLOCKS = ("feature_extractor.", "feature_projection.", "encoder.pos_conv_embed.")
"""What a CTC model has in place of Whisper's convolutions."""
_BLOCK = re.compile(r"(?:(encoder|decoder)\.layers|blocks)\.(\d+)\.")
"""Of transformers' models, or of hama's Conformer, which is an encoder."""


def make_trainable(model: Any, trainable: Trainable, seed: int = 0) -> None:
    """Freezes, in place, all that is not to be tuned, and injects adapters; the model's outputs do not change.

    Raises:
        ConfigError: the model has no such part or modules, or nothing is left to tune.
    """
    if isinstance(trainable, Lora | Ia3):
        _inject(model, trainable, seed)
        return
    frozen = frozen_names((name for name, _ in model.named_parameters()), trainable)
    for name, parameter in model.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    if not isinstance(trainable, Everything) and not any(p.requires_grad for p in model.parameters()):
        raise ConfigError("training.trainable: leaves nothing to tune")


def _inject(model: Any, adapter: Lora | Ia3, seed: int) -> None:
    from peft import IA3Config, LoraConfig, inject_adapter_in_model

    if isinstance(adapter, Lora):
        config: Any = LoraConfig(
            r=adapter.r,
            lora_alpha=cast("Any", adapter.alpha),  # annotated as int, but a float is valid
            target_modules=_find_modules(model, adapter.targets or _QUERY_VALUE, adapter),
        )
    else:
        # peft has no default modules for Whisper.
        outputs, inputs = adapter.targets, adapter.feedforward
        if not outputs and not inputs:
            outputs, inputs = _KEY_VALUE, _MLP_OUTPUT
        rescaled_inputs = _find_modules(model, inputs, adapter)
        config = IA3Config(
            target_modules=[*_find_modules(model, outputs, adapter), *rescaled_inputs],
            feedforward_modules=rescaled_inputs,
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model)


def _find_modules(model: Any, names: Iterable[str], adapter: Lora | Ia3) -> list[str]:
    """Those of `names` that are linear modules of the model; only names by default may be missing."""
    linear = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split(".")[-1] != _TIED]
    found = [name for name in names if any(n == name or n.endswith(f".{name}") for n in linear)]
    given = {*adapter.targets, *(adapter.feedforward if isinstance(adapter, Ia3) else ())}
    known = ", ".join(sorted({name.split(".")[-1] for name in linear}))
    if unknown := sorted(given.intersection(names) - set(found)):
        raise ConfigError(f"training.trainable: no linear module is called {', '.join(unknown)}; there are {known}")
    if names and not found:
        raise ConfigError(f"training.trainable: no linear module to adapt by default: name targets of {known}")
    return found


def set_training_mode(model: Any) -> None:
    """Training mode except in wholly frozen modules: no dropout there, and batch statistics stay as they are."""
    model.train()
    for module in model.modules():
        own = list(module.parameters())
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()


def trainable_parameters(model: Any) -> int:
    """Number of trainable parameters; tied tensors count once."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def low_rank_parts(model: Any) -> dict[str, tuple[Tensor, Tensor]]:
    """LoRA's factors by name of the weight they change: a of shape (r, in) and b of shape (out, r)."""
    return {
        f"{name}.weight": (_factor(module.lora_A), _factor(module.lora_B))
        for name, module in model.named_modules()
        if "default" in getattr(module, "lora_A", {})
    }


def _factor(adapters: Any) -> Tensor:
    return adapters["default"].weight.detach().float().cpu().clone()  # type: ignore[no-any-return]


def merge_adapters(model: Any) -> None:
    """Merges adapters into the weights, in place; the model has the modules and names that it had before."""
    for name, module in list(model.named_modules()):
        if hasattr(module, "get_base_layer"):
            module.merge(safe_merge=True)
            model.set_submodule(name, module.get_base_layer())


def frozen_names(names: Iterable[str], trainable: Everything | Blocks | Part) -> frozenset[str]:
    """Which of a model's parameters, named as transformers names them, are to be frozen.

    Raises:
        ConfigError: the model has no such part, or fewer blocks.
    """
    names = list(names)
    match trainable:
        case Everything():
            return frozenset()
        case Part(action, part):
            inside = frozenset(name for name in names if _in_part(name, part))
            if not inside:
                raise ConfigError(f"training.trainable: {written(trainable)}: the model has no {part}")
            return inside if action == "freeze" else frozenset(names) - inside
        case Blocks():
            return _frozen_blocks(names, trainable)


def _frozen_blocks(names: list[str], blocks: Blocks) -> frozenset[str]:
    sides = ("encoder", "decoder") if blocks.side == "both" else (blocks.side,)
    frozen: set[str] = set()
    for side in sides:
        numbers = {
            name: int(m[2]) for name in names if (m := _BLOCK.match(without_root(name))) and (m[1] or "encoder") == side
        }
        count = 1 + max(numbers.values(), default=-1)
        if blocks.count > count:
            raise ConfigError(f"training.trainable: {written(blocks)}: the model's {side} has {count} blocks")
        if blocks.end == "last":
            frozen |= {name for name, number in numbers.items() if number >= count - blocks.count}
            continue
        frozen |= {name for name, number in numbers.items() if number < blocks.count}
        if side == "encoder":
            frozen |= {n for n in names if group_of(n) == CONV_STEM or without_root(n).startswith(_BEFORE_BLOCKS)}
    return frozenset(frozen)


def _in_part(name: str, part: str) -> bool:
    bare = without_root(name)
    words = frozenset(bare.split("."))
    match part:
        case "attention":
            return bool(words & _ATTENTION)
        case "cross_attention":
            return "encoder_attn" in words
        case "mlp":
            return bool(words & _MLP)
        case "embedding":
            return group_of(name) == EMBEDDING
        case "decoder":
            return bare.startswith("decoder.")
        case _:  # the encoder; a CTC model is an encoder with a linear head
            return not bare.startswith(("decoder.", "proj_out.", "lm_head.", "head."))
