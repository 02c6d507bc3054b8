"""Builds fast tokenizers of Whisper vocabularies from the byte-pair ranks in openai-whisper, with the published ids.

Used for checkpoints without a Hugging Face tokenizer.
"""

import functools
import hashlib
import threading
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from asr_tv.errors import DataError
from asr_tv.text.rare_words import Known, is_known

Tokenizer = Any
"""A `transformers.WhisperTokenizer`, which is a fast tokenizer."""

LANGUAGES_OF: Mapping[int, int] = {51864: 99, 51865: 99, 51866: 100}
"""Vocabulary size -> number of languages: English-only, multilingual, large-v3."""

END, START, NO_TIMESTAMPS = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"
TASKS = ("transcribe", "translate")
_CONTROLS = ("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", NO_TIMESTAMPS)
_TIMESTAMPS = tuple(f"<|{step * 0.02:.2f}|>" for step in range(1501))


def whisper_tokenizer(vocab_size: int) -> Tokenizer:
    """The tokenizer of OpenAI's vocabulary of this size, with special tokens and timestamps.

    Raises:
        DataError: OpenAI published no vocabulary of this size.
    """
    from whisper.tokenizer import LANGUAGES

    vocabulary, merges = _byte_pairs(vocab_size)
    return assembled_tokenizer(vocabulary, merges, list(LANGUAGES)[: LANGUAGES_OF[vocab_size]])


@functools.cache
def _byte_pairs(vocab_size: int) -> tuple[Mapping[str, int], Sequence[tuple[str, ...]]]:
    """Token -> id, and the merges in their order; a second's work."""
    encoding = _openai(vocab_size).encoding
    ranks = {token: encoding.encode_single_token(token) for token in encoding.token_byte_values()}
    letters = _byte_letters()
    vocabulary = {_spelled(token, letters): rank for token, rank in ranks.items()}
    by_rank = sorted((token for token in ranks if len(token) > 1), key=ranks.__getitem__)
    merges = [tuple(_spelled(part, letters) for part in _parts(token, ranks)) for token in by_rank]
    return MappingProxyType(vocabulary), tuple(merges)


def is_published(vocab_size: int, mel_bins: int) -> bool:
    """Whether OpenAI published a model of this vocabulary: a Whisper with one token more has the size of another's."""
    return vocab_size in LANGUAGES_OF and mel_bins == (128 if vocab_size == max(LANGUAGES_OF) else 80)


def require_published(where: str, vocab_size: int, mel_bins: int) -> None:
    """Refuses to guess the vocabulary of a model that is none of OpenAI's.

    Raises:
        DataError: it is none.
    """
    if not is_published(vocab_size, mel_bins):
        wrong = f"a vocabulary of {vocab_size} tokens is not one of Whisper's with {mel_bins} mel bins"
        raise DataError(f"{where}: {wrong}: the files of its own tokenizer are needed beside it")


def require_openai_vocabulary(directory: Path, vocab_size: int) -> None:
    """Compares a directory's tokenizer with OpenAI's of its size up to end-of-text; the names of later tokens vary.

    Raises:
        DataError: it is another one, which openai-whisper would not know.
    """
    own, published = load_tokenizer(directory), whisper_tokenizer(vocab_size)
    end = published.convert_tokens_to_ids(END)
    pairs = (tokenizer.convert_ids_to_tokens(range(end + 1)) for tokenizer in (own, published))
    if different := [number for number, (a, b) in enumerate(zip(*pairs, strict=True)) if a != b]:
        raise DataError(f"{directory}: its vocabulary differs from OpenAI's from token {different[0]} on")


def vocabulary_size(language: str) -> int:
    """The size of OpenAI's vocabulary for a language: the English-only or the multilingual one."""
    return 51864 if language == "en" else 51865


_known = threading.local()
"""What `known_words` gave, by the vocabulary's size, which takes seconds to assemble; of each thread, as `_loaded`."""


def known_words(language: str) -> Known:
    """Whether a word is one token of OpenAI's vocabulary for a language."""
    known: dict[str, Known] = _known.__dict__
    size = vocabulary_size(language)
    if (name := str(size)) not in known:
        known[name] = is_known(whisper_tokenizer(size))
    return known[name]


