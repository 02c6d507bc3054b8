"""Attributes of waves whose answers are planted: tones, gains, noise at known levels, and what cannot be known."""

from dataclasses import asdict

import numpy as np
import pytest
import soxr

from asr_tv.audio.attributes import SAMPLING_RATE, Attributes, measure
from asr_tv.audio.channel import add_noise
from asr_tv.audio.recordings import Wave, resample
from asr_tv.audio.shaping import shape
from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora import load_corpus, stored_manifest
from asr_tv.data.corpora.noise import _chords
from asr_tv.data.recorded import read_wave
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime


def tone(hertz: float, seconds: float, level: float = 0.1) -> Wave:
    time = np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def babble(seconds: float = 3.0, hertz: float = 150.0, seed: int = 0) -> Wave:
    """Harmonics of a gliding pitch in syllables of 0.2 s with rests of 0.3 s between groups of three, and edges."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    pitch = hertz * 2 ** (np.sin(2 * np.pi * 0.7 * time) / 6)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLING_RATE
    voice = sum(np.sin(n * phase) / n for n in range(1, 12))
    place = time % 0.9
    envelope = np.where(place < 0.6, np.sin(np.pi * (place % 0.2) / 0.2) ** 0.3, 0.0)
    loudness = 0.05 * (1 + 0.3 * rng.standard_normal(1)[0])
    return np.pad((loudness * voice * envelope).astype(np.float32), 4_000)


class TestATone:
    def test_its_length_and_pitch(self) -> None:
        found = measure(tone(220, 5.0))
        assert found.duration == pytest.approx(5.0, abs=0.01)
        assert found.f0_hz == pytest.approx(220, rel=0.02)
        assert found.f0_semitones == pytest.approx(0, abs=0.5)
        assert found.level_dbfs == pytest.approx(20 * np.log10(0.1 / np.sqrt(2)), abs=0.05)

    def test_without_a_pause_its_noise_is_not_known(self) -> None:
        assert measure(tone(220, 2.0), pitch=False).snr_db is None


class TestGain:
    def test_it_moves_the_level_alone(self) -> None:
        quiet, loud = measure(babble(), 5, 20), measure(babble() * np.float32(2), 5, 20)
        assert quiet.level_dbfs is not None
        assert loud.level_dbfs is not None
        assert loud.level_dbfs - quiet.level_dbfs == pytest.approx(6.02, abs=0.01)
        rest = [{k: v for k, v in asdict(a).items() if k not in ("level_dbfs", "snr_db")} for a in (quiet, loud)]
        assert rest[0] == pytest.approx(rest[1], rel=1e-4)
        assert quiet.snr_db == loud.snr_db  # None: the pauses hold digital silence


class TestNoise:
    @pytest.mark.parametrize("snr_db", [0, 10, 20])
    def test_the_ratio_is_found(self, snr_db: float) -> None:
        rng = np.random.default_rng(1)
        errors = []
        for seed in range(12):
            noisy = add_noise(babble(seed=seed), snr_db, rng)
            found = measure(noisy, pitch=False).snr_db
            assert found is not None
            errors.append(found - snr_db)
        assert abs(np.median(errors)) <= 0.6
        assert np.quantile(np.abs(errors), 0.9) <= 1.5

    def test_the_rate_hardly_depends_on_it(self) -> None:
        clean = measure(babble(), 10, 40, pitch=False).letters_a_second
        noisy = measure(add_noise(babble(), 10, np.random.default_rng(0)), 10, 40, pitch=False).letters_a_second
        assert noisy == pytest.approx(clean, rel=0.08)

    def test_noise_alone_has_no_ratio(self) -> None:
        noise = 0.1 * np.random.default_rng(0).standard_normal(32_000, dtype=np.float32)
        assert measure(noise.clip(-1, 1), pitch=False).snr_db is None


def test_faster_speech_has_a_higher_pitch_and_more_letters_a_second() -> None:
    """Of the rate only the order: pauses shorter than the limit count as speech, so planted pauses move it in steps."""
    slow = babble(4.5)
    before, after = measure(slow, 10, 40), measure(soxr.resample(slow, 1.25, 1.0, quality="HQ"), 10, 40)
    assert before.letters_a_second is not None
    assert before.f0_hz is not None
    assert after.f0_hz == pytest.approx(1.25 * before.f0_hz, rel=0.03)
    assert after.letters_a_second is not None
    assert after.letters_a_second > before.letters_a_second


@pytest.mark.real
class TestPrompts:
    """Twenty Asterisk prompts of one speaker, with 0.25 s of silence at both ends."""

    @pytest.fixture(scope="class")
    def prompts(self, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Wave, int]]:
        runtime = Runtime(Store(tmp_path_factory.mktemp("store")))
        corpus = CorpusConfig(kind="asterisk", language="en", domains=("voicemail",))
        spoken = [u for u in stored_manifest(load_corpus(runtime, corpus)) if (u.duration or 0) > 1.5][:20]
        return [(np.pad(read_wave(u), 4_000), sum(c.isalpha() for c in u.text)) for u in spoken]

    @pytest.mark.parametrize("snr_db", [0, 10, 20])
    def test_noise_of_a_known_level(self, prompts: list[tuple[Wave, int]], snr_db: float) -> None:
        rng = np.random.default_rng(0)
        found = [measure(add_noise(wave, snr_db, rng), pitch=False).snr_db for wave, _ in prompts]
        errors = [value - snr_db for value in found if value is not None]
        assert len(errors) == 20
        assert abs(np.median(errors)) <= 0.6
        assert np.quantile(np.abs(errors), 0.9) <= 1.5

    def test_a_quarter_faster(self, prompts: list[tuple[Wave, int]]) -> None:
        letters, pitches = [], []
        for number, (wave, count) in enumerate(prompts):
            fast = soxr.resample(wave, 1.25, 1.0, quality="HQ")
            pair = [measure(w, 1, count, pitch=number < 5) for w in (wave, fast)]
            letters.append(pair[1].letters_a_second / pair[0].letters_a_second)  # type: ignore[operator]
            pitches += [pair[1].f0_hz / pair[0].f0_hz] if number < 5 else []  # type: ignore[operator]
        assert np.median(letters) == pytest.approx(1.25, rel=0.03)
        assert np.median(pitches) == pytest.approx(1.25, rel=0.03)


class TestUnknown:
    def test_of_silence_all_but_its_length(self) -> None:
        assert measure(np.zeros(16_000, np.float32), 0, 0) == Attributes(1.0)
        assert measure(np.zeros(16_000, np.float32)) == Attributes(1.0)

    def test_of_a_tenth_of_a_second_all_but_its_length(self) -> None:
        assert measure(tone(220, 0.1), 1, 3) == Attributes(0.1)

    def test_of_music_without_words_all_but_its_length(self) -> None:
        music = 0.1 * _chords(32_000, np.random.default_rng(0))
        assert measure(music.astype(np.float32), 0, 0) == Attributes(2.0)

    def test_of_a_clipped_recording_its_level_noise_and_band(self) -> None:
        found = measure((babble() * np.float32(40)).clip(-0.5, 0.5), 5, 20, pitch=False)
        assert (found.level_dbfs, found.snr_db, found.bandwidth_hz, found.band_edge_hz) == (None,) * 4
        assert found.letters_a_second is not None

    def test_rates_where_the_words_are_not_known(self) -> None:
        found = measure(babble(), pitch=False)
        assert (found.words_a_second, found.letters_a_second) == (None, None)
        assert found.speech_seconds is not None

    def test_pitch_where_it_is_not_asked_for(self) -> None:
        assert measure(tone(220, 1.0), pitch=False).f0_hz is None


class TestBand:
    def test_a_recording_at_8_khz_ends_at_4(self) -> None:
        rng = np.random.default_rng(0)
        narrow = resample((0.1 * rng.standard_normal(16_000, dtype=np.float32)).clip(-1, 1), 8_000, 16_000)
        found = measure(narrow, pitch=False)
        assert found.band_edge_hz == pytest.approx(4_000, abs=150)
        assert found.bandwidth_hz is not None
        assert found.bandwidth_hz <= 4_000

    def test_shaping_ends_it_where_asked_and_keeps_the_length(self) -> None:
        noise = (0.05 * np.random.default_rng(0).standard_normal(16_001, dtype=np.float32)).clip(-1, 1)
        shaped = shape(noise, SAMPLING_RATE, -6.0, 3_000.0)
        assert shaped.size == noise.size
        assert measure(shaped, pitch=False).band_edge_hz == pytest.approx(3_000, abs=150)
        assert np.array_equal(shape(noise, SAMPLING_RATE, 0.0, None), noise)
        assert np.sqrt(np.mean(shape(noise, SAMPLING_RATE, -6.0, None) ** 2)) == pytest.approx(
            10 ** (-6 / 20) * np.sqrt(np.mean(noise**2)), rel=1e-4
        )

    def test_a_gain_does_not_clip(self) -> None:
        assert np.abs(shape(tone(200, 0.5, 0.9), SAMPLING_RATE, 12.0, None)).max() <= 1
