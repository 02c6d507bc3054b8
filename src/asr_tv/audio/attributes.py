"""What can be measured of a clip of speech without a classifier; what cannot be known of it is None."""

from dataclasses import dataclass
from math import log2, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr_tv.audio.clipping import clipped_share
from asr_tv.audio.recordings import Wave, resample
from asr_tv.audio.silences import is_heard, true_runs

VERSION = 1
"""Raised whenever a recording gives other numbers than before."""
SAMPLING_RATE = 16_000
_FRAME, _HOP = 400, 160
"""Frames of 25 ms every 10 ms."""
_STEP = _HOP / SAMPLING_RATE
_SMOOTHED = 9
"""Frames whose mean tells speech from noise: the power of noise alone then hardly varies."""
_RANGE_DB = 25.0
"""Below the loudest, a frame is no speech. With 35 dB a clean voice seemed 16 % slower than the same at 10 dB SNR."""
_ABOVE_NOISE_DB, _BELOW_LOUDEST_DB = 0.8, 6.0
"""Nor is it as quiet as the noise; a sound without pauses, whose noise is not known, is speech all the same."""
_NOISE_SPREAD_DB = 3.0
_BRIDGED = 15
"""Frames: a shorter gap may be a stop consonant."""
_PAUSE = 15
"""Frames that a pause has at least: without one, weak consonants would be taken for the noise."""
_NOISE_SHARE = 0.1
_SNR_DB = (-5.0, 40.0)
"""Beyond these the estimate says nothing: no speech above the noise, or noise that the coding of samples decides."""
_LEAST_SECONDS = 0.3
_CLIPPED = 0.002
"""Share of clipped samples above which levels and spectra are those of the clipping."""
_ENERGY_SHARE = 0.99
_EDGE_DB = 60.0
_FFT = 512
_PITCH_RATE, _PITCH_FRAME, _PITCH_HOP = 8_000, 512, 160
_PITCH_HZ = (60.0, 400.0)
_PITCH_RESOLUTION = 0.2
"""Semitones; a candidate is thus off by at most 0.6 %, at a quarter of the time that 0.1 takes."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """Measurements of one clip; None is "unknown".

    Attributes:
        duration: seconds.
        speech_seconds: without pauses of 0.15 s and more.
        words_a_second, letters_a_second: of speech, as the words are spoken.
        level_dbfs: RMS of the frames that hold speech, in dB below full scale.
        snr_db: unknown without pauses, above 40 dB, and where clipped.
        f0_hz: median of the voiced frames; `f0_semitones` from their 10th to their 90th percentile.
        bandwidth_hz: below which 99 % of the energy of the speech lies: a voice's and a channel's doing.
        band_edge_hz: above which nothing is within 60 dB of the strongest frequency: the channel's doing alone.
        edge_silence: seconds before and after the speech, together.
    """

    duration: float
    speech_seconds: float | None = None
    words_a_second: float | None = None
    letters_a_second: float | None = None
    level_dbfs: float | None = None
    snr_db: float | None = None
    f0_hz: float | None = None
    f0_semitones: float | None = None
    bandwidth_hz: float | None = None
    band_edge_hz: float | None = None
    edge_silence: float | None = None


NAMES = tuple(Attributes.__dataclass_fields__)


def measure(wave: Wave, words: int | None = None, letters: int | None = None, *, pitch: bool = True) -> Attributes:
    """Measures a clip [samples] at `SAMPLING_RATE`.

    Args:
        words: that are spoken in it, and `letters` of them; None where that is not known, 0 where nothing is said.
        pitch: whether to look for it, which takes longer than all else.
    """
    duration = wave.size / SAMPLING_RATE
    if words == 0 or not is_heard(wave) or duration < _LEAST_SECONDS:
        return Attributes(duration)
    power = frame_power(wave)
    active = active_frames(power)
    spoken = _bridged(active)
    seconds = float(spoken.sum()) * _STEP
    clean = clipped_share(wave) <= _CLIPPED
    spectrum = _spectrum(wave, active) if clean else None
    f0, spread = _pitch(wave) if pitch else (None, None)
    return Attributes(
        duration=duration,
        speech_seconds=seconds,
        words_a_second=words / seconds if words and seconds >= _LEAST_SECONDS else None,
        letters_a_second=letters / seconds if letters and seconds >= _LEAST_SECONDS else None,
        level_dbfs=10 * log10(float(power[active].mean())) if clean else None,
        snr_db=snr(power) if clean else None,
        f0_hz=f0,
        f0_semitones=spread,
        bandwidth_hz=None if spectrum is None else _bandwidth(spectrum),
        band_edge_hz=None if spectrum is None else _band_edge(spectrum),
        edge_silence=duration - _extent(spoken),
    )


def frame_power(wave: Wave) -> NDArray[np.float64]:
    """Mean square of each frame [frames]; a last part shorter than a frame belongs to none."""
    power: NDArray[np.float64] = np.square(_frames(wave), dtype=np.float64).mean(axis=1)
    return power


def _frames(wave: Wave) -> NDArray[np.float32]:
    """Views of the wave [frames, samples]."""
    return np.lib.stride_tricks.sliding_window_view(wave, _FRAME)[::_HOP]


def active_frames(power: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which frames [frames] hold speech: within 25 dB of the loudest, and above the noise where it is known."""
    around = np.pad(power, _SMOOTHED // 2, mode="edge")
    decibels = 10 * np.log10(np.convolve(around, np.full(_SMOOTHED, 1 / _SMOOTHED), mode="valid") + 1e-12)
    loudest, noise = decibels.max(), np.quantile(decibels, _NOISE_SHARE)
    above_noise = min(noise + _ABOVE_NOISE_DB, loudest - _BELOW_LOUDEST_DB)
    active: NDArray[np.bool_] = decibels >= max(loudest - _RANGE_DB, above_noise)
    return active


def _bridged(active: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The frames with short gaps between them filled."""
    filled = active.copy()
    for start, end in true_runs(~active):
        if start > 0 and end < active.size and end - start < _BRIDGED:
            filled[start:end] = True
    return filled


def _extent(spoken: NDArray[np.bool_]) -> float:
    """Seconds from the first frame with speech to the last."""
    places = np.flatnonzero(spoken)
    return float(places[-1] - places[0] + 1) * _STEP if places.size else 0.0


def snr(power: NDArray[np.float64]) -> float | None:
    """Signal-to-noise ratio in dB of frames [frames]: the 10th percentile is the noise, the rest of the mean speech.

    None without a pause, and where there is hardly any noise or hardly anything else.
    """
    noise = float(np.quantile(power, _NOISE_SHARE))
    quiet = true_runs(power <= noise * 10 ** (_NOISE_SPREAD_DB / 10))
    if noise <= 0 or max((end - start for start, end in quiet), default=0) < _PAUSE:
        return None
    ratio = float(power.mean()) / noise - 1
    decibels = 10 * log10(ratio) if ratio > 0 else -100.0
    return decibels if _SNR_DB[0] <= decibels <= _SNR_DB[1] else None


def _spectrum(wave: Wave, active: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean power of the frames that hold speech [frequencies], from 0 to half the sampling rate."""
    windowed = _frames(wave)[active] * np.hanning(_FRAME).astype(np.float32)
    spectrum: NDArray[np.float64] = np.square(np.abs(np.fft.rfft(windowed, _FFT)), dtype=np.float64).mean(axis=0)
    return spectrum


def _bandwidth(spectrum: NDArray[np.float64]) -> float:
    summed = np.cumsum(spectrum)
    return float(np.searchsorted(summed, _ENERGY_SHARE * summed[-1]) * SAMPLING_RATE / _FFT)


def _band_edge(spectrum: NDArray[np.float64]) -> float:
    heard = np.flatnonzero(spectrum >= spectrum.max() * 10 ** (-_EDGE_DB / 10))
    return float(heard[-1] * SAMPLING_RATE / _FFT)


def _pitch(wave: Wave) -> tuple[float | None, float | None]:
    """Median and spread of the fundamental frequency by pYIN (Mauch and Dixon 2014), which is robust to octaves."""
    import librosa

    slower = resample(wave, SAMPLING_RATE, _PITCH_RATE)
    low, high = _PITCH_HZ
    how: dict[str, Any] = {"frame_length": _PITCH_FRAME, "hop_length": _PITCH_HOP, "resolution": _PITCH_RESOLUTION}
    found, voiced, _ = librosa.pyin(slower, fmin=low, fmax=high, sr=_PITCH_RATE, **how)
    hertz = found[voiced]
    if hertz.size * _PITCH_HOP / _PITCH_RATE < _LEAST_SECONDS:
        return None, None
    lower, middle, upper = np.quantile(hertz, [0.1, 0.5, 0.9])
    return float(middle), 12 * log2(float(upper / lower))
