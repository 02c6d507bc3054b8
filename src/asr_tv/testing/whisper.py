"""A tiny random Whisper with a small trained tokenizer; nothing is downloaded."""

import json
from pathlib import Path
from typing import Any

import torch

from asr_tv.models.directory import BareWhisper, write_directory
from asr_tv.models.tensors import TIED
from asr_tv.models.vocabulary import Tokenizer, assembled_tokenizer

LANGUAGES = ("en", "de", "es", "fr", "it", "ru")
_SENTENCES = (
    "please leave your message after the tone",
    "you are the only person in this conference",
    "press one to listen to your messages or two to hang up",
    "the number you have dialled is not in service",
)


def tiny_whisper(directory: Path, *, multilingual: bool = False, seed: int = 0, layers: int = 2) -> Path:
    """Writes a Whisper of 2 + 2 layers, 64 wide, with random weights; returns the directory."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    tokenizer = tiny_tokenizer(multilingual=multilingual)
    sizes: dict[str, Any] = {"d_model": 64, "vocab_size": len(tokenizer)}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": layers, f"{side}_attention_heads": 1, f"{side}_ffn_dim": 128}
    end = tokenizer.eos_token_id
    special = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": end + 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = WhisperForConditionalGeneration(WhisperConfig(**sizes, **special))
    tensors = {name: tensor for name, tensor in model.state_dict().items() if name not in TIED}
    write_directory(BareWhisper(tensors, tokenizer, heads=1), directory)
    return directory


def tiny_tokenizer(*, multilingual: bool = False) -> Tokenizer:
    """A byte-level tokenizer with Whisper's special tokens, trained on a few sentences; any text can be encoded."""
    from tokenizers import Tokenizer as Trainable
    from tokenizers import models, pre_tokenizers, trainers

    trained = Trainable(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=256 + 120, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator((f" {sentence}" for sentence in _SENTENCES), trainer)
    learned = json.loads(trained.to_str())["model"]
    vocabulary: dict[str, int] = learned["vocab"]
    if multilingual:
        vocabulary[""] = len(vocabulary)
    merges = [tuple(merge) for merge in learned["merges"]]
    return assembled_tokenizer(vocabulary, merges, LANGUAGES if multilingual else LANGUAGES[:1])
