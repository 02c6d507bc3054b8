import time

import pytest
import torch

from asr_tv.models.whisper import checkpoint_digest, load_model, load_tokenizer
from asr_tv.testing.whisper import tiny_whisper


@pytest.mark.parametrize("multilingual", [False, True])
def test_it_is_a_whole_whisper(tmp_path, multilingual):
    from transformers import pipeline

    directory = tiny_whisper(tmp_path / "m", multilingual=multilingual)
    recognise = pipeline("automatic-speech-recognition", str(directory))
    options = {"max_new_tokens": 5} | ({"language": "it"} if multilingual else {})
    wave = {"raw": torch.zeros(16000).numpy(), "sampling_rate": 16000}
    assert isinstance(recognise(wave, generate_kwargs=options)["text"], str)


def test_any_text_goes_through_its_tokenizer(tmp_path):
    tokenizer = load_tokenizer(tiny_whisper(tmp_path / "m"))
    for text in (" Please leave your message.", " già 12,5 € 你好\n", " it's"):
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(ids) == text
    common = tokenizer.encode(" the conference", add_special_tokens=False)
    assert len(common) < len("the conference")


def test_the_seed_decides_the_weights(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    digests = [checkpoint_digest(tiny_whisper(tmp_path / str(i), seed=seed)) for i, seed in enumerate((0, 0, 1))]
    assert digests[0] == digests[1] != digests[2]
    assert torch.rand(1) == expected  # nobody else's random numbers move


def test_it_is_small_and_quick(tmp_path):
    tiny_whisper(tmp_path / "warm")
    start = time.perf_counter()
    directory = tiny_whisper(tmp_path / "m")
    assert time.perf_counter() - start < 3
    assert sum(p.numel() for p in load_model(directory).parameters()) < 600_000
