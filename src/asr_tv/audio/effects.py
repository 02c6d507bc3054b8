"""Rooms, frequency bands and codecs: the effects of a channel other than noise.

Written with scipy and libsndfile, which are installed anyway: audiomentations requires soxr below 1, and
torch-audiomentations a torchaudio built for the exact version of torch.
"""

import io
from math import log

import numpy as np
import soundfile

from asr_tv.audio.recordings import Wave, limit_peak, resample, to_pcm16
from asr_tv.config.clips import Codec
from asr_tv.config.run import ChannelConfig
from asr_tv.errors import ConfigError

TELEPHONE_RATE = 8_000
_NARROW = {"gsm": ("WAV", "GSM610"), "mulaw": ("WAV", "ULAW"), "alaw": ("WAV", "ALAW"), "g726": ("WAV", "G721_32")}
"""Telephone codecs at 8 kHz: GSM 06.10 full rate, G.711 (mu-law and A-law), G.726 at 32 kbit/s (G.721)."""
_OPUS_LEVELS = (0.9, 1.0)
"""Compression levels of libsndfile, about 32 and 10 kbit/s."""


def add_room(speech: Wave, sampling_rate: int, config: ChannelConfig, rng: np.random.Generator) -> Wave:
    """With probability `config.room_probability`, the speech in a random room, with its length and energy unchanged.

    The impulse response is Polack's model: direct sound, then exponentially decaying noise (J. D. Polack, 1988).
    """
    if rng.random() >= config.room_probability:
        return speech
    seconds, direct_db = rng.uniform(*config.reverberation_seconds), rng.uniform(*config.direct_db)
    return reverberate(speech, room_response(seconds, direct_db, sampling_rate, rng))


def room_response(seconds: float, direct_db: float, sampling_rate: int, rng: np.random.Generator) -> Wave:
    """An impulse response [seconds x sampling_rate]: 1, then noise that decays by 60 dB over its length.

    `direct_db` is the ratio of the energy of the direct sound to that of the reverberation.
    """
    count = max(round(seconds * sampling_rate), 2)
    decay = np.exp(-3 * log(10) * np.arange(1, count) / count)
    tail = rng.standard_normal(count - 1) * decay
    tail *= np.sqrt(10 ** (-direct_db / 10) / np.sum(tail**2))
    return np.concatenate(([1.0], tail)).astype(np.float32)


def reverberate(speech: Wave, response: Wave) -> Wave:
    """The speech convolved with an impulse response, cut to its original length and scaled to its energy."""
    from scipy.signal import fftconvolve

    wet = fftconvolve(speech, response)[: speech.size]
    energy = float(np.sum(wet**2))
    scale = np.sqrt(float(np.sum(speech**2)) / energy) if energy else 1.0
    return np.asarray(wet * scale, np.float32)


def pink_noise(count: int, rng: np.random.Generator) -> Wave:
    """Noise [count] of power 1 whose spectrum falls by 3 dB per octave, like the noise of most rooms."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum /= np.sqrt(np.maximum(np.arange(spectrum.size), 1))
    noise = np.fft.irfft(spectrum, count)
    return np.asarray(noise / max(float(np.sqrt(np.mean(noise**2))), 1e-12), np.float32)


def apply_line(wave: Wave, sampling_rate: int, config: ChannelConfig, rng: np.random.Generator) -> Wave:
    """The wave through a random band-pass and a random codec of the configuration, its length unchanged."""
    if rng.random() < config.band_probability:
        wave = band_pass(wave, sampling_rate, rng.uniform(*config.low_hz), rng.uniform(*config.high_hz))
    codec = config.codecs[int(rng.integers(len(config.codecs)))]
    return apply_codec(wave, sampling_rate, codec, float(rng.uniform(*_OPUS_LEVELS)))


def band_pass(wave: Wave, sampling_rate: int, low: float, high: float) -> Wave:
    """The wave through a Butterworth band-pass of order 4 between two frequencies in Hz."""
    from scipy.signal import butter, sosfilt

    sections = butter(4, [low, min(high, 0.49 * sampling_rate)], "bandpass", fs=sampling_rate, output="sos")
    return limit_peak(np.asarray(sosfilt(sections, wave), np.float32))


def apply_codec(wave: Wave, sampling_rate: int, codec: Codec, level: float = 1.0) -> Wave:
    """The wave encoded and decoded, at the same sampling rate and length; `level` is how far Opus compresses.

    Raises:
        ConfigError: libsndfile on this machine does not support the codec.
    """
    if codec == "none":
        return wave
    rate = sampling_rate if codec == "opus" else TELEPHONE_RATE
    kind, subtype = ("OGG", "OPUS") if codec == "opus" else _NARROW[codec]
    buffer = io.BytesIO()
    speech = resample(limit_peak(wave), sampling_rate, rate)
    more = {"compression_level": level} if codec == "opus" else {}
    try:
        soundfile.write(buffer, to_pcm16(speech), rate, format=kind, subtype=subtype, **more)
    except soundfile.LibsndfileError as error:
        raise ConfigError(f"codec {codec}: libsndfile on this machine does not support it: {error}") from error
    buffer.seek(0)
    decoded: Wave = soundfile.read(buffer, dtype="float32")[0]
    back = resample(decoded, rate, sampling_rate)[: wave.size]
    return np.pad(back, (0, wave.size - back.size))
