"""Writes Hugging Face directories of Whisper, from bare weights or from another such directory.

They hold what transformers loads: fp32 safetensors, configurations, fast tokenizer and feature extractor.
"""

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_tv.errors import DataError
from asr_tv.models.tensors import CONFIG as CONFIG
from asr_tv.models.tensors import TIED, WEIGHTS, Layout, layout_of, open_tensors, read_json, write_tensors
from asr_tv.models.vocabulary import (
    END,
    NO_TIMESTAMPS,
    START,
    TASKS,
    Tokenizer,
    is_multilingual,
    is_published,
    language_ids,
    load_tokenizer,
    require_published,
    suppressed_tokens,
    whisper_tokenizer,
)
from asr_tv.store.results import write_atomically

GENERATION, FEATURES = "generation_config.json", "preprocessor_config.json"
TOKENIZER, VOCABULARY = "tokenizer.json", "vocab.json"
_VOCABULARY_FILES = (
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *(VOCABULARY, "merges.txt", "normalizer.json"),
)
SIDE_FILES = (CONFIG, GENERATION, FEATURES, TOKENIZER, *_VOCABULARY_FILES)
"""The files beside the weights of a Whisper."""

METADATA = {"format": "pt"}
_HEAD_SIZE = 64
"""Width of an attention head in every published Whisper."""

_MISPLACED = (
    *("forced_decoder_ids", "suppress_tokens", "max_length"),
    *("_name_or_path", "torch_dtype", "transformers_version"),
)
"""Settings in the config.json of old checkpoints with which transformers no longer saves or generates."""

_SIZES = (
    *("vocab_size", "d_model", "num_mel_bins", "encoder_layers", "decoder_layers"),
    *("encoder_attention_heads", "decoder_attention_heads", "encoder_ffn_dim", "decoder_ffn_dim"),
)

_STALE = ("forced_decoder_ids", "_from_model_config", "transformers_version")


@dataclass(frozen=True)
class BareWhisper:
    """A Whisper without its Hugging Face files.

    Attributes:
        tensors: under transformers' names, without the tied `proj_out`.
        heads: attention heads per layer; by default as many as are 64 wide.
        suppress_tokens: ids that decoding never writes; by default OpenAI's.
        alignment_heads: (layer, head) pairs whose cross-attention follows time; by default all heads of the upper
            half of the decoder, as in openai-whisper.
    """

    tensors: Mapping[str, Tensor]
    tokenizer: Tokenizer
    heads: int | None = None
    suppress_tokens: Sequence[int] = ()
    alignment_heads: Sequence[Sequence[int]] | None = None


def write_directory(model: BareWhisper, out: Path) -> None:
    """Writes a Whisper as a Hugging Face directory; the weights are written last.

    Raises:
        DataError: the tensors do not make a Whisper, or the tokenizer is of another vocabulary.
    """
    config = _config_of(model)
    _require_vocabulary(model.tokenizer, config["vocab_size"])
    out.mkdir(parents=True, exist_ok=True)
    model.tokenizer.save_pretrained(out)
    write_json(out / CONFIG, config)
    heads = model.alignment_heads or _upper_half(config)
    suppress = model.suppress_tokens or _suppressed(config)
    write_json(out / GENERATION, _generation(model.tokenizer, suppress, heads))
    write_json(out / FEATURES, _features(config["num_mel_bins"]))
    _write_weights(model.tensors, config, out)


def normalise_directory(source: Path, out: Path) -> None:
    """Copies a Hugging Face Whisper, completing and updating the files beside its weights.

    Raises:
        DataError: not a complete Whisper; weights that are not safetensors; mel bins or vocabulary that disagree.
    """
    config = _whisper_config(source / CONFIG)
    tensors = open_tensors(source)
    _require_sizes(config, tensors, source / CONFIG)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = _carry_tokenizer(source, out, config)
    _carry_features(source, out, config)
    suppress = config.get("suppress_tokens") or _suppressed(config)
    defaults = _generation(tokenizer, suppress, _upper_half(config))
    written = read_json(source / GENERATION) if (source / GENERATION).exists() else {}
    write_json(out / GENERATION, defaults | _clean_generation(written))
    write_json(out / CONFIG, _clean_config(config))
    _write_weights(tensors, config, out)


