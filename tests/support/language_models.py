"""Small random causal language models: base, chat and further trained for the tests of vectors, and a writer."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
)

from asr_tv.testing.whisper import tiny_tokenizer

VOCABULARY, EXTRA = 40, 12
CONFIGS: dict[str, Any] = {"llama": LlamaConfig, "mistral": MistralConfig}


def save_model(
    folder: Path, kind: str = "llama", *, seed: int = 0, extra: int = 0, tied: bool = False, sharded: bool = False
) -> Path:
    """A model of two layers, in bf16, with `extra` tokens after the ordinary ones, and their tokenizer.json."""
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
    tokens = VOCABULARY + extra
    config = CONFIGS[kind](**sizes, num_key_value_heads=2, vocab_size=tokens, tie_word_embeddings=tied)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="4KB" if sharded else "1GB")
    vocabulary = {f"t{number}": number for number in range(tokens)}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "extra").mkdir()
    (folder / "extra" / "notes.txt").write_text("kept")
    (folder / "extra" / "old.bin").write_bytes(b"other weights")
    (folder / "pytorch_model.bin").write_bytes(b"other weights")
    return folder


def tiny_writer(folder: Path) -> Path:
    """A GPT-2 of two layers that writes nonsense with Whisper's tokens."""
    whisper = tiny_tokenizer()
    end = whisper.eos_token
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=whisper.backend_tokenizer, eos_token=end, pad_token=end)
    tokenizer.save_pretrained(folder)
    config = GPT2Config(vocab_size=len(whisper), n_embd=32, n_layer=2, n_head=2, n_positions=512)
    config.eos_token_id = config.pad_token_id = config.bos_token_id = whisper.eos_token_id
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(folder)
    return folder
