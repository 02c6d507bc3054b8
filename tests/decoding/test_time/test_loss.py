"""SUTA's loss: known values, the closed form against the matrix, and frames without speech."""

from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from asr_tv.decoding.test_time.loss import (
    class_confusion,
    frame_entropy,
    frame_weights,
    greedy_labels,
    pseudo_label_loss,
    suta_loss,
)

UNIFORM = torch.full((7, 32), 1 / 32, dtype=torch.float64)


def by_matrix(p: Tensor, weights: Tensor) -> float:
    """The definition, with the C x C matrix of correlations."""
    correlation = p.T @ torch.diag(weights) @ p
    shares = correlation / correlation.sum(1, keepdim=True)
    return float((shares.sum() - shares.trace()) / p.shape[1])


def planted(seed: int, frames: int = 50, classes: int = 32) -> Tensor:
    torch.manual_seed(seed)
    return torch.randn(frames, classes).double() * 3


def test_known_values() -> None:
    one_hot = torch.eye(32, dtype=torch.float64)
    assert frame_entropy(UNIFORM).tolist() == pytest.approx([log(32)] * 7)
    assert round(log(32), 4) == 3.4657
    assert frame_entropy(one_hot).tolist() == [0.0] * 32
    assert float(class_confusion(UNIFORM, torch.ones(7).double())) == pytest.approx(0.96875, abs=1e-12)
    assert float(class_confusion(one_hot, torch.ones(32).double())) == pytest.approx(0, abs=1e-12)


def test_the_seeded_logits() -> None:
    p = torch.softmax(planted(0) / 2.5, -1)
    weights = frame_weights(frame_entropy(p))
    assert float(class_confusion(p, weights)) == pytest.approx(0.8900619336683, abs=1e-12)
    assert by_matrix(p, weights) == pytest.approx(0.8900619336683, abs=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(2, 12))
def test_the_closed_form_is_the_matrix(seed: int, frames: int, classes: int) -> None:
    p = torch.softmax(planted(seed, frames, classes), -1)
    weights = frame_weights(frame_entropy(p))
    assert float(weights.mean()) == pytest.approx(1)
    assert float(class_confusion(p, weights)) == pytest.approx(by_matrix(p, weights), abs=1e-9)
    assert -1e-9 <= float(class_confusion(p, weights)) <= 1 - 1 / classes + 1e-9


def test_only_frames_that_are_not_blank_have_entropy() -> None:
    logits = torch.zeros(2, 4, dtype=torch.float64)
    logits[0, 1] = 100  # certain, and no blank
    logits[1, 0] = 1  # blank
    told = suta_loss(logits, blank=0, temperature=1.0)
    assert told.entropy == pytest.approx(0, abs=1e-9)
    assert not told.all_blank


def test_a_recording_of_blanks_leaves_the_entropy_out_and_has_a_gradient() -> None:
    logits = torch.zeros(5, 4, requires_grad=True)
    told = suta_loss(logits + torch.tensor([1.0, 0, 0, 0]), blank=0)
    told.loss.backward()  # type: ignore[no-untyped-call]
    assert told.all_blank
    assert told.entropy == 0
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())


def test_a_class_without_any_probability_is_no_division_by_zero() -> None:
    logits = torch.zeros(3, 4)
    logits[:, 2] = -1e9
    assert bool(torch.isfinite(suta_loss(logits, blank=0).loss))


def test_pseudo_labels_are_scored_over_classes() -> None:
    frames = torch.tensor([1, 1, 0, 1, 2])
    logits = torch.nn.functional.one_hot(frames, 3).double() * 50
    labels = greedy_labels(logits, blank=0)
    assert labels.tolist() == [1, 1, 2]
    assert float(pseudo_label_loss(logits, labels, blank=0)) == pytest.approx(0, abs=1e-9)
    assert float(pseudo_label_loss(logits, torch.tensor([2, 2, 1]), blank=0)) > 10