def copy_side_files(source: Path, out: Path) -> None:
    """Copies the files beside the weights, without settings that transformers refuses to save or to generate with."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / CONFIG, _clean_config(read_json(source / CONFIG)))
    if (source / GENERATION).exists():
        write_json(out / GENERATION, _clean_generation(read_json(source / GENERATION)))
    _copy_existing(source, out, (FEATURES, TOKENIZER, *_VOCABULARY_FILES))


def _copy_existing(source: Path, out: Path, names: Iterable[str]) -> None:
    for name in names:
        if (source / name).exists():
            shutil.copyfile(source / name, out / name)


def _whisper_config(path: Path) -> dict[str, Any]:
    config = read_json(path)
    if config.get("model_type") != "whisper":
        raise DataError(f"{path}: describes a {config.get('model_type')!r} model, not a whisper")
    if wrong := [key for key in _SIZES if not isinstance(config.get(key), int)]:
        raise DataError(f"{path}: {key} should be a whole number, not {config.get(key)!r}" for key in wrong)
    return config


def _require_sizes(config: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raises a DataError if config.json describes another size than the weights have, before memory is allocated."""
    shapes = {name: tuple(tensors[name].shape) for name in tensors}
    problems = []
    for side in ("encoder", "decoder"):
        layers, heads = config[f"{side}_layers"], config[f"{side}_attention_heads"]
        if layers != (count := _count_layers(shapes, side)):
            problems.append(f"{path}: {layers} {side} layers, and the weights have {count}")
        if not _divides(heads, config["d_model"]):
            problems.append(f"{path}: {heads} heads do not divide a width of {config['d_model']}")
    width = shapes.get("model.decoder.embed_tokens.weight", (0,))[-1]
    if config["d_model"] != width:
        problems.append(f"{path}: a width of {config['d_model']}, and the weights have {width}")
    if problems:
        raise DataError(problems)


def _divides(heads: Any, width: int) -> bool:
    return isinstance(heads, int) and 0 < heads <= width and width % heads == 0


def _clean_config(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _MISPLACED} | {"dtype": "float32"}


def _clean_generation(settings: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in settings.items() if key not in _STALE and value is not None}
    return kept | {"forced_decoder_ids": None}


def parameter_count(layout: Layout) -> int:
    """The number of parameters as OpenAI counts them, without the encoder's fixed sinusoid positions."""
    fixed = "model.encoder.embed_positions.weight"
    return sum(torch.Size(shape).numel() for name, (_, shape) in layout.items() if name != fixed)


def expected_layout(config: Mapping[str, Any]) -> Layout:
    """The tensors of the Whisper that this config.json describes to transformers, without the tied output.

    Raises:
        DataError: transformers cannot build a model from it.
    """
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    try:
        with torch.device("meta"):
            model = WhisperForConditionalGeneration(WhisperConfig(**config))
    except Exception as error:  # invalid values raise anything
        raise DataError(f"{CONFIG}: does not describe a Whisper: {error!s:.300}") from error
    layout = layout_of(model.state_dict())
    tied = TIED if config.get("tie_word_embeddings", True) else {}
    return {name: form for name, form in layout.items() if name not in tied}


def _write_weights(tensors: Mapping[str, Tensor], config: Mapping[str, Any], out: Path) -> None:
    layout = {name: (torch.float32, tuple(tensors[name].shape)) for name in sorted(tensors)}
    _require_layout(layout, expected_layout(config))
    write_tensors(out / WEIGHTS, layout, _in_fp32(tensors), METADATA)


def write_weights(tensors: Mapping[str, Tensor], out: Path, dtype: torch.dtype = torch.float32) -> None:
    """Writes model.safetensors with all floating-point tensors in one type."""
    dtypes = {name: dtype if tensor.is_floating_point() else tensor.dtype for name, tensor in tensors.items()}
    layout = {name: (dtypes[name], shape) for name, (_, shape) in layout_of(tensors).items()}
    converted = ((name, tensors[name].detach().to(dtypes[name]).cpu()) for name in sorted(tensors))
    write_tensors(out / WEIGHTS, layout, converted, METADATA)