def assembled_tokenizer(
    vocabulary: Mapping[str, int], merges: Sequence[tuple[str, ...]], languages: Sequence[str]
) -> Tokenizer:
    """A Whisper tokenizer over a byte-level vocabulary, followed by end, start, languages, controls and timestamps."""
    from transformers import AddedToken, WhisperTokenizer

    specials = [END, START, *(f"<|{language}|>" for language in languages), *_CONTROLS]
    tokenizer = WhisperTokenizer(vocab=dict(vocabulary), merges=list(merges), pad_token=END, model_max_length=1024)
    tokenizer.add_special_tokens({"additional_special_tokens": specials})
    tokenizer.add_tokens([AddedToken(stamp, normalized=True, special=False) for stamp in _TIMESTAMPS])
    tokenizer.set_prefix_tokens()
    return tokenizer


_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "added_tokens.json")
_loaded = threading.local()
"""Tokenizers by the content of their files; of each thread, since a fast tokenizer must not serve two at once."""


def load_tokenizer(directory: Path) -> Tokenizer:
    """The fast tokenizer of a directory, not to be changed; a DataError if its files are missing or damaged."""
    # transformers takes 50 ms for the 1,500 timestamps, and the checkpoints of a run all have the same files.
    content = hashlib.sha256()
    for path in (directory / name for name in _FILES):
        content.update(path.read_bytes() if path.is_file() else b"-")
    known: dict[str, Tokenizer] = _loaded.__dict__
    key = content.digest().hex()
    if key not in known:
        known[key] = _load_tokenizer(directory)
    return known[key]


def _load_tokenizer(directory: Path) -> Tokenizer:
    from transformers import WhisperTokenizer

    try:
        tokenizer = WhisperTokenizer.from_pretrained(directory, local_files_only=True)  # nosec B615 - a local folder
    # Its Rust library raises bare Exceptions for files it cannot read.
    except Exception as error:
        raise DataError(f"{directory}: has no tokenizer that loads: {error}") from error
    # Without any file, transformers returns an empty tokenizer.
    if lacking := [token for token in (END, START, NO_TIMESTAMPS) if token not in tokenizer.get_vocab()]:
        raise DataError(f"{directory}: has no tokenizer that loads as one of Whisper: it lacks {', '.join(lacking)}")
    return tokenizer


def suppressed_tokens(vocab_size: int) -> list[int]:
    """The ids that OpenAI's decoding suppresses: annotations such as brackets and notes, and control tokens.

    Raises:
        DataError: OpenAI published no vocabulary of this size.
    """
    openai = _openai(vocab_size)
    controls = (openai.sot, openai.translate, openai.transcribe, openai.sot_lm, openai.sot_prev, openai.no_speech)
    return sorted({*openai.non_speech_tokens, *controls})


def is_multilingual(tokenizer: Tokenizer) -> bool:
    """Whether a Whisper tokenizer is multilingual."""
    # Both vocabularies contain the language tokens; only the multilingual byte-pair table ends with an empty token.
    return "" in tokenizer.get_vocab()


def language_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """Language token, such as `<|en|>`, -> id: the tokens between start of transcript and the tasks."""
    first, last = (tokenizer.convert_tokens_to_ids(token) for token in (START, "<|translate|>"))
    return {tokenizer.convert_ids_to_tokens(number): number for number in range(first + 1, last)}


def _openai(vocab_size: int) -> Any:
    from whisper.tokenizer import get_tokenizer

    if vocab_size not in LANGUAGES_OF:
        raise DataError(f"a vocabulary of {vocab_size} tokens is not one of Whisper's: {sorted(LANGUAGES_OF)}")
    return get_tokenizer(vocab_size > min(LANGUAGES_OF), num_languages=LANGUAGES_OF[vocab_size])


def _parts(token: bytes, ranks: Mapping[bytes, int]) -> list[bytes]:
    """The two parts a token is merged from: byte-pair encoding of its bytes with merges of lower rank."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        pairs = [ranks.get(a + b, len(ranks)) for a, b in pairwise(parts)]
        best = min(range(len(pairs)), key=pairs.__getitem__)
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return parts


def _byte_letters() -> dict[int, str]:
    """Byte -> its printable character in byte-level vocabularies (GPT-2's table)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def _spelled(token: bytes, letters: Mapping[int, str]) -> str:
    return "".join(letters[byte] for byte in token)
