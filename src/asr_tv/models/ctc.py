"""CTC recognisers (Wav2Vec2ForCTC, Wav2Vec2ConformerForCTC) in Hugging Face directories: load, normalise, spell."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr_tv.errors import DataError
from asr_tv.models.audio_context import SAMPLING_RATE
from asr_tv.models.directory import CONFIG, FEATURES
from asr_tv.models.family import empty_model
from asr_tv.models.tensors import open_tensors, read_json
from asr_tv.models.whisper import no_progress_bar, save_checkpoint

VOCABULARY = "vocab.json"
_MASK = "masked_spec_embed"
"""Stands in for masked frames while training; some published checkpoints come without it."""
_SAMPLING_RATE = 16_000
_COUNTS = ("num_hidden_layers", "num_adapter_layers")
_SLACK = 4
"""A model whose tensors are named wrongly has fewer; which, is told name by name."""


@dataclass(frozen=True)
class Spelling:
    """How a CTC model writes: its single characters with their ids, and what parts words.

    Attributes:
        tokenizer: transformers' own, which turns ids back into text.
    """

    characters: dict[str, int]
    delimiter: str
    tokenizer: Any


def load_ctc(directory: Path) -> Any:
    """The CTC model of a directory in fp32, for inference.

    Raises:
        DataError: files missing or damaged; tensors missing, unknown or of another shape.
    """
    from transformers import AutoModelForCTC

    _require_sizes(directory)
    with no_progress_bar(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # for the mask alone, where a checkpoint lacks it
        try:
            loaded: Any = AutoModelForCTC.from_pretrained(  # nosec B615 - a local folder
                directory,
                dtype=torch.float32,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # so that they are named below
            )
        except Exception as error:  # whatever a number that is none leads to in its constructors
            raise DataError(f"{directory}: does not load as a CTC model: {error}") from error
    model, loading = loaded
    problems = []
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if names := sorted(str(name) for name in loading.get(kind, ()) if not str(name).endswith(_MASK)):
            problems.append(f"{directory}: {kind.replace('_', ' ')}: {', '.join(names[:5])}")
    if problems:
        raise DataError(problems)
    return model.eval()


def _require_sizes(directory: Path) -> None:
    """Refuses a config.json that asks for more than the weights hold, before that much is made.

    Raises:
        DataError: more layers than tensors, or many more numbers than there are.
    """
    tensors, path = open_tensors(directory), directory / CONFIG
    for key in _COUNTS:
        if not isinstance(count := read_json(path).get(key, 0), int) or not 0 <= count <= len(tensors):
            raise DataError(f"{path}: {key} is {count!r:.40}, and there are {len(tensors)} tensors")
    try:
        asked = sum(parameter.numel() for parameter in empty_model(directory).parameters())
    except Exception as error:  # as above
        raise DataError(f"{path}: does not describe a CTC model: {error!s:.300}") from error
    if asked > _SLACK * sum(tensors[name].numel() for name in tensors):
        raise DataError(f"{path}: describes {asked} parameters, many more than its weights hold")


def load_spelling(directory: Path) -> Spelling:
    """The characters of a directory's vocabulary.

    Raises:
        DataError: no tokenizer that loads, or a vocabulary without single characters.
    """
    from transformers import Wav2Vec2CTCTokenizer

    try:
        tokenizer: Any = Wav2Vec2CTCTokenizer.from_pretrained(directory, local_files_only=True)  # nosec B615
        vocabulary = tokenizer.get_vocab()
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{directory}: has no CTC tokenizer that loads: {error}") from error
    delimiter = tokenizer.word_delimiter_token or " "
    characters = {token: number for token, number in vocabulary.items() if len(token) == 1}
    if not any(character.isalnum() for character in characters):
        raise DataError(f"{directory / VOCABULARY}: writes no single characters, which is all that is supported")
    return Spelling(characters, delimiter, tokenizer)


def load_extractor(directory: Path) -> Any:
    """The feature extractor of a directory: 16 kHz waveforms, normalised and masked as its file says.

    Raises:
        DataError: its file is missing, or asks for another sampling rate.
    """
    from transformers import Wav2Vec2FeatureExtractor

    rate = read_json(directory / FEATURES).get("sampling_rate", _SAMPLING_RATE)
    if rate != _SAMPLING_RATE:
        raise DataError(f"{directory / FEATURES}: a sampling rate of {rate}; only models for {_SAMPLING_RATE} are read")
    return Wav2Vec2FeatureExtractor.from_pretrained(directory, local_files_only=True)  # nosec B615 - a local folder


def normalise_ctc(source: Path, out: Path) -> None:
    """Copies a CTC model with its tensors in fp32 under transformers' present names.

    Raises:
        DataError: not a complete CTC model, or a tokenizer of another vocabulary.
    """
    model, spelling = load_ctc(source), load_spelling(source)
    load_extractor(source)
    highest = max(spelling.tokenizer.get_vocab().values())
    if highest >= model.config.vocab_size:
        raise DataError(f"{source}: the tokenizer's ids go up to {highest}, the model writes {model.config.vocab_size}")
    save_checkpoint(model, source, out)


def normalised(extractor: Any, wave: NDArray[np.float32]) -> Tensor:
    """A clip as its model takes it, float32 of shape (samples,); by itself, so that no neighbour changes its mean."""
    return torch.as_tensor(extractor(wave, sampling_rate=SAMPLING_RATE).input_values[0], dtype=torch.float32)


def frames(model: Any, samples: int) -> int:
    """How many frames a CTC model makes of so many samples."""
    return int(model._get_feat_extract_output_lengths(torch.tensor(samples)))