def _in_fp32(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name in sorted(tensors):
        tensor = tensors[name].float()
        if not bool(torch.isfinite(tensor).all()):
            raise DataError(f"{name}: holds NaN or infinity")
        yield name, tensor


def _require_layout(found: Layout, expected: Layout) -> None:
    problems = []
    if missing := sorted(expected.keys() - found.keys()):
        problems.append(f"the weights lack {len(missing)} tensors of this Whisper: {', '.join(missing[:5])}")
    if extra := sorted(found.keys() - expected.keys()):
        first = ", ".join(extra[:5])
        problems.append(f"the weights hold {len(extra)} tensors that this Whisper does not have: {first}")
    problems += [
        f"{name}: has shape {list(found[name][1])}, config.json asks for {list(expected[name][1])}"
        for name in sorted(found.keys() & expected.keys())
        if found[name][1] != expected[name][1]
    ][:5]
    if problems:
        raise DataError(problems)


def _config_of(model: BareWhisper) -> dict[str, Any]:
    """The config.json that follows from the tensors' shapes."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model.tensors.items()}
    try:
        vocab_size, d_model = shapes["model.decoder.embed_tokens.weight"]
        sizes = {
            "num_mel_bins": shapes["model.encoder.conv1.weight"][1],
            "max_source_positions": shapes["model.encoder.embed_positions.weight"][0],
            "max_target_positions": shapes["model.decoder.embed_positions.weight"][0],
            "encoder_ffn_dim": shapes["model.encoder.layers.0.fc1.weight"][0],
            "decoder_ffn_dim": shapes["model.decoder.layers.0.fc1.weight"][0],
        }
    except (KeyError, IndexError, ValueError) as error:
        raise DataError(f"the weights are not a Whisper's: {error}") from error
    heads = model.heads or max(1, d_model // _HEAD_SIZE)
    if not _divides(heads, d_model):
        raise DataError(f"the weights are not a Whisper's: {heads!r:.40} heads do not divide a width of {d_model}")
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "is_encoder_decoder": True,
        "dtype": "float32",
        "tie_word_embeddings": True,
        "vocab_size": vocab_size,
        "d_model": d_model,
        **sizes,
        **{f"{side}_layers": _count_layers(shapes, side) for side in ("encoder", "decoder")},
        **{f"{side}_attention_heads": heads for side in ("encoder", "decoder")},
        **_special_ids(model.tokenizer),
    }


def _special_ids(tokenizer: Tokenizer) -> dict[str, Any]:
    """The settings that config.json and generation_config.json share."""
    end = _id(tokenizer, END)
    return {
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), end),
        "decoder_start_token_id": _id(tokenizer, START),
        "begin_suppress_tokens": [_id(tokenizer, "Ġ"), end],
    }


def _count_layers(shapes: Mapping[str, Any], side: str) -> int:
    pattern = re.compile(rf"model\.{side}\.layers\.(\d+)\.")
    return len({match.group(1) for name in shapes if (match := pattern.match(name))})


def _upper_half(config: Mapping[str, Any]) -> list[list[int]]:
    layers, heads = config["decoder_layers"], config["decoder_attention_heads"]
    return [[layer, head] for layer in range(layers // 2, layers) for head in range(heads)]


def _generation(
    tokenizer: Tokenizer, suppress: Sequence[int], alignment_heads: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """The generation_config.json of OpenAI's checkpoints, with language and task in place of forced ids."""
    multilingual = is_multilingual(tokenizer)
    tasks = {
        "lang_to_id": language_ids(tokenizer),
        "task_to_id": {task: _id(tokenizer, f"<|{task}|>") for task in TASKS},
        # Otherwise transformers omits the task from the prompt when it detects the language.
        "task": "transcribe",
    }
    settings = {
        "alignment_heads": [list(pair) for pair in alignment_heads],
        **_special_ids(tokenizer),
        "is_multilingual": multilingual,
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "no_timestamps_token_id": _id(tokenizer, NO_TIMESTAMPS),
        "prev_sot_token_id": _id(tokenizer, "<|startofprev|>"),
        "return_timestamps": False,
        "suppress_tokens": list(suppress) or None,
        **(tasks if multilingual else {}),
    }
    return _clean_generation(settings)


def _features(mel_bins: int) -> dict[str, Any]:
    """The preprocessor_config.json of Whisper: 25 ms windows every 10 ms, at 16 kHz, over 30 s."""
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "processor_class": "WhisperProcessor",
        "feature_size": mel_bins,
        "sampling_rate": 16000,
        "hop_length": 160,
        "n_fft": 400,
        "chunk_length": 30,
        "n_samples": 480000,
        "nb_max_frames": 3000,
        "padding_side": "right",
        "padding_value": 0.0,
        "dither": 0.0,
        "return_attention_mask": False,
    }


def _carry_tokenizer(source: Path, out: Path, config: Mapping[str, Any]) -> Tokenizer:
    if not (source / TOKENIZER).exists() and not (source / VOCABULARY).exists():
        require_published(str(source), config["vocab_size"], config["num_mel_bins"])
        tokenizer = whisper_tokenizer(config["vocab_size"])
        tokenizer.save_pretrained(out)
        return tokenizer
    tokenizer = load_tokenizer(source)
    if (source / TOKENIZER).exists():
        _copy_existing(source, out, (TOKENIZER, *_VOCABULARY_FILES))
    else:
        tokenizer.save_pretrained(out)
    _require_vocabulary(tokenizer, config["vocab_size"])
    return tokenizer


def _carry_features(source: Path, out: Path, config: Mapping[str, Any]) -> None:
    features = read_json(source / FEATURES) if (source / FEATURES).exists() else _features(config["num_mel_bins"])
    if (bins := features.get("feature_size", 80)) != config["num_mel_bins"]:
        raise DataError(f"{source / FEATURES}: {bins} mel bins, but the model takes {config['num_mel_bins']}")
    # The mel filters in some files follow from the other settings.
    write_json(out / FEATURES, {key: value for key, value in features.items() if key != "mel_filters"})


def _require_vocabulary(tokenizer: Tokenizer, vocab_size: int) -> None:
    if (highest := max(tokenizer.get_vocab().values())) >= vocab_size:
        raise DataError(f"the tokenizer does not fit a Whisper of {vocab_size} tokens: its ids go up to {highest}")


def _suppressed(config: Mapping[str, Any]) -> list[int]:
    size = config["vocab_size"]
    return suppressed_tokens(size) if is_published(size, config["num_mel_bins"]) else []


def _id(tokenizer: Tokenizer, token: str) -> int:
    return int(tokenizer.convert_tokens_to_ids(token))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a JSON file with sorted keys."""
    write_atomically(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
