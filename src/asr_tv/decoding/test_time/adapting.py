"""A CTC model whose few tuned parameters can be stepped, kept and restored, with the optimiser's moments."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from asr_tv.audio.recordings import Wave

_FRONT = frozenset({"feature_extractor", "feature_projection"})
"""Hub names of the convolutions before the encoder, and of the projection after them."""
Tuned = Literal["norms", "norms_and_front"]


class Adaptable(Protocol):
    """A CTC recogniser that gives its parameters away to be tuned; it stays in evaluation mode.

    Attributes:
        blank: the class that stands for nothing.
    """

    blank: int

    def parameters(self, tuned: Tuned) -> Mapping[str, nn.Parameter]:
        """By name, each once."""

    def logits(self, wave: Wave) -> Tensor:
        """[L, C] of 16 kHz samples, differentiable; L is 0 where the samples are too few for a frame."""

    def text(self, logits: Tensor) -> str:
        """Greedy decoding."""


def tuned_parameters(model: nn.Module, tuned: Tuned) -> dict[str, nn.Parameter]:
    """Weights and biases of layer norms, and those before the encoder; each once, whatever modules share it."""
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.LayerNorm)}
    found = {}
    for name, parameter in model.named_parameters():  # each parameter once
        front = tuned == "norms_and_front" and bool(_FRONT & set(name.split(".")))
        if front or name.rpartition(".")[0] in norms:
            found[name] = parameter
    return found


class TunedState(NamedTuple):
    """Tuned weights by name, and the optimiser's moments; copies, which no step changes."""

    weights: Mapping[str, Tensor]
    moments: Mapping[str, Any]


class Adapter:
    """Steps the tuned parameters of one model, all others frozen; AdamW without decay, as the authors.

    Attributes:
        pretrained: weights as given, with fresh moments.
    """

    def __init__(self, model: Adaptable, tuned: Tuned, learning_rate: float) -> None:
        self._parameters = dict(model.parameters(tuned))
        self._learning_rate = learning_rate
        for parameter in self._parameters.values():
            parameter.requires_grad_(True)
        self._optimiser = self._fresh()
        self.pretrained = self.snapshot()

    def _fresh(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self._parameters.values(), lr=self._learning_rate, weight_decay=0.0)

    def snapshot(self) -> TunedState:
        """The weights and moments of now."""
        weights = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        return TunedState(weights, copy.deepcopy(self._optimiser.state_dict()))

    @torch.no_grad()
    def restore(self, snapshot: TunedState) -> None:
        """Back to a snapshot, bit for bit, its moments included."""
        for name, parameter in self._parameters.items():
            parameter.copy_(snapshot.weights[name])
        self._optimiser = self._fresh()
        self._optimiser.load_state_dict(copy.deepcopy(dict(snapshot.moments)))

    def step(self, loss: Callable[[], Tensor]) -> bool:
        """One step down the loss; False, without a step, where it or its gradient is not finite."""
        self._optimiser.zero_grad(set_to_none=True)
        with torch.enable_grad():
            value = loss()
            value.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self._parameters.values() if p.grad is not None]
        if not all(bool(torch.isfinite(tensor).all()) for tensor in (value.detach(), *gradients)):
            return False
        self._optimiser.step()
        return True
