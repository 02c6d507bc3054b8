"""Small random causal language models for the tests of vectors: base, chat, and one continually pre-trained."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig

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
