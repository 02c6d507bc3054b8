"""Averages the channels of a recording, unless they cancel each other out."""

import numpy as np
from numpy.typing import NDArray

from asr_tv.errors import DataError

_CANCELLED = 1e-3
"""Share of the channels' power, -30 dB, below which their average holds hardly anything of them."""
_HEARD = 1e-6
"""Power, -60 dBFS, below which the channels themselves are silent."""


class Power:
    """The power of the channels and of their average, over the blocks of a recording."""

    def __init__(self) -> None:
        self._channels = self._average = 0.0
        self._samples = 0

    def averaged(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """The average of the channels of a block [samples, channels]."""
        if block.shape[1] == 1:
            return block[:, 0]
        average: NDArray[np.float32] = block.mean(axis=1, dtype=np.float32)
        self._channels += float(np.square(block, dtype=np.float64).sum()) / block.shape[1]
        self._average += float(np.square(average, dtype=np.float64).sum())
        self._samples += len(block)
        return average

    def require_heard(self, where: str) -> None:
        """Refuses a recording whose channels are loud and whose average is not.

        Raises:
            DataError: it is one.
        """
        if self._channels > _HEARD * self._samples and self._average < _CANCELLED * self._channels:
            raise DataError(f"{where}: its channels cancel each other out, one being the other inverted: keep one")
