"""What lies between a speaker and the recogniser: a simulated telephone line, and random channel augmentation.

Plain numpy and soxr: audiomentations wants soxr below 1 and three more compiled packages for the same effects.
"""

import hashlib
import io

import numpy as np
import soundfile
import soxr

from asr_tv.audio.effects import in_room, pink, through_line
from asr_tv.audio.recordings import Wave, limit_peak, resample, to_pcm16
from asr_tv.config.run import AugmentationConfig, LineConfig

LINE_SAMPLING_RATE = 8_000
"""Hz, of a telephone line and of the GSM codec."""


def simulate_line(wave: Wave, sampling_rate: int, config: LineConfig, key: str) -> Wave:
    """What a *simulated line* would deliver: 8 kHz, coded, then white noise at `config.snr_db`.

    Args:
        key: the utterance's id; with `config.seed` it decides the noise, whatever else is processed.

    Returns:
        float32 at `LINE_SAMPLING_RATE`, in [-1, 1], as long as the speech.
    """
    speech = resample(limit_peak(wave), sampling_rate, LINE_SAMPLING_RATE)
    if config.codec == "gsm":
        speech = _through_gsm(speech)
    return limit_peak(with_noise(speech, config.snr_db, _rng(config.seed, key)))


def augment(wave: Wave, sampling_rate: int, config: AugmentationConfig, rng: np.random.Generator) -> Wave:
    """With probability `config.probability`: another speed, silence before and after, another gain, white noise.

    With `config.channel` also a room before the noise, pink noise, and a band and a codec at the end. Equal states of
    `rng` give equal waves. The noise covers the silence too, as a channel's noise does.

    Returns:
        float32 at the same sampling rate, in [-1, 1].
    """
    if rng.random() >= config.probability or not wave.size:
        return limit_peak(wave)
    speech = _faster(wave, rng.uniform(*config.speed))
    if config.channel is not None:
        speech = in_room(speech, sampling_rate, config.channel, rng)
    power = _power(speech)
    before, after = (round(rng.uniform(*config.silence_seconds) * sampling_rate) for _ in range(2))
    gain = np.float32(10 ** (rng.uniform(*config.gain_db) / 20))
    padded = np.pad(speech, (before, after))
    snr_db = rng.uniform(*config.snr_db)
    if config.channel is None:
        return limit_peak(gain * with_noise(padded, snr_db, rng, power))
    if rng.random() < config.channel.pink_noise_probability:
        noisy = padded + np.float32(np.sqrt(power * 10 ** (-snr_db / 10))) * pink(padded.size, rng)
    else:
        noisy = with_noise(padded, snr_db, rng, power)
    return limit_peak(through_line(limit_peak(gain * noisy), sampling_rate, config.channel, rng))


def with_noise(wave: Wave, snr_db: float, rng: np.random.Generator, power: float | None = None) -> Wave:
    """The wave plus white noise; 10 log10(power / noise power) = `snr_db`.

    Args:
        power: mean square of the speech; of the whole wave when not given. Silence gets no noise.
    """
    speech_power = _power(wave) if power is None else power
    scale = np.float32(np.sqrt(speech_power * 10 ** (-snr_db / 10)))
    noisy: Wave = wave + scale * rng.standard_normal(wave.size, dtype=np.float32)
    return noisy


def _power(wave: Wave) -> float:
    return float(np.mean(np.square(wave, dtype=np.float64))) if wave.size else 0.0


def _faster(wave: Wave, speed: float) -> Wave:
    """Speed and pitch together, as a tape played faster: the wave taken for one of `speed` times the rate."""
    changed: Wave = soxr.resample(wave, speed, 1.0, quality="MQ")
    return changed if changed.size else wave


def _through_gsm(speech: Wave) -> Wave:
    """GSM 06.10 full rate and back. The codec works on whole frames; what it adds at the end is cut off."""
    buffer = io.BytesIO()
    soundfile.write(buffer, to_pcm16(speech), LINE_SAMPLING_RATE, format="WAV", subtype="GSM610")
    buffer.seek(0)
    decoded: Wave = soundfile.read(buffer, dtype="float32")[0][: speech.size]
    return decoded


def _rng(seed: int, key: str) -> np.random.Generator:
    """Python's own hash differs from process to process; sha256 does not."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
