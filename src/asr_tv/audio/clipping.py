"""How much of a recording is clipped."""

import numpy as np

from asr_tv.audio.recordings import Wave
from asr_tv.audio.silences import true_runs

_FLAT = 3
"""Consecutive samples at the peak that count as clipping."""


def clipped_share(wave: Wave) -> float:
    """Share of samples in runs of equal ones at the largest absolute value, whatever the level."""
    peak = float(np.abs(wave).max(initial=0.0))
    if not peak:
        return 0.0
    share = 0
    for side in (wave, -wave):
        lengths = np.diff(true_runs(side >= peak * (1 - 1e-3)))
        share += int(lengths[lengths >= _FLAT].sum())
    return share / wave.size
