"""Digests of the sentences behind a vector: they travel with it, so that a target that shares some finds out."""

import hashlib
from collections.abc import Callable, Iterable

from asr_tv.errors import DataError


def sentence_digest(sentence: str) -> str:
    """sha256 of a normalised sentence."""
    return hashlib.sha256(sentence.encode()).hexdigest()


def written_digests(sentences: Iterable[str], normalize: Callable[[str], str]) -> str:
    """The content of sentences.sha256: a digest a line, sorted, each once."""
    return "".join(f"{d}\n" for d in sorted({sentence_digest(normalize(sentence)) for sentence in sentences}))


def parse_digests(text: str, name: str) -> frozenset[str]:
    """The digests of a sentences.sha256.

    Raises:
        DataError: every line that is none.
    """
    lines = text.split("\n")
    wrong = [n for n, line in enumerate(lines, 1) if line and (len(line) != 64 or set(line) - set("0123456789abcdef"))]
    if wrong:
        raise DataError(f"{name}:{number}: not a sha256" for number in wrong[:10])
    return frozenset(filter(None, lines))
