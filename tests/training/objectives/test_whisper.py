"""The loss is the cross-entropy that transformers' own forward would give, over the scored tokens alone."""

from pathlib import Path

import torch

from asr_tv.models.whisper import load_model
from asr_tv.testing.whisper import tiny_whisper
from asr_tv.training.labels import IGNORED
from asr_tv.training.objectives.whisper import WhisperLoss


def test_equals_the_loss_of_transformers_at_full_context(tmp_path: Path) -> None:
    model = load_model(tiny_whisper(tmp_path / "m"))
    features, inputs = torch.randn(2, 80, 3000), torch.randint(0, 300, (2, 6))
    labels = torch.tensor([[IGNORED, 5, 6, 7, IGNORED, IGNORED], [IGNORED, 8, 9, 10, 11, 12]])
    expected = model(input_features=features, decoder_input_ids=inputs, labels=labels).loss
    torch.testing.assert_close(WhisperLoss(model)(features, inputs, labels), expected)


def test_gradients_reach_encoder_and_tied_embedding_once(tmp_path: Path) -> None:
    model = load_model(tiny_whisper(tmp_path / "m"))
    features, inputs = torch.randn(1, 80, 100), torch.tensor([[3, 4]])
    WhisperLoss(model)(features, inputs, torch.tensor([[IGNORED, 5]])).backward()
    names = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert "model.encoder.conv1.weight" in names
    assert "model.encoder.embed_positions.weight" not in names
    assert model.proj_out.weight.grad is model.model.decoder.embed_tokens.weight.grad
