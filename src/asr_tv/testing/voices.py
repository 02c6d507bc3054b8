"""Tiny Bark, SpeechT5 and Pocket TTS models with random weights: real code paths, but what they say is noise."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

_SEMANTIC, _CODEBOOK, _MOST_TOKENS = 100, 32, 30
_CONTRAST = 12.0
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'"


def tiny_bark(directory: Path) -> Path:
    """Writes a Bark of one layer per model, with its generation configuration as nested dictionaries."""
    from transformers import BarkConfig, BarkModel, PreTrainedTokenizerFast
    from transformers.models.bark.configuration_bark import BarkCoarseConfig, BarkFineConfig, BarkSemanticConfig
    from transformers.models.encodec.configuration_encodec import EncodecConfig

    size: dict[str, Any] = {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "block_size": 256}
    words = _SEMANTIC + 100 + len(_LETTERS)
    config = BarkConfig(
        semantic_config=BarkSemanticConfig(input_vocab_size=words, output_vocab_size=_SEMANTIC + 1, **size).to_dict(),
        coarse_acoustics_config=BarkCoarseConfig(input_vocab_size=180, output_vocab_size=180, **size).to_dict(),
        fine_acoustics_config=BarkFineConfig(input_vocab_size=40, output_vocab_size=40, **size).to_dict(),
        codec_config=EncodecConfig(
            num_filters=4, hidden_size=16, num_lstm_layers=1, codebook_size=_CODEBOOK, codebook_dim=16
        ).to_dict(),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = BarkModel(config)
    with torch.no_grad():  # with initial weights every token is about as likely as any other, whatever came before
        for part in (model.semantic, model.coarse_acoustics, model.fine_acoustics):
            for parameter in part.parameters():
                parameter *= _CONTRAST
        for number, layer in enumerate(model.codec_model.quantizer.layers):  # all zero until they are trained
            layer.codebook.embed.normal_(generator=torch.Generator().manual_seed(number))
    model.save_pretrained(directory)
    (directory / "generation_config.json").write_text(json.dumps(bark_generation()))
    fast: Any = PreTrainedTokenizerFast
    fast(tokenizer_object=_letters(), pad_token="[PAD]", unk_token="[UNK]").save_pretrained(directory)  # nosec B106
    return directory


def bark_generation() -> dict[str, Any]:
    """The generation configuration of `tiny_bark`, in the form of the hub's file: nested dictionaries."""
    semantic = {"do_sample": True, "max_input_semantic_length": 48, "max_new_tokens": _MOST_TOKENS}
    semantic |= {"eos_token_id": _SEMANTIC, "semantic_vocab_size": _SEMANTIC, "text_encoding_offset": _SEMANTIC + 2}
    semantic |= {"text_pad_token": _SEMANTIC + 98, "semantic_infer_token": _SEMANTIC + 99}
    coarse = {"do_sample": True, "max_coarse_input_length": 48, "max_coarse_history": 60, "sliding_window_len": 20}
    beyond_codes = _SEMANTIC + 2 * _CODEBOOK
    coarse |= {"coarse_semantic_pad_token": beyond_codes, "coarse_infer_token": beyond_codes + 1}
    fine = {"temperature": 0.5, "max_fine_history_length": 32, "max_fine_input_length": 64}
    parts = {"semantic_config": semantic, "coarse_acoustics_config": coarse, "fine_acoustics_config": fine}
    return {**parts, "sample_rate": 24_000, "codebook_size": _CODEBOOK}


def bark_prompt(path: Path, *, seed: int = 0) -> Path:
    """Writes a speaker prompt of 30 frames for `tiny_bark` as an .npz file."""
    rng, frames = np.random.default_rng(seed), 30
    np.savez(
        path,
        semantic_prompt=rng.integers(0, _SEMANTIC, frames),
        coarse_prompt=rng.integers(0, _CODEBOOK, (2, frames)),
        fine_prompt=rng.integers(0, _CODEBOOK, (8, frames)).astype(np.uint16),
    )
    return path


def _letters() -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {"[PAD]": 0, "[UNK]": 1, **{letter: n for n, letter in enumerate(_LETTERS, 2)}}
    tokenizer: Any = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))  # nosec B106 - no password
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return tokenizer


