"""The encoder on short audio is the same encoder; features are Whisper's own."""

from pathlib import Path

import numpy as np
import pytest
import torch

from asr_tv.models.audio_context import context_seconds, encode, log_mel
from asr_tv.models.whisper import load_model
from asr_tv.testing.whisper import tiny_whisper


def test_full_context_equals_the_encoder_of_transformers(tmp_path: Path) -> None:
    encoder = load_model(tiny_whisper(tmp_path / "m")).model.encoder
    features = torch.randn(2, 80, 3000)
    with torch.no_grad():
        torch.testing.assert_close(encode(encoder, features), encoder(features).last_hidden_state)


def test_short_context_sees_the_first_positions(tmp_path: Path) -> None:
    encoder = load_model(tiny_whisper(tmp_path / "m")).model.encoder
    features = torch.randn(1, 80, 200)
    with torch.no_grad():
        states = encode(encoder, features)
        assert states.shape == (1, 100, 64)
        encoder.embed_positions.weight[100:] += 100
        torch.testing.assert_close(encode(encoder, features), states)


def test_features_are_those_of_transformers_at_30_seconds() -> None:
    from transformers import WhisperFeatureExtractor

    wave = np.random.default_rng(0).standard_normal(32_000).astype(np.float32) * 0.1
    expected = WhisperFeatureExtractor()(wave, sampling_rate=16_000, return_tensors="pt").input_features
    torch.testing.assert_close(log_mel([wave], 30.0, 80), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("length", [0, 1, 159, 160, 161, 32_000, 479_640, 479_641, 480_000, 500_000])
def test_features_are_those_of_openai_whatever_the_length(length: int) -> None:
    from whisper.audio import log_mel_spectrogram, pad_or_trim

    wave = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    expected = log_mel_spectrogram(torch.from_numpy(pad_or_trim(wave)))
    torch.testing.assert_close(log_mel([wave], 30.0, 80)[0], expected, atol=1e-5, rtol=1e-5)


def test_features_of_a_clip_do_not_depend_on_its_neighbours() -> None:
    rng = np.random.default_rng(0)
    quiet, loud = (rng.standard_normal(16_000).astype(np.float32) * level for level in (0.001, 1.0))
    torch.testing.assert_close(log_mel([quiet, loud], 2.0, 80)[0], log_mel([quiet], 2.0, 80)[0])


@pytest.mark.parametrize(
    ("context", "longest", "expected"),
    [
        ("full", 1.0, 30.0),
        ("dynamic", 0.1, 1.0),
        ("dynamic", 1.3, 1.5),
        ("dynamic", 1.31, 2.0),
        ("dynamic", 45.0, 30.0),
        (10.0, 1.0, 10.0),
        (60.0, 1.0, 30.0),
    ],
)
def test_context_seconds(context: str | float, longest: float, expected: float) -> None:
    assert context_seconds(context, longest) == expected  # type: ignore[arg-type]
