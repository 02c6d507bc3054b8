"""How long a fine-tuning takes per clip on this machine, measured on silence."""

import time
from pathlib import Path

import numpy as np
import torch

from asr_tv.config.run import TrainingConfig
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.models.audio_context import SAMPLING_RATE
from asr_tv.training.objectives.whisper import WhisperObjective

_TEXT, _SECONDS, _BATCH = "please leave a message after the tone", 3.0, 2


def seconds_per_clip(base: Path, training: TrainingConfig, language: str, device: torch.device) -> float:
    """Of a Whisper's forward and backward pass over a short clip, in 30 s as often as the training has it."""
    clips = Manifest("pace", tuple(Utterance(str(n), _TEXT) for n in range(_BATCH)))
    objective = WhisperObjective(base, clips, training.audio_context, language)
    objective.model.to(device)
    _seconds(objective, device, full=False)  # the first pass allocates what the others use again
    whole, own = (_seconds(objective, device, full=full) for full in (True, False))
    share = training.full_context_share
    return share * whole + (1 - share) * own


def _seconds(objective: WhisperObjective, device: torch.device, *, full: bool) -> float:
    waves = [np.zeros(round(_SECONDS * SAMPLING_RATE), np.float32)] * _BATCH
    tensors = [t.to(device) for t in objective.batch([str(n) for n in range(_BATCH)], waves, full=full)]
    start = time.perf_counter()
    objective.loss()(*tensors, None).backward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / _BATCH
