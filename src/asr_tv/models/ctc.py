"""Loads CTC recognisers (Wav2Vec2ForCTC, Wav2Vec2ConformerForCTC, hama) from Hugging Face directories."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr_tv.errors import DataError
from asr_tv.models.audio_context import SAMPLING_RATE
from asr_tv.models.directory import FEATURES, VOCABULARY
from asr_tv.models.family import empty_model
from asr_tv.models.hama.folder import is_hama, load_hama, load_phonemes, writes_phonemes
from asr_tv.models.tensors import CONFIG, open_tensors, read_json
from asr_tv.models.whisper import loading_problems, one_at_a_time, save_checkpoint

_MASK = "masked_spec_embed"
"""Replaces masked frames in training; some published checkpoints lack it."""
_SLACK = 4
"""How many times the numbers in the file config.json may describe; wrong names are reported on loading."""


@dataclass(frozen=True)
class Spelling:
    """The characters a CTC model writes with their ids, the delimiter of words, and transformers' tokenizer."""

    characters: dict[str, int]
    delimiter: str
    tokenizer: Any


def load_ctc(directory: Path) -> Any:
    """The CTC model of a directory in fp32, for inference.

    Raises:
        DataError: files missing or damaged; tensors missing, unknown or of another shape.
    """
    from transformers import AutoModelForCTC

    if is_hama(directory):
        return load_hama(directory)
    _require_sizes(directory)
    with one_at_a_time(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # initialises the mask, where a checkpoint lacks it
        try:
            loaded: Any = AutoModelForCTC.from_pretrained(  # nosec B615 - a local folder
                directory,
                dtype=torch.float32,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below
            )
        except Exception as error:  # invalid values in config.json raise anything
            raise DataError(f"{directory}: does not load as a CTC model: {error}") from error
    model, loading = loaded
    if problems := loading_problems(directory, loading, lambda name: name.endswith(_MASK)):
        raise DataError(problems)
    return model.eval()


def _require_sizes(directory: Path) -> None:
    """Raises a DataError if config.json describes more than the weights hold, before that much memory is allocated."""
    tensors, path = open_tensors(directory), directory / CONFIG
    for key in ("num_hidden_layers", "num_adapter_layers"):
        if not isinstance(count := read_json(path).get(key, 0), int) or not 0 <= count <= len(tensors):
            raise DataError(f"{path}: {key} is {count!r:.40}, and there are {len(tensors)} tensors")
    try:
        asked = sum(parameter.numel() for parameter in empty_model(directory).parameters())
    except Exception as error:  # invalid values in config.json raise anything
        raise DataError(f"{path}: does not describe a CTC model: {error!s:.300}") from error
    if asked > _SLACK * sum(tensors[name].numel() for name in tensors):
        raise DataError(f"{path}: describes {asked} parameters, many more than its weights hold")


def load_spelling(directory: Path) -> Spelling:
    """The characters of a directory's vocabulary; none where it is of phonemes.

    Raises:
        DataError: no vocabulary loads, or it has no single letters or digits.
    """
    from transformers import Wav2Vec2CTCTokenizer

    if is_hama(directory) and writes_phonemes(directory):
        return Spelling({}, " ", load_phonemes(directory))
    try:
        tokenizer: Any = Wav2Vec2CTCTokenizer.from_pretrained(directory, local_files_only=True)  # nosec B615
        vocabulary = tokenizer.get_vocab()
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{directory}: has no CTC tokenizer that loads: {error}") from error
    characters = {token: number for token, number in vocabulary.items() if len(token) == 1}
    if not any(character.isalnum() for character in characters):
        raise DataError(f"{directory / VOCABULARY}: has no single characters, and no other vocabularies are supported")
    return Spelling(characters, tokenizer.word_delimiter_token or " ", tokenizer)


def load_extractor(directory: Path) -> Any:
    """The feature extractor of a directory: 16 kHz waveforms, normalised and masked as its file says.

    Raises:
        DataError: its file is missing, or asks for another sampling rate.
    """
    from transformers import Wav2Vec2FeatureExtractor

    if (rate := read_json(directory / FEATURES).get("sampling_rate", SAMPLING_RATE)) != SAMPLING_RATE:
        raise DataError(f"{directory / FEATURES}: a sampling rate of {rate}; only {SAMPLING_RATE} is supported")
    return Wav2Vec2FeatureExtractor.from_pretrained(directory, local_files_only=True)  # nosec B615 - a local folder


def normalise_ctc(source: Path, out: Path) -> None:
    """Copies a CTC model with its tensors in fp32 under the names of the installed transformers.

    Raises:
        DataError: not a complete CTC model, or a tokenizer with more tokens than the model.
    """
    model, spelling = load_ctc(source), load_spelling(source)
    load_extractor(source)
    highest = max(spelling.tokenizer.get_vocab().values())
    if highest >= model.config.vocab_size:
        raise DataError(f"{source}: the tokenizer's ids go up to {highest}, the model writes {model.config.vocab_size}")
    save_checkpoint(model, source, out)


def normalised(extractor: Any, wave: NDArray[np.float32]) -> Tensor:
    """The model's input for one clip, float32 (samples,); per clip, so that a batch does not change its mean."""
    return torch.as_tensor(extractor(wave, sampling_rate=SAMPLING_RATE).input_values[0], dtype=torch.float32)


def frames(model: Any, samples: int) -> int:
    """The number of frames a CTC model computes from `samples` samples."""
    return int(model._get_feat_extract_output_lengths(torch.tensor(samples)))
