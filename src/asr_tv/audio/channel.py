"""What lies between a speaker and the recogniser: a simulated telephone line, and random channel augmentation."""

import hashlib

import numpy as np
import soxr

from asr_tv.audio.effects import TELEPHONE_RATE, add_room, apply_codec, apply_line, pink_noise
from asr_tv.audio.recordings import Wave, limit_peak, resample
from asr_tv.config.run import AugmentationConfig, LineConfig

LINE_SAMPLING_RATE = TELEPHONE_RATE


def simulate_line(wave: Wave, sampling_rate: int, config: LineConfig, key: str) -> Wave:
    """The recording as a *simulated line* would deliver it: at 8 kHz, coded, with white noise at `config.snr_db`.

    The noise is determined by `config.seed` and `key`, the utterance's id. The wave at `LINE_SAMPLING_RATE` is in
    [-1, 1] and as long as the speech.
    """
    speech = resample(limit_peak(wave), sampling_rate, LINE_SAMPLING_RATE)
    speech = apply_codec(speech, LINE_SAMPLING_RATE, config.codec)
    digest = hashlib.sha256(f"{config.seed}:{key}".encode()).digest()  # Python's own hash differs between processes
    rng = np.random.default_rng(int.from_bytes(digest[:16], "big"))
    return limit_peak(add_noise(speech, config.snr_db, rng))


def augment(wave: Wave, sampling_rate: int, config: AugmentationConfig, rng: np.random.Generator) -> Wave:
    """With probability `config.probability`: a change of speed, silence before and after, a gain, and white noise.

    With `config.channel`, also a room before the noise, which may be pink, and a band and a codec at the end. Equal
    states of `rng` give equal waves, in [-1, 1]. As on a real channel, the noise covers the silence too.
    """
    if rng.random() >= config.probability or not wave.size:
        return limit_peak(wave)
    speech = _change_speed(wave, rng.uniform(*config.speed))
    if config.channel is not None:
        speech = add_room(speech, sampling_rate, config.channel, rng)
    power = _power(speech)
    before, after = (round(rng.uniform(*config.silence_seconds) * sampling_rate) for _ in range(2))
    gain = np.float32(10 ** (rng.uniform(*config.gain_db) / 20))
    padded = np.pad(speech, (before, after))
    snr_db = rng.uniform(*config.snr_db)
    is_pink = config.channel is not None and rng.random() < config.channel.pink_noise_probability
    noisy = limit_peak(gain * add_noise(padded, snr_db, rng, power, is_pink=is_pink))
    if config.channel is None:
        return noisy
    return limit_peak(apply_line(noisy, sampling_rate, config.channel, rng))


def add_noise(
    wave: Wave, snr_db: float, rng: np.random.Generator, power: float | None = None, *, is_pink: bool = False
) -> Wave:
    """The wave plus white or pink noise; 10 log10(power / noise power) = `snr_db`. Silence gets no noise.

    `power` is the mean square of the speech; that of the whole wave if not given.
    """
    speech_power = _power(wave) if power is None else power
    scale = np.float32(np.sqrt(speech_power * 10 ** (-snr_db / 10)))
    noise = pink_noise(wave.size, rng) if is_pink else rng.standard_normal(wave.size, dtype=np.float32)
    noisy: Wave = wave + scale * noise
    return noisy


def _power(wave: Wave) -> float:
    return float(np.mean(np.square(wave, dtype=np.float64))) if wave.size else 0.0


def _change_speed(wave: Wave, speed: float) -> Wave:
    """Changes speed and pitch together, like a tape: resamples as if recorded at `speed` times the sampling rate."""
    changed: Wave = soxr.resample(wave, speed, 1.0, quality="MQ")
    return changed if changed.size else wave
