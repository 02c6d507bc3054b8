"""Plain text, one sentence per line: all that a new domain needs to bring."""

import hashlib
import logging
import re
from pathlib import Path

from asr_tv.data.manifest import Manifest, Utterance, parse_manifest, refuse_control_tokens
from asr_tv.data.text_files import decoded, read_bytes
from asr_tv.errors import DataError

MAX_WORDS = 200
MAX_CHARACTERS = 4_000  # per sentence; a line without spaces would otherwise be one word, however long
_MAX_PROBLEMS = 100  # a binary file would fill the screen
_log = logging.getLogger(__name__)


def read_texts(path: Path, domain: str) -> Manifest:
    """The sentences of a UTF-8 file, with ids from their content; blank lines and exact duplicates are left out.

    JSON lines are a manifest, whatever the file is called: its texts are the sentences. Other forms of data than
    sentences are refused.

    Raises:
        DataError: every line without a letter or digit, not UTF-8, with NUL, or over `MAX_WORDS` words or
            `MAX_CHARACTERS`; a file that is missing, empty or without a sentence.
    """
    data = _read(path).removeprefix(b"\xef\xbb\xbf")
    if data.lstrip().startswith(b"{"):
        manifest = parse_manifest(decoded(data, path), str(path))
        data = "\n".join(u.text for u in manifest).encode()
    elif what := _other_data(data):
        raise DataError(f"{path}: {what}, not sentences: write one sentence a line, or JSON lines with text")
    problems: list[str] = []
    sentences: list[str] = []
    for number, line in enumerate(data.split(b"\n"), 1):
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


def _other_data(data: bytes) -> str:
    """What a file is that holds no plain sentences; "" for sentences."""
    lines = [line.strip() for line in data[:_SNIFFED].decode(errors="replace").split("\n") if line.strip()]
    if len(data) > _SNIFFED:
        lines.pop()
    if not lines:
        return ""
    if lines[0].startswith("[") and data.rstrip().endswith(b"]") and '"' in lines[0] + lines[-1] + "".join(lines[1:2]):
        return "a JSON array"
    if lines[0].lower().startswith(("<?xml", "<!doctype", "<html", "<tt ", "{\\rtf")):
        return "a document with markup"
    if any(_CUE.search(line) for line in lines):
        return "subtitles"
    cells = {cell.strip(' "').lower() for cell in re.split(r"[,;\t|]", lines[0])}
    if len(cells) > 1 and cells & _COLUMNS:
        return "a table with a header"
    for mark, name in (("[|]", "bars"), ("(?<! )\t(?! )", "tabs")):
        if all(re.search(mark, line) for line in lines):
            return f"rows of a table, with {name} between the cells"
    return "rows that begin with recordings" if all(_FILE_FIRST.match(line) for line in lines) else ""


_SNIFFED = 1 << 16
_CUE = re.compile(r"^\d+:\d\d(?::\d\d)?[.,]\d{3} --> ")
_FILE_FIRST = re.compile(r'^"?\S+\.(?:wav|mp3|flac|ogg|opus|m4a|sph)\b', re.IGNORECASE)
_RECORDING_COLUMNS = {"id", "path", "audio", "file", "file_name", "filename", "wav", "audio_filepath"}
_COLUMNS = {*_RECORDING_COLUMNS, "text", "transcription", "transcript", "sentence"}


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
