"""Splits long texts into pieces that an engine can speak: at sentence ends if possible, then clauses, then words."""

import re
from itertools import pairwise

_ENDS = (re.compile(r"(?<=[.!?…。！？])[\"'”’)]*\s+"), re.compile(r"(?<=[,;:，、])\s+"))


def pieces(text: str, most_words: int) -> list[str]:
    """The whole text in pieces of at most `most_words` words, as few as its sentence ends allow."""
    words = text.split()
    return _pack(_parts(" ".join(words), most_words, 0), most_words) if words else []


def _parts(text: str, most_words: int, level: int) -> list[str]:
    """The text split at the ends of this level; parts that are still too long are split at those of the next."""
    if len(text.split()) <= most_words:
        return [text]
    if level == len(_ENDS):
        words = text.split()
        return [" ".join(words[start : start + most_words]) for start in range(0, len(words), most_words)]
    return [part for piece in _cut(text, _ENDS[level]) for part in _parts(piece, most_words, level + 1)]


def _cut(text: str, end: "re.Pattern[str]") -> list[str]:
    cuts = [0, *(match.end() for match in end.finditer(text)), len(text)]
    return [piece for a, b in pairwise(cuts) if (piece := text[a:b].strip())]


def _pack(parts: list[str], most_words: int) -> list[str]:
    packed: list[str] = []
    for part in parts:
        if packed and len(packed[-1].split()) + len(part.split()) <= most_words:
            packed[-1] += f" {part}"
        else:
            packed.append(part)
    return packed
