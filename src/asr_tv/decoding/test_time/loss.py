"""SUTA's loss of one recording (arXiv 2203.14222): entropy of what is said, and confusion between classes."""

from typing import NamedTuple

import torch
from torch import Tensor

_SMALLEST_MASS = 1e-12
"""A class's probability may underflow in every frame; 0 / 0 would poison the weights."""


class SutaLoss(NamedTuple):
    """The loss, differentiable; the mean entropy of frames that are not blank, 0 if all are; and whether all are."""

    loss: Tensor
    entropy: float
    all_blank: bool


def frame_entropy(probabilities: Tensor) -> Tensor:
    """Shannon entropy in nats of each frame; [L, C] -> [L]."""
    entropy: Tensor = torch.special.entr(probabilities).sum(-1)
    return entropy


def frame_weights(entropy: Tensor) -> Tensor:
    """More weight for frames that are certain: L (1 + e^-H) / sum (1 + e^-H), whose mean is 1; [L] -> [L]."""
    certainty = 1 + torch.exp(-entropy.detach())
    return len(certainty) * certainty / certainty.sum()


def class_confusion(probabilities: Tensor, weights: Tensor) -> Tensor:
    """Minimum class confusion: the mean share of each class's weighted correlation that lies with other classes.

    The off-diagonal sum of the row-normalised P^T diag(w) P over C, in closed form without a C x C matrix:
    1 - 1/C sum_j (sum_i w_i P_ij^2) / (sum_i w_i P_ij).

    Args:
        probabilities: [L, C], rows that sum to 1.
        weights: [L].
    """
    weighted = weights[:, None] * probabilities
    own, mass = (weighted * probabilities).sum(0), weighted.sum(0)
    return 1 - (own / mass.clamp(min=_SMALLEST_MASS)).mean()


def suta_loss(logits: Tensor, blank: int, temperature: float = 2.5, entropy_weight: float = 0.3) -> SutaLoss:
    """entropy_weight x mean entropy of frames whose best class is no blank + the rest x class confusion of all frames.

    Where every frame is blank the entropy's term is left out.

    Args:
        logits: [L, C] of one recording.
        blank: the class that stands for nothing.
    """
    probabilities = torch.softmax(logits / temperature, -1)
    entropy = frame_entropy(probabilities)
    spoken = logits.argmax(-1) != blank
    loss = (1 - entropy_weight) * class_confusion(probabilities, frame_weights(entropy))
    if not bool(spoken.any()):
        return SutaLoss(loss, 0.0, True)
    mean = entropy[spoken].mean()
    return SutaLoss(entropy_weight * mean + loss, float(mean.detach()), False)


def pseudo_label_loss(logits: Tensor, labels: Tensor, blank: int) -> Tensor:
    """CTC loss of a text that the model wrote itself, log-probabilities over classes; per label.

    Args:
        logits: [L, C].
        labels: classes without blanks, [n], not empty.
    """
    log_p = torch.log_softmax(logits, -1)[:, None]
    lengths = torch.tensor([len(logits)]), torch.tensor([len(labels)])
    return torch.nn.functional.ctc_loss(log_p, labels[None], *lengths, blank=blank)


def greedy_labels(logits: Tensor, blank: int) -> Tensor:
    """The best class of each frame without repeats and blanks; [L, C] -> [n]."""
    labels: Tensor = torch.unique_consecutive(logits.argmax(-1))
    return labels[labels != blank]
