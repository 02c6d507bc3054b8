"""Writes a Hugging Face Whisper in the formats that transformers, faster-whisper and openai-whisper load."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch

from asr_tv.errors import ConfigError, DataError
from asr_tv.models.directory import FEATURES, TOKENIZER, copy_side_files, write_json, write_weights
from asr_tv.models.family import family_of
from asr_tv.models.openai import BLOCK, MODULES, TOP
from asr_tv.models.output import new_file
from asr_tv.models.tensors import CONFIG, open_tensors, read_json
from asr_tv.models.vocabulary import is_published, require_openai_vocabulary
from asr_tv.models.whisper import one_at_a_time

Format = Literal["hf", "ctranslate2", "openai"]
Precision = Literal["fp32", "fp16", "int8"]

OPENAI_FILE = "model.pt"
PRECISIONS: Mapping[str, tuple[Precision, ...]] = {
    "hf": ("fp32", "fp16"),
    "ctranslate2": ("fp32", "fp16", "int8"),
    "openai": ("fp32", "fp16"),
}
"""The precisions of the weights in each format."""

_REQUIRED = {"ctranslate2": ("ctranslate2", "faster_whisper")}
_TYPE_NAMES = {"fp32": "float32", "fp16": "float16", "int8": "int8"}
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
_OF_MODULE = {ours: theirs for theirs, ours in MODULES.items()}
_OF_TOP = {ours: theirs for theirs, ours in TOP.items()}
_LAYER = re.compile(r"model\.(encoder|decoder)\.layers\.(\d+)\.(.+)\.(weight|bias)")


def check_exportable(form: str, precision: str) -> None:
    """Raises a ConfigError for an unknown format, an unsupported precision or a package that is not installed."""
    if form not in PRECISIONS:
        raise ConfigError(f"--format {form}: unknown; one of {', '.join(PRECISIONS)}")
    if precision not in PRECISIONS[form]:
        raise ConfigError(f"--precision {precision}: {form} is written in {', '.join(PRECISIONS[form])}")
    if missing := [name.replace("_", "-") for name in _REQUIRED.get(form, ()) if find_spec(name) is None]:
        raise ConfigError(f'--format {form}: {" and ".join(missing)} not installed: pip install "asr-tv[export]"')


def write_format(model: Path, out: Path, form: Format, precision: Precision) -> None:
    """Writes the model of a Hugging Face directory into `out` in another format.

    Raises:
        ConfigError: as `check_exportable`.
        DataError: a CTC model, or a vocabulary or shape that the format does not support.
    """
    check_exportable(form, precision)
    if family_of(model) != "whisper":
        raise DataError(f"{model}: a CTC model, and exports are of Whispers; transformers loads its folder as it is")
    out.mkdir(parents=True, exist_ok=True)
    if form == "hf":
        copy_side_files(model, out)
        write_json(out / CONFIG, read_json(model / CONFIG) | {"dtype": _TYPE_NAMES[precision]})
        write_weights(open_tensors(model), out, _DTYPES[precision])
    elif form == "openai":
        _write_openai(model, out / OPENAI_FILE, _DTYPES[precision])
    else:
        # The files that faster-whisper reads beside the weights.
        convert_to_ctranslate2(model, out, _TYPE_NAMES[precision], [TOKENIZER, FEATURES])


def convert_to_ctranslate2(model: Path, out: Path, quantisation: str, beside: Sequence[str] = ()) -> None:
    """Writes a Whisper, and its files `beside`, with CTranslate2's own converter, in float32, float16 or int8."""
    from ctranslate2.converters import TransformersConverter

    with one_at_a_time(), _quiet("transformers"):
        converter = TransformersConverter(str(model), copy_files=list(beside))
        converter.convert(str(out), quantization=quantisation, force=True)


def _write_openai(model: Path, path: Path, dtype: torch.dtype) -> None:
    config = read_json(model / CONFIG)
    if not is_published(config["vocab_size"], config["num_mel_bins"]):
        sizes = f"{config['vocab_size']} tokens for {config['num_mel_bins']} mel bins"
        raise DataError(f"{model}: openai-whisper has no vocabulary of {sizes}, and knows one by its size")
    require_openai_vocabulary(model, config["vocab_size"])
    if {config["encoder_ffn_dim"], config["decoder_ffn_dim"]} != {4 * config["d_model"]}:
        raise DataError(f"{model}: openai-whisper supports only feed-forward layers four times as wide as the model")
    tensors = open_tensors(model)
    state = {openai_name(name): tensors[name].to(dtype).contiguous() for name in sorted(tensors)}
    # An open file, since torch reports a full disk under a path as an error of its own.
    with new_file(path) as temporary, temporary.open("wb") as file:
        torch.save({"dims": _dimensions(config), "model_state_dict": state}, file)


def openai_name(name: str) -> str:
    """The openai-whisper name of a parameter of transformers, the inverse of `openai.transformers_name`.

    Raises:
        DataError: openai-whisper has no such parameter.
    """
    if (match := _LAYER.fullmatch(name)) is None:
        found = _OF_TOP.get(name)
    else:
        side, index, module, leaf = match.groups()
        found = f"{side}.blocks.{index}.{_OF_MODULE[module]}.{leaf}" if module in _OF_MODULE else None
    if found is None or (match and not BLOCK.fullmatch(found)):
        raise DataError(f"{name}: openai-whisper has no such parameter")
    return found


def _dimensions(config: Mapping[str, Any]) -> dict[str, int]:
    return {
        "n_mels": config["num_mel_bins"],
        "n_audio_ctx": config["max_source_positions"],
        "n_audio_state": config["d_model"],
        "n_audio_head": config["encoder_attention_heads"],
        "n_audio_layer": config["encoder_layers"],
        "n_vocab": config["vocab_size"],
        "n_text_ctx": config["max_target_positions"],
        "n_text_state": config["d_model"],
        "n_text_head": config["decoder_attention_heads"],
        "n_text_layer": config["decoder_layers"],
    }


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