def tiny_speecht5(directory: Path) -> tuple[Path, Path]:
    """Writes a SpeechT5 with one encoder and one decoder layer, and a vocoder; returns their directories."""
    from transformers import SpeechT5Config, SpeechT5ForTextToSpeech, SpeechT5HifiGan, SpeechT5HifiGanConfig

    model, vocoder = directory / "tts", directory / "vocoder"
    vocabulary = _write_sentencepiece(model)
    sizes: dict[str, Any] = {"hidden_size": 32, "speech_decoder_prenet_units": 16, "speech_decoder_postnet_units": 16}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": 1, f"{side}_attention_heads": 2, f"{side}_ffn_dim": 32}
    config = SpeechT5Config(vocab_size=vocabulary, num_mel_bins=8, speaker_embedding_dim=16, **sizes)
    rates: dict[str, Any] = {"upsample_rates": [4, 4], "upsample_kernel_sizes": [8, 8], "upsample_initial_channel": 16}
    blocks: dict[str, Any] = {"resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1, 3]]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        speaking: Any = SpeechT5ForTextToSpeech(config)
        sounding: Any = SpeechT5HifiGan(SpeechT5HifiGanConfig(model_in_dim=8, **rates, **blocks))
    with torch.no_grad():  # so that it stops at random, rarely at once
        speaking.speech_decoder_postnet.prob_out.weight *= 6
        speaking.speech_decoder_postnet.prob_out.bias.fill_(-2.0)
    speaking.save_pretrained(model)
    sounding.save_pretrained(vocoder)
    return model, vocoder


def _write_sentencepiece(folder: Path) -> int:
    """Writes a tokenizer of letters like SpeechT5's; returns the size of its vocabulary."""
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    sentences = iter([_LETTERS, _LETTERS.upper(), "please leave a message after the tone"])
    given: dict[str, Any] = {"sentence_iterator": sentences, "model_prefix": str(folder / "spm_char"), "minloglevel": 2}
    kind: dict[str, Any] = {"model_type": "char", "vocab_size": 90, "hard_vocab_limit": False}
    sentencepiece.SentencePieceTrainer.train(**given, **kind, pad_id=1, bos_id=0, eos_id=2, unk_id=3)
    pieces: Any = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm_char.model"))
    return int(pieces.vocab_size()) + 2


def tiny_pocket(directory: Path) -> Path:
    """Writes a Pocket TTS of one layer per part, with its configuration, tokenizer and a voice called `noise`."""
    from pocket_tts import TTSModel
    from pocket_tts.models.model_state import export_model_state
    from safetensors.torch import save_file

    (directory / "embeddings").mkdir(parents=True)
    _letters().save(str(directory / "tokenizer.json"))
    written = json.dumps(_pocket_configuration(directory))  # JSON is YAML
    unloaded = directory / "unloaded.yaml"
    unloaded.write_text(written)
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = TTSModel.load_model(config=str(unloaded))
        for parameter in model.parameters():  # some are memory as it was found until weights are loaded
            torch.nn.init.normal_(parameter, std=0.2)
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, directory / "model.safetensors")
        sounding = 0.1 * torch.randn(1, 24_000)
        state = model.get_state_for_audio_prompt(sounding)
    export_model_state(state, directory / "embeddings" / "noise.safetensors")
    torch.set_num_threads(threads)
    hub = "hf://kyutai/pocket-tts-without-voice-cloning/languages/tiny"
    configuration = _pocket_configuration(hub) | {"weights_path": f"{hub}/model.safetensors@0"}
    (directory / "config.yaml").write_text(json.dumps(configuration))
    return directory


def _pocket_configuration(folder: object) -> dict[str, Any]:
    transformer = {"d_model": 32, "hidden_scale": 2, "max_period": 10000, "num_heads": 2, "num_layers": 1}
    table = {"dim": 32, "n_bins": len(_LETTERS) + 2, "tokenizer": "tokenizers"}
    flow = {"dtype": "float32", "flow": {"depth": 1, "dim": 32}, "transformer": transformer}
    seanet: dict[str, Any] = {
        "dimension": 32,
        "channels": 1,
        "n_filters": 4,
        "n_residual_layers": 1,
        "ratios": [6, 5, 4],
    }
    seanet |= {"kernel_size": 7, "residual_kernel_size": 3, "last_kernel_size": 3, "dilation_base": 2}
    codec: dict[str, Any] = {"d_model": 32, "num_heads": 2, "num_layers": 1, "layer_scale": 0.01, "context": 250}
    codec |= {"dim_feedforward": 64, "input_dimension": 32, "output_dimensions": [32]}
    mimi: dict[str, Any] = {
        "dtype": "float32",
        "sample_rate": 24_000,
        "channels": 1,
        "frame_rate": 12.5,
        "inner_dim": 8,
    }
    mimi |= {"outer_dim": 32, "seanet": seanet | {"pad_mode": "constant", "compress": 2}, "transformer": codec}
    mimi |= {"quantizer": {"dimension": 8, "output_dimension": 32}}
    return {
        "flow_lm": flow | {"lookup_table": table | {"tokenizer_path": f"{folder}/tokenizer.json"}},
        "mimi": mimi,
    }
