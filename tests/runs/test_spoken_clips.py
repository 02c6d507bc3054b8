"""Clips for the check of an export: the same ones each time, in the first voice that is installed."""

from pathlib import Path

import pytest

from asr_tv.config.synthesis import SynthesisConfig
from asr_tv.errors import ConfigError
from asr_tv.runs import spoken_clips as module
from asr_tv.runs.spoken_clips import spoken_clips
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime
from asr_tv.testing.speech import use_fake_engine

FAKE = SynthesisConfig(engine="fake", voices=("tone",), takes=1)
MISSING = SynthesisConfig(engine="festival", voices=("kal",))


def test_the_first_installed_voice_speaks_the_same_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_engine()
    monkeypatch.setattr(module, "VOICES", (MISSING, FAKE))
    runtime = Runtime(Store(tmp_path / "store"), workers=1)
    clips = spoken_clips(runtime, 3)
    assert clips == spoken_clips(runtime, 3)
    assert len({u.text for u in clips}) == len(clips) == 3
    assert all(4 <= len(u.text.split()) <= 15 and u.duration and u.speaker == "tone" for u in clips)
    assert {u.id for u in clips} <= {u.id for u in spoken_clips(runtime, 5)}


def test_without_a_voice_it_says_which_were_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VOICES", (MISSING, MISSING))
    with pytest.raises(ConfigError) as caught:
        spoken_clips(Runtime(Store(tmp_path / "store")), 3)
    assert len(caught.value.problems) == 3


@pytest.mark.real
def test_real_voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for config in module.VOICES:
        monkeypatch.setattr(module, "VOICES", (config,))
        clips = spoken_clips(Runtime(Store(tmp_path / "store"), workers=1), 2)
        assert all(u.duration and u.duration > 1 for u in clips)
