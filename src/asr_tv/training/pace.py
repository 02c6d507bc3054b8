"""How long a fine-tuning takes per clip on this machine, measured on silence."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from asr_tv.config.run import TrainingConfig
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.memory import memory_errors
from asr_tv.models.audio_context import SAMPLING_RATE
from asr_tv.training.objectives.whisper import WhisperObjective

_TEXT, _SECONDS = "please leave a message after the tone", 3.0
_MOST_CLIPS = 4


def seconds_per_clip(base: Path, training: TrainingConfig, language: str, device: torch.device) -> float:
    """Of a Whisper's forward and backward pass over a short clip, in 30 s as often as the training has it.

    Raises:
        MemoryError: there is too little for a few clips at a time, which a training would make fewer.
    """
    clips = Manifest("pace", tuple(Utterance(str(n), _TEXT) for n in range(min(training.batch_size, _MOST_CLIPS))))
    objective = WhisperObjective(base, clips, training.audio_context, language)
    objective.model.to(device)
    ids = [u.id for u in clips]
    with memory_errors():
        _seconds(objective, ids, device, full=False)  # the first pass allocates what the others use again
        whole, own = (_seconds(objective, ids, device, full=full) for full in (True, False))
    share = training.full_context_share
    return share * whole + (1 - share) * own


def _seconds(objective: WhisperObjective, ids: Sequence[str], device: torch.device, *, full: bool) -> float:
    waves = [np.zeros(round(_SECONDS * SAMPLING_RATE), np.float32)] * len(ids)
    tensors = [t.to(device) for t in objective.batch(ids, waves, full=full)]
    start = time.perf_counter()
    objective.loss()(*tensors, None).backward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / len(ids)
