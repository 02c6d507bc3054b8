"""Tiny random CTC models, Wav2Vec2 and Wav2Vec2-Conformer, with a vocabulary of characters."""

import json
from pathlib import Path
from typing import Any, Literal

import torch

from asr_tv.models.directory import METADATA
from asr_tv.models.tensors import WEIGHTS, layout_of, write_tensors

CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'"
"""With digits: sentences of `testing.speech` contain them, though published English models lack them."""


def tiny_ctc(directory: Path, kind: Literal["wav2vec2", "conformer"] = "wav2vec2", *, seed: int = 0) -> Path:
    """Writes a CTC model of two layers, 32 wide, 100 frames per second; returns the directory."""
    import transformers

    library: Any = transformers  # its annotations do not accept settings from a dictionary
    directory.mkdir(parents=True, exist_ok=True)
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *CHARACTERS]
    vocabulary = directory / "vocab.json"
    vocabulary.write_text(json.dumps({token: number for number, token in enumerate(tokens)}), encoding="utf-8")
    library.Wav2Vec2CTCTokenizer(str(vocabulary)).save_pretrained(directory)
    sizes: dict[str, Any] = {"vocab_size": len(tokens), "pad_token_id": 0}  # nosec B105 - no password
    sizes |= {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    sizes |= {"conv_dim": (16, 16, 16), "conv_kernel": (10, 8, 4), "conv_stride": (5, 8, 4)}
    sizes |= {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    sizes |= dict.fromkeys(("hidden_dropout", "attention_dropout", "feat_proj_dropout", "layerdrop"), 0.0)
    sizes |= {"mask_time_prob": 0.01, "mask_time_length": 2, "mask_time_min_masks": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "wav2vec2":
            model = library.Wav2Vec2ForCTC(library.Wav2Vec2Config(**sizes))
        else:
            sizes |= {"feat_extract_norm": "layer", "conv_depthwise_kernel_size": 7}
            config = library.Wav2Vec2ConformerConfig(**sizes, position_embeddings_type="rotary")
            model = library.Wav2Vec2ConformerForCTC(config)
    # Published models with group norm were trained without a mask.
    library.Wav2Vec2FeatureExtractor(return_attention_mask=kind == "conformer").save_pretrained(directory)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(directory)
    tensors = model.state_dict()
    write_tensors(directory / WEIGHTS, layout_of(tensors), sorted(tensors.items()), METADATA)
    return directory
