"""Plain text, one sentence per line: all that a new domain needs to bring."""

import hashlib
import logging
from pathlib import Path

from asr_tv.data.manifest import Manifest, Utterance, refuse_control_tokens
from asr_tv.data.text_files import read_bytes
from asr_tv.errors import DataError

MAX_WORDS = 200
MAX_CHARACTERS = 4_000  # per sentence; a line without spaces would otherwise be one word, however long
_MAX_PROBLEMS = 100  # a binary file would fill the screen
_log = logging.getLogger(__name__)


def read_texts(path: Path, domain: str) -> Manifest:
    """The sentences of a UTF-8 file, with ids from their content; blank lines and exact duplicates are left out.

    Raises:
        DataError: every line without a letter or digit, not UTF-8, with NUL, or over `MAX_WORDS` words or
            `MAX_CHARACTERS`; a file that is missing, empty or without a sentence.
    """
    problems: list[str] = []
    sentences: list[str] = []
    for number, line in enumerate(_read(path).removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            if sentence := _sentence(line):
                sentences.append(sentence)
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
    if problems:
        rest = len(problems) - _MAX_PROBLEMS
        raise DataError([*problems[:_MAX_PROBLEMS], *([f"{path}: {rest} more lines"] if rest > 0 else [])])
    if not sentences:
        raise DataError(f"{path}: no sentence, only blank lines")
    distinct = tuple(dict.fromkeys(sentences))
    if len(distinct) < len(sentences):
        _log.info("%s: %d sentences occur more than once", path, len(sentences) - len(distinct))
    return Manifest(path.name, tuple(_utterance(sentence, domain) for sentence in distinct))


def _utterance(sentence: str, domain: str) -> Utterance:
    content = hashlib.sha256(sentence.encode()).hexdigest()[:12]
    return Utterance(id=f"{domain}-{content}", text=sentence, domain=domain, origin="text")


def _read(path: Path) -> bytes:
    data = read_bytes(path)
    if not data:
        raise DataError(f"{path}: empty: 0 bytes")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: UTF-16, not UTF-8: save it as UTF-8")
    return data


def _sentence(line: bytes) -> str:
    """The sentence with single spaces; "" for a blank line."""
    try:
        text = " ".join(line.decode().split())
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start + 1} of the line)") from None
    if "\0" in text:
        raise ValueError("holds a NUL character")
    refuse_control_tokens(text)
    if text and not any(character.isalnum() for character in text):
        raise ValueError(f"no word, only punctuation: {text:.40}")
    if (words := len(text.split())) > MAX_WORDS:
        raise ValueError(f"{words} words; a sentence has at most {MAX_WORDS}")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{len(text)} characters; a sentence has at most {MAX_CHARACTERS}")
    return text
