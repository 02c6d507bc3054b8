"""A clip at another level and in a narrower band, as speech of another channel has them."""

import numpy as np

from asr_tv.audio.recordings import Wave, limit_peak, resample


def shape(wave: Wave, sampling_rate: int, gain_db: float, high_hz: float | None) -> Wave:
    """The wave [samples] with a gain, without what lies above `high_hz`, and not above a peak of 1.

    The band ends as steeply as that of a recording at twice `high_hz`: it is resampled to it and back.
    """
    if high_hz is not None and 2 * high_hz < sampling_rate:
        narrow = resample(resample(wave, sampling_rate, 2 * high_hz), 2 * high_hz, sampling_rate)[: wave.size]
        wave = np.pad(narrow, (0, wave.size - narrow.size))
    return limit_peak(wave * np.float32(10 ** (gain_db / 20)))
