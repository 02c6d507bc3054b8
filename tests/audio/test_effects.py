import numpy as np
import pytest

from asr_tv.audio.channel import augment
from asr_tv.audio.effects import apply_codec, band_pass, pink_noise, reverberate, room_response
from asr_tv.config.run import AugmentationConfig, ChannelConfig

RATE = 16_000
CODECS = ("none", "gsm", "mulaw", "alaw", "g726", "opus")


def tone(*frequencies: float, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    loudness = 0.6 + 0.4 * np.sin(2 * np.pi * 3 * time)
    return (loudness * sum(0.2 * np.sin(2 * np.pi * f * time) for f in frequencies)).astype(np.float32)


def level(wave: np.ndarray, frequency: float) -> float:
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(wave.size))) ** 2
    centre = round(frequency * wave.size / RATE)
    return float(spectrum[centre - 10 : centre + 10].sum())


@pytest.mark.parametrize("direct_db", [0.0, 10.0])
def test_a_room_has_its_direct_sound_and_its_decay(direct_db: float):
    response = room_response(0.4, direct_db, RATE, np.random.default_rng(0)).astype(np.float64)
    assert response.size == 0.4 * RATE
    assert 10 * np.log10(response[0] ** 2 / np.sum(response[1:] ** 2)) == pytest.approx(direct_db, abs=1e-3)
    powers = [np.mean(part**2) for part in np.array_split(response[1:], 4)]
    assert np.diff(10 * np.log10(powers)) == pytest.approx([-15, -15, -15], abs=1.5)


def test_reverberation_keeps_length_and_energy_and_starts_no_later():
    speech = np.concatenate((tone(300.0, seconds=0.2), np.zeros(RATE // 2, np.float32)))
    wet = reverberate(speech, room_response(0.3, 0.0, RATE, np.random.default_rng(0)))
    assert wet.size == speech.size
    assert np.sum(wet**2) == pytest.approx(np.sum(speech**2), rel=1e-3)
    assert np.abs(wet[4000:6000]).max() > 0.01
    assert not reverberate(np.zeros(RATE, np.float32), room_response(0.3, 0.0, RATE, np.random.default_rng(0))).any()


def test_pink_noise_falls_by_three_db_an_octave():
    noise = pink_noise(1 << 17, np.random.default_rng(0))
    assert np.mean(noise**2) == pytest.approx(1, rel=1e-3)
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [10 * np.log10(power[1 << k : 2 << k].mean()) for k in range(10, 16)]
    assert np.diff(octaves) == pytest.approx([-3.01] * 5, abs=0.6)


def test_a_band_keeps_what_is_inside():
    wave = tone(100.0, 1000.0, 6000.0)
    limited = band_pass(wave, RATE, 300.0, 3400.0)
    assert limited.size == wave.size
    gains = [10 * np.log10(level(limited, f) / level(wave, f)) for f in (100.0, 1000.0, 6000.0)]
    assert gains[1] == pytest.approx(0, abs=0.5)
    assert gains[0] < -30
    assert gains[2] < -15


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("samples", [15_999, 5001, 37])
def test_a_codec_keeps_the_length_and_the_speech(codec: str, samples: int):
    wave = tone(400.0, 900.0)[:samples]
    through = apply_codec(wave, RATE, codec, 0.9)  # type: ignore[arg-type]
    assert through.size == wave.size
    assert through.dtype == np.float32
    assert np.isfinite(through).all()
    assert np.array_equal(through, apply_codec(wave, RATE, codec, 0.9))  # type: ignore[arg-type]
    if samples > 5000:
        assert np.corrcoef(wave, through)[0, 1] > 0.9
    assert np.array_equal(through, wave) == (codec == "none")


@pytest.mark.parametrize("codec", ["gsm", "mulaw", "alaw", "g726"])
def test_a_telephone_codec_ends_at_four_khz(codec: str):
    wave = tone(1000.0, 6000.0)
    assert level(apply_codec(wave, RATE, codec), 6000.0) < 1e-3 * level(wave, 6000.0)  # type: ignore[arg-type]


def test_the_channel_is_decided_by_the_generator_and_never_clips():
    config = AugmentationConfig(channel=ChannelConfig(room_probability=1, codecs=CODECS), gain_db=(0.0, 20.0))
    wave = tone(300.0, 700.0)
    for seed in range(8):
        first = augment(wave, RATE, config, np.random.default_rng(seed))
        assert np.array_equal(first, augment(wave, RATE, config, np.random.default_rng(seed)))
        assert first.dtype == np.float32
        assert np.isfinite(first).all()
        assert np.abs(first).max() <= 1


def test_a_channel_that_does_nothing_leaves_the_augmentation_as_it_was():
    none = ChannelConfig(room_probability=0, pink_noise_probability=0, band_probability=0, codecs=("none",))
    silent = {"snr_db": (300.0, 300.0), "probability": 1.0}
    wave = tone(300.0, 700.0)
    plain = augment(wave, RATE, AugmentationConfig(**silent, speed=(1, 1)), np.random.default_rng(3))
    channel = augment(wave, RATE, AugmentationConfig(**silent, speed=(1, 1), channel=none), np.random.default_rng(3))
    assert plain.size != wave.size
    assert level(channel, 300.0) > 0
    assert np.abs(channel).max() <= 1


def test_augmentation_without_a_channel_gives_the_numbers_it_always_gave():
    wave = tone(300.0, 700.0, seconds=0.1)
    made = augment(wave, RATE, AugmentationConfig(probability=1), np.random.default_rng(17))
    assert made.size == 7642
    middle = [0.08728168904781342, 0.1221853494644165, 0.07968882471323013, 0.14232374727725983]
    assert made[3821:3825].tolist() == pytest.approx(middle, abs=1e-6)
