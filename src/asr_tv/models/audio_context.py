"""Whisper's encoder on less than 30 s of audio, with log-mel features as long as needed and positions sliced to fit.

Waveforms are padded with silence rather than features, since padded features hold values that no silence has.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import gelu

from asr_tv.config.run import AudioContext
from asr_tv.data.manifest import Utterance
from asr_tv.errors import DataError

SAMPLING_RATE = 16_000
FULL_SECONDS = 30.0
_MARGIN_SECONDS = 0.2
_STEP_SECONDS = 0.5
"""Contexts are multiples of this, so that they depend little on the longest clip of a batch."""


def context_seconds(audio_context: AudioContext, longest: float) -> float:
    """Seconds of audio that the encoder processes for a batch whose longest clip lasts `longest` seconds."""
    if audio_context == "full":
        return FULL_SECONDS
    if audio_context == "dynamic":
        padded = math.ceil((longest + _MARGIN_SECONDS) / _STEP_SECONDS) * _STEP_SECONDS
        return min(FULL_SECONDS, max(2 * _STEP_SECONDS, padded))
    return min(FULL_SECONDS, float(audio_context))


def refuse_longer(utterances: Iterable[Utterance], seconds: float, advice: str) -> None:
    """Raises a DataError for utterances that would be cut: labels longer than the audio teach to invent words."""
    problems = [
        f"{u.id}: lasts {u.duration:.1f} s, over {seconds:g} s: {advice}"
        for u in utterances
        if u.duration is not None and u.duration > seconds
    ]
    if problems:
        raise DataError(problems)


def log_mel(
    waves: Sequence[NDArray[np.float32]], seconds: float, mels: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Whisper's log-mel features (waves, mels, 100 * seconds) of 16 kHz waveforms, cut or padded with silence."""
    samples = round(seconds * SAMPLING_RATE)
    # Per clip, since Whisper clamps the dynamic range relative to the maximum of each clip.
    return torch.stack([_log_mel(wave[:samples], samples, mels, device) for wave in waves])


def _log_mel(wave: NDArray[np.float32], samples: int, mels: int, device: torch.device | str) -> Tensor:
    """Features of one clip; its last frame is silent where the clip is shorter, and stands for all that follow."""
    from whisper.audio import HOP_LENGTH, N_FFT, log_mel_spectrogram

    needed = math.ceil((len(wave) + N_FFT) / HOP_LENGTH) * HOP_LENGTH
    padded = np.zeros(min(samples, needed), dtype=np.float32)
    padded[: len(wave)] = wave
    features = log_mel_spectrogram(torch.from_numpy(padded).to(device), n_mels=mels)
    silent = features[:, -1:].expand(-1, samples // HOP_LENGTH - features.shape[1])
    return torch.cat([features, silent], dim=1)


def encode(encoder: Any, features: Tensor) -> Tensor:
    """The encoder's hidden states (batch, frames / 2, d_model) for features (batch, mels, frames) of up to 30 s.

    `encoder` is transformers' `WhisperEncoder`, whose own forward pass accepts exactly 30 s; `frames` must be even.
    """
    hidden = gelu(encoder.conv2(gelu(encoder.conv1(features)))).permute(0, 2, 1)
    hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
    hidden = torch.nn.functional.dropout(hidden, p=encoder.dropout, training=encoder.training)
    for layer in encoder.layers:
        hidden = layer(hidden, None)
    return encoder.layer_norm(hidden)  # type: ignore[no-any-return]
