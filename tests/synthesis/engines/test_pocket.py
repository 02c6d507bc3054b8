"""Pocket TTS's real code path on a small model with random weights: what it says is noise."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asr_tv.config.run import SynthesisConfig
from asr_tv.errors import ConfigError
from asr_tv.synthesis.engines import SpeechRequest, open_synthesizer, pocket
from asr_tv.synthesis.voices import open_engines

pytest.importorskip("pocket_tts")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from asr_tv.testing.voices import tiny_pocket

    return tiny_pocket(tmp_path_factory.mktemp("pocket") / "tiny")


def opened(*voices: object, **section: object):
    return open_synthesizer(SynthesisConfig(engine="pocket", voices=tuple(map(str, voices)), pocket=section))


def test_equal_requests_give_equal_samples_and_threads_stay_as_they_were(folder: Path):
    threads = torch.get_num_threads()
    engine = opened(f"{folder}#noise")
    assert [v.label for v in engine.voices] == ["tiny#noise"]
    waves = engine.speak([SpeechRequest("hello there", "tiny#noise", 0, seed) for seed in (1, 2, 1)])
    assert torch.get_num_threads() == threads
    assert np.array_equal(waves[0], waves[2])
    assert not np.array_equal(waves[0], waves[1])
    assert all(np.isfinite(wave).all() and wave.size for wave in waves)


def test_a_recording_is_cloned_only_where_that_is_asked_for(folder: Path, tmp_path: Path):
    recording = tmp_path / "ann.wav"
    soundfile.write(recording, 0.1 * np.random.default_rng(0).standard_normal(24_000), 24_000)
    with pytest.raises(ConfigError, match=r"would clone a speaker: with their consent, set synthesis\.pocket\.clone"):
        opened(f"{folder}#{recording}")
    engine = opened(f"{folder}#{recording}", clone=True)
    assert [(v.label, v.licence) for v in engine.voices] == [("tiny#ann", "licence not stated")]
    assert engine.speak([SpeechRequest("hello", "tiny#ann", 0, 1)])[0].size


def test_all_problems_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pocket, "repository", _no_hub)
    with pytest.raises(ConfigError) as caught:
        opened("english", "klingon#alba", "english#albe", "english#alba", f"{folder}#nobody")
    told = caught.value.problems
    assert "names no voice" in told[0]
    assert "no model 'klingon'" in told[1]
    assert "no voice 'albe'" in told[2]
    assert "alba" in told[2]
    assert "the hub does not answer" in told[3]
    assert "no file" in told[4]


def _no_hub(*_: object) -> Path:
    raise pocket.DataError("the hub does not answer")


def test_voices_of_restricted_collections_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pocket, "_find", lambda name, config: _restricted(folder))
    asked = SynthesisConfig(engine="pocket", voices=("english#cosette",))
    with pytest.raises(ConfigError, match=r"CC BY-NC 4\.0, forbids commercial use"):
        open_engines(asked)
    assert open_engines(asked.model_copy(update={"allow_noncommercial": True}))


def _restricted(folder: Path):
    info = pocket.VoiceInfo("english#cosette", "1", 24_000, "en", licence=pocket.voice_licence("english#cosette"))
    return pocket._Voice(info, folder, folder / "config.yaml", folder / "embeddings" / "noise.safetensors")


def test_the_files_of_a_configuration_are_those_of_the_folder():
    given = "weights_path: hf://kyutai/pocket-tts/languages/italian/model.safetensors@3e82\ndim: 4\n"
    assert pocket.local_config(given, Path("/m")) == 'weights_path: "/m/model.safetensors"\ndim: 4\n'
