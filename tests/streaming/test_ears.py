"""A Whisper as agents use it: encoded once, decoded as the recogniser decodes, and with words or a prompt."""

from pathlib import Path

import numpy as np
import pytest
import torch

from asr_tv.audio.recordings import Wave
from asr_tv.decoding.options import Decoding
from asr_tv.decoding.recogniser import WhisperRecogniser
from asr_tv.decoding.whisper_torch import TorchDecoder
from asr_tv.streaming.ears import CtcEar, WhisperEar
from asr_tv.testing.ctc import tiny_ctc
from asr_tv.testing.whisper import tiny_whisper

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper(tmp_path_factory.mktemp("w"), seed=3)


def noise(seed: int) -> Wave:
    return np.random.default_rng(seed).standard_normal(8000, dtype=np.float32) * 0.1


def test_a_recording_is_encoded_once_and_heard_plainly_once(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ear, calls = WhisperEar(model, "en", CPU), []
    counted = TorchDecoder.states
    monkeypatch.setattr(TorchDecoder, "states", lambda self, features: calls.append(1) or counted(self, features))
    sound = ear(noise(0))
    assert ear(noise(0)) is sound
    assert ear(noise(1)) is not sound
    assert len(calls) == 2
    assert sound.text() is sound.text()
    assert 0 <= sound.no_speech <= 1
    assert float(np.linalg.norm(sound.key)) == pytest.approx(1, abs=1e-5)


def test_steps_and_texts_are_those_of_the_recogniser(model: Path) -> None:
    """The tokens of encoder states are those of the features, whatever search was the decoder's own."""
    decoding = Decoding("full", "en", 20)
    decoder = WhisperRecogniser(model, decoding, CPU)._decoder
    assert isinstance(decoder, TorchDecoder)
    features = torch.randn(2, 80, 3000, generator=torch.Generator().manual_seed(0))
    assert decoder.tokens(features, 12) == decoder.tokens_of(decoder.states(features), 12)


def test_the_greedy_text_is_the_likeliest_of_its_first_tokens(model: Path) -> None:
    decoder = WhisperRecogniser(model, Decoding("full", "en", 20), CPU)._decoder
    assert isinstance(decoder, TorchDecoder)
    state = decoder.states(torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(1)))
    (row,) = decoder.tokens_of(state, 3)
    best = decoder.log_probabilities(state, row[:1])[0]
    others = [decoder.log_probabilities(state, [token])[0] for token in range(40, 60) if token != row[0]]
    assert best >= max(others)
    assert decoder.mean_log_probability(state, []) == 0.0


def test_a_ctc_model_takes_no_words(tmp_path: Path) -> None:
    sound = CtcEar(tiny_ctc(tmp_path), CPU)(noise(0))
    assert isinstance(sound.text()[0], str)
    with pytest.raises(NotImplementedError):
        sound.text(prompt="a")
