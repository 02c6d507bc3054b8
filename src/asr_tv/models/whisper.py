"""Loads, saves and identifies Whisper checkpoints in Hugging Face directories."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from asr_tv.errors import ConfigError, DataError
from asr_tv.models.directory import SIDE_FILES, copy_side_files, write_weights
from asr_tv.models.tensors import TIED, open_tensors, weight_files
from asr_tv.models.vocabulary import NO_TIMESTAMPS, START, Tokenizer, is_multilingual, language_ids, load_tokenizer
from asr_tv.store.results import canonical_json, file_digest

__all__ = ["checkpoint_digest", "load_model", "load_tokenizer", "prompt_ids", "save_checkpoint", "whisper_config"]

Whisper = Any
"""A `transformers.WhisperForConditionalGeneration`."""

_loading = threading.RLock()
"""Held while a thread loads a model: of two at once, one would find its output untied."""


def load_model(directory: Path) -> Whisper:
    """The Whisper of a directory in fp32, for inference, its output tied to the embedding.

    Raises:
        DataError: files missing or damaged; tensors missing, unknown or of another shape; an output that is not tied.
    """
    from transformers import WhisperForConditionalGeneration

    open_tensors(directory)
    with one_at_a_time():
        try:
            loaded: Any = WhisperForConditionalGeneration.from_pretrained(  # nosec B615 - a local folder
                directory, dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(f"{directory}: does not load as a Whisper: {error}") from error
    model, loading = loaded
    tied = TIED if model.config.tie_word_embeddings else {}
    problems = loading_problems(directory, loading, lambda name: name in tied)
    if tied and model.proj_out.weight.data_ptr() != model.model.decoder.embed_tokens.weight.data_ptr():
        problems.append(f"{directory}: the output projection is not tied to the embedding")
    if problems:
        raise DataError(problems)
    # Sinusoids, not weights; transformers 5 does not keep them frozen on loading.
    model.model.encoder.embed_positions.requires_grad_(False)
    return model.eval()


def whisper_config(directory: Path) -> Any:
    """The `transformers.WhisperConfig` of a directory."""
    from transformers import WhisperConfig

    return WhisperConfig.from_pretrained(directory, local_files_only=True)  # nosec B615 - a local folder


def prompt_ids(tokenizer: Tokenizer, language: str | None) -> tuple[int, ...]:
    """The tokens that precede the text, in training as in decoding.

    English-only models: start, no timestamps. Multilingual ones: start, language, transcribe, no timestamps.

    Raises:
        ConfigError: a language the model has no token for, or none given to a multilingual model.
    """
    start, transcribe, no_timestamps = tokenizer.convert_tokens_to_ids([START, "<|transcribe|>", NO_TIMESTAMPS])
    if is_multilingual(tokenizer):
        known = language_ids(tokenizer)
        if (number := known.get(f"<|{language}|>")) is not None:
            return start, number, transcribe, no_timestamps
        some = ", ".join(token.strip("<|>") for token in list(known)[:8])
        asked = "a multilingual model needs a language" if language is None else f"language {language}: not known"
        raise ConfigError(f"{asked}; it has {len(known)}, by two-letter code: {some}, ...")
    if language not in (None, "en"):
        raise ConfigError(f"language {language}: this model knows English only; a multilingual one is needed")
    return start, no_timestamps


def save_checkpoint(model: Whisper, like: Path, out: Path) -> None:
    """Writes a model as fp32 safetensors, with the other files of the directory it was loaded from.

    Equal weights give equal bytes; integer buffers stay integers. The weights are written last.
    """
    tied = TIED if getattr(model.config, "tie_word_embeddings", False) else {}
    copy_side_files(like, out)
    write_weights({name: tensor for name, tensor in model.state_dict().items() if name not in tied}, out)


def checkpoint_digest(directory: Path) -> str:
    """sha256 over the weights and the side files; a DataError for weights that are missing or damaged."""
    open_tensors(directory)
    names = [*weight_files(directory), *(name for name in SIDE_FILES if (directory / name).exists())]
    digests = {name: file_digest(directory / name) for name in names}
    return hashlib.sha256(canonical_json(digests).encode()).hexdigest()


def loading_problems(directory: Path, loading: dict[str, Any], is_expected: Callable[[str], bool]) -> list[str]:
    """The first tensors that transformers reports as missing, unexpected or of another shape, without expected ones."""
    problems = []
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if names := sorted(name for name in map(str, loading.get(kind, ())) if not is_expected(name)):
            problems.append(f"{directory}: {kind.replace('_', ' ')}: {', '.join(names[:5])}")
    return problems


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """For loading with transformers, which keeps in globals what it is loading; hides its progress bars."""
    from transformers.utils import logging

    with _loading:
        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            if shown:
                logging.enable_progress_bar()  # type: ignore[no-untyped-call]
