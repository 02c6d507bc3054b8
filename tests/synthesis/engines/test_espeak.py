"""espeak-ng: languages and variants, refusals, and clips that depend on nothing but themselves."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import ConfigError
from asr_tv.synthesis.engines import SpeechRequest, Synthesizer, espeak, open_synthesizer

pytest.importorskip("espeakng_loader")


def opened(*voices: str, **settings: object) -> Synthesizer:
    return open_synthesizer(SynthesisConfig(engine="espeak", voices=voices, espeak=settings))


def request_(engine: Synthesizer, text: str, voice: str, seed: int = 1) -> SpeechRequest:
    return SpeechRequest(text, voice, 0, seed, engine.settings(seed))


def test_languages_and_variants():
    engine = opened("en-us", "en-GB+f2", "de")
    assert [(v.label, v.language, v.sampling_rate) for v in engine.voices] == [
        ("en-us", "en-us", 22050),
        ("en-gb+f2", "en-gb", 22050),
        ("de", "de", 22050),
    ]
    assert {v.version for v in engine.voices} == {engine.voices[0].version}
    assert engine.voices[0].version.startswith("espeak-ng 1.")


def test_every_unknown_voice_is_told_with_what_there_is():
    with pytest.raises(ConfigError) as caught:
        opened("klingonese", "en-us+f9", "EN-us", "en-us")
    unknown, variant, twice = caught.value.problems
    assert "klingonese: espeak-ng knows no language 'klingonese'; of its 1" in unknown
    assert "en-us+f9: espeak-ng knows no variant 'f9'" in variant
    assert "f5" in variant
    assert twice == "synthesis.voices: en-us is named twice"


def test_without_the_library_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(espeak, "package_folders", lambda package: [])
    monkeypatch.setattr(espeak.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"espeakng-loader \(extra espeak of asr-tv\), or apt-get install libespeak-ng1"
    ):
        opened("en-us")


def test_a_library_that_does_not_load_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(espeak, "_find_library", lambda: espeak._Place("/nowhere/libespeak-ng.so", None))
    with pytest.raises(ConfigError, match="library cannot be loaded"):
        opened("en-us")


def test_a_library_that_another_part_holds_is_refused():
    engine = opened("en-us")
    held = espeak.ctypes.CDLL(espeak._find_library().library)
    try:
        with pytest.raises(ConfigError, match="in use by another part of this process"):
            engine.speak([request_(engine, "Hello.", "en-us")])
    finally:
        import _ctypes

        _ctypes.dlclose(held._handle)


def test_a_clip_depends_on_its_request_alone():
    engine = opened("en-us", "en-us+whisper", "de+croak")
    wanted = [
        request_(engine, "Press one for sales.", v, n) for n, v in enumerate(("en-us", "en-us+whisper", "de+croak"))
    ]
    alone = [engine.speak([r])[0] for r in wanted]
    engine.speak([request_(engine, "Something else, with noise: shhh.", "en-us+whisper", 9)])
    turned = engine.speak(wanted[::-1])[::-1]
    assert all(np.array_equal(a, b) for a, b in zip(alone, turned, strict=True))
    assert not np.array_equal(alone[0], engine.speak([request_(engine, "Press one for sales.", "en-us", 5)])[0])


def test_another_process_speaks_the_same_samples():
    code = """
        import hashlib
        from asr_tv.config.run import SynthesisConfig
        from asr_tv.synthesis.engines import SpeechRequest, open_synthesizer
        engine = open_synthesizer(SynthesisConfig(engine="espeak", voices=("en-gb+f3",)))
        wave = engine.speak([SpeechRequest("Press one.", "en-gb+f3", 0, 3, engine.settings(3))])[0]
        print(hashlib.sha256(wave.tobytes()).hexdigest())
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    one, two = (subprocess.run(run, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert one == two != ""


def test_levels_lengths_and_settings():
    engine = opened("en-us", words_per_minute=(100, 100), pitch=(30, 60))
    fast = opened("en-us", words_per_minute=(300, 300))
    text = "Please leave a message after the tone."
    (slow_wave,) = engine.speak([request_(engine, text, "en-us")])
    (fast_wave,) = fast.speak([request_(fast, text, "en-us")])
    assert len(slow_wave) > 2 * len(fast_wave)
    assert np.abs(slow_wave).max() == pytest.approx(0.9)
    drawn = [engine.settings(seed) for seed in range(40)]
    assert {d["words_per_minute"] for d in drawn} == {100.0}
    assert len({d["pitch"] for d in drawn}) > 10
    assert all(30 <= d["pitch"] <= 60 and d["pitch"].is_integer() for d in drawn)
    with pytest.raises(ValueError, match="450"):
        SynthesisConfig(espeak={"words_per_minute": (100, 900)})


def test_it_speaks_other_scripts_and_nothing_where_there_is_nothing():
    engine = opened("ru", "en-us")
    russian, nothing = engine.speak([request_(engine, "Привет, мир.", "ru"), request_(engine, " ", "en-us")])
    assert 0.4 < len(russian) / 22050 < 3
    assert len(nothing) == 0
