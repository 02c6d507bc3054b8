"""What a fine-tuning may change, read from a configuration: parts of a model, a range of its blocks, or adapters.

The choices of 2401.03129 (forgetting in continual pre-training), carried over to speech models.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

PARTS = ("attention", "cross_attention", "mlp", "encoder", "decoder", "embedding")
SIDES = ("encoder", "decoder", "both")

CHOICES = (
    "all, freeze_first:N, freeze_last:N (of the encoder, the decoder or both: freeze_last:2:both), "
    f"freeze_X or only_X with X one of {', '.join(PARTS)}; lora, ia3, {{lora: {{r: 8, targets: [q_proj, v_proj]}}}}"
)


@dataclass(frozen=True)
class Everything:
    """The whole model; Whisper's encoder positions, which are sinusoids and no weights, stay as they are."""


@dataclass(frozen=True)
class Blocks:
    """`count` blocks at one end of a side are frozen; with the first of an encoder also the convolutions before it."""

    end: Literal["first", "last"]
    count: int
    side: str


@dataclass(frozen=True)
class Part:
    """One part is frozen, or everything but it."""

    action: Literal["freeze", "only"]
    name: str


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (2106.09685): W' = W + alpha / r · B A, B zero at the start.

    Attributes:
        alpha: 2 r when a configuration gives none.
        targets: names of linear modules; empty: those of query and value in every attention.
    """

    r: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ()

    @property
    def scale(self) -> float:
        """Factor of B A."""
        return self.alpha / self.r


@dataclass(frozen=True)
class Ia3:
    """Learnt rescaling (2205.05638) of key, value and the input of the MLP's last layer, one at the start.

    Attributes:
        targets: names of linear modules whose output is rescaled.
        feedforward: those whose input is. Both empty: key, value and the MLP's last layer.
    """

    targets: tuple[str, ...] = ()
    feedforward: tuple[str, ...] = ()


Trainable = Everything | Blocks | Part | Lora | Ia3
ALL = Everything()


def parse_trainable(value: Any) -> Trainable:
    """The choice that a configuration writes as a word or, for adapters with options, as {lora: {...}}.

    Raises:
        ValueError: not one of the choices; the message lists them.
    """
    if isinstance(value, Trainable):
        return value
    if isinstance(value, Mapping) and len(value) == 1:
        ((kind, options),) = value.items()
        if kind in ("lora", "ia3") and isinstance(options, Mapping):
            return _adapter(kind, options)
    if isinstance(value, str) and (found := _word(value.strip().replace("-", "_"))) is not None:
        return found
    raise ValueError(f"expected one of: {CHOICES}")


def _word(word: str) -> Trainable | None:
    simple: Mapping[str, Trainable] = {"all": ALL, "lora": Lora(), "ia3": Ia3()}
    if word in simple:
        return simple[word]
    if match := re.fullmatch(rf"freeze_(first|last):([1-9]\d*)(?::({'|'.join(SIDES)}))?", word):
        first = match[1] == "first"
        return Blocks("first" if first else "last", int(match[2]), match[3] or ("encoder" if first else "decoder"))
    if match := re.fullmatch(rf"(freeze|only)_({'|'.join(PARTS)})", word):
        return Part("freeze" if match[1] == "freeze" else "only", match[2])
    return None


def _adapter(kind: str, options: Mapping[str, Any]) -> Lora | Ia3:
    known = [field.name for field in fields(Lora if kind == "lora" else Ia3)]
    if unknown := sorted(str(key) for key in options.keys() - set(known)):
        raise ValueError(f"unknown key {', '.join(unknown)}; keys of {kind}: {', '.join(known)}")
    given = {key: option for key, option in options.items() if option is not None}
    for key in ("targets", "feedforward"):
        if key in given:
            given[key] = _names(key, given[key])
    if kind == "ia3":
        return Ia3(**given)
    r = given.get("r", Lora.r)
    if isinstance(r, bool) or not isinstance(r, int) or r < 1:
        raise ValueError(f"lora.r must be a whole number from 1 on, not {r!r}")
    alpha = given.get("alpha", 2 * r)
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < math.inf:
        raise ValueError(f"lora.alpha must be a number above 0, not {alpha!r}")
    return Lora(r, float(alpha), given.get("targets", ()))


def _names(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name for name in value):
        raise ValueError(f"{key} must be a list of module names, not {value!r}")
    return tuple(sorted(set(value)))


def written(trainable: Trainable) -> str | dict[str, dict[str, Any]]:
    """The choice as `parse_trainable` reads it; equal choices are written alike."""
    match trainable:
        case Everything():
            return "all"
        case Blocks(end, count, side):
            return f"freeze_{end}:{count}:{side}"
        case Part(action, name):
            return f"{action}_{name}"
        case Lora(r, alpha, targets):
            return {"lora": {"r": r, "alpha": alpha, "targets": list(targets)}}
        case Ia3(targets, feedforward):
            return {"ia3": {"targets": list(targets), "feedforward": list(feedforward)}}
