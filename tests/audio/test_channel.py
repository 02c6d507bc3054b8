import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_tv.audio.channel import LINE_SAMPLING_RATE, add_noise, augment, simulate_line
from asr_tv.config.run import AugmentationConfig, LineConfig

RATE = 16_000
QUIET = {"snr_db": (200.0, 200.0), "silence_seconds": (0.0, 0.0), "speed": (1.0, 1.0), "gain_db": (0.0, 0.0)}


def speech(seconds: float = 2.0, rate: int = RATE, level: float = 0.2) -> np.ndarray:
    """Not speech, but with its slow changes of loudness and its low frequencies."""
    time = np.arange(round(seconds * rate)) / rate
    loudness = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * time)
    return (level * loudness * sum(np.sin(2 * np.pi * f * time) for f in (200, 450, 900))).astype(np.float32)


def snr(clean: np.ndarray, noisy: np.ndarray) -> float:
    """In dB, of `noisy` against its best scaled copy of `clean`."""
    clean, noisy = clean.astype(np.float64), noisy.astype(np.float64)
    scaled = clean * (clean @ noisy) / (clean @ clean)
    return float(10 * np.log10(np.mean(scaled**2) / np.mean((noisy - scaled) ** 2)))


@pytest.mark.parametrize("codec", ["gsm", "none"])
@pytest.mark.parametrize("wanted", [-5.0, 5.0, 20.0])
@pytest.mark.parametrize("level", [0.01, 0.2, 0.33])
def test_the_line_has_the_snr_that_was_asked_for(codec: str, wanted: float, level: float) -> None:
    wave = speech(10.0, level=level)
    noiseless = simulate_line(wave, RATE, LineConfig(codec=codec, snr_db=200.0), "a")
    noisy = simulate_line(wave, RATE, LineConfig(codec=codec, snr_db=wanted), "a")
    assert snr(noiseless, noisy) == pytest.approx(wanted, abs=0.2)
    assert np.abs(noisy).max() <= 1


def test_the_line_is_8_khz_coded_and_as_long_as_the_speech() -> None:
    wave = speech(2.0)
    coded = simulate_line(wave, RATE, LineConfig(codec="gsm", snr_db=200.0), "a")
    plain = simulate_line(wave, RATE, LineConfig(codec="none", snr_db=200.0), "a")
    assert coded.dtype == np.float32
    assert coded.size == plain.size == 2 * LINE_SAMPLING_RATE
    assert 5 < snr(plain, coded) < 30, "GSM keeps the speech and changes it"


def test_the_noise_depends_on_seed_and_key_alone() -> None:
    wave = speech()
    first = simulate_line(wave, RATE, LineConfig(), "a")
    assert np.array_equal(first, simulate_line(wave, RATE, LineConfig(), "a"))
    assert not np.array_equal(first, simulate_line(wave, RATE, LineConfig(), "b"))
    assert not np.array_equal(first, simulate_line(wave, RATE, LineConfig(seed=1), "a"))


def test_silence_stays_silent() -> None:
    assert not simulate_line(np.zeros(RATE, np.float32), RATE, LineConfig(codec="none"), "a").any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), level=st.floats(0.01, 0.33), seconds=st.floats(0.05, 2))
def test_augmentation_is_decided_by_the_generator_and_never_clips(seed: int, level: float, seconds: float) -> None:
    wave, config = speech(seconds, level=level), AugmentationConfig(gain_db=(-6.0, 20.0))
    first = augment(wave, RATE, config, np.random.default_rng(seed))
    assert np.array_equal(first, augment(wave, RATE, config, np.random.default_rng(seed)))
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert np.abs(first).max() <= 1
    assert wave.size / 1.1 - 1 <= first.size <= wave.size / 0.9 + 0.8 * RATE + 2


def test_probability_is_the_share_of_changed_clips() -> None:
    wave, rng = speech(0.2), np.random.default_rng(0)
    changed = sum(
        not np.array_equal(wave, augment(wave, RATE, AugmentationConfig(probability=0.7), rng)) for _ in range(400)
    )
    assert changed / 400 == pytest.approx(0.7, abs=0.07)
    assert np.array_equal(wave, augment(wave, RATE, AugmentationConfig(probability=0.0), rng))


def only(**effect: tuple[float, float]) -> AugmentationConfig:
    return AugmentationConfig(**{**QUIET, "probability": 1.0, **effect})


def test_each_effect_does_what_it_says() -> None:
    wave, rng = speech(), np.random.default_rng(0)
    assert augment(wave, RATE, only(speed=(1.1, 1.1)), rng).size == pytest.approx(wave.size / 1.1, abs=1)
    louder = augment(wave, RATE, only(gain_db=(-6.0, -6.0)), rng)
    assert np.abs(louder).max() / np.abs(wave).max() == pytest.approx(10 ** (-6 / 20), rel=1e-3)
    padded = augment(wave, RATE, only(silence_seconds=(0.25, 0.25)), rng)
    assert padded.size == wave.size + RATE // 2
    assert np.allclose(padded[RATE // 4 : -RATE // 4], wave, atol=1e-4)
    assert not np.abs(padded[: RATE // 4]).max() > 1e-4


def test_noise_is_measured_against_the_speech_and_covers_the_silence() -> None:
    wave, rng = speech(), np.random.default_rng(0)
    noisy = augment(wave, RATE, only(snr_db=(10.0, 10.0), silence_seconds=(0.4, 0.4)), rng)
    silence = noisy[: round(0.4 * RATE)]
    assert 10 * np.log10(np.mean(wave**2) / np.mean(silence**2)) == pytest.approx(10, abs=0.5)


def test_speed_raises_the_pitch() -> None:
    time = np.arange(2 * RATE) / RATE
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32) * np.float32(0.5)
    faster = augment(tone, RATE, only(speed=(1.05, 1.05)), np.random.default_rng(0))
    peak = np.abs(np.fft.rfft(faster)).argmax() * RATE / faster.size
    assert peak == pytest.approx(440 * 1.05, abs=2)


def test_snr_of_added_noise() -> None:
    wave = speech(10.0)
    assert snr(wave, add_noise(wave, 7.0, np.random.default_rng(0))) == pytest.approx(7.0, abs=0.1)
