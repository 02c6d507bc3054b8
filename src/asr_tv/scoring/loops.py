"""Repetition loops of a decoder, recognised from the hypothesis alone."""

import zlib
from collections import Counter

MOST_COMPRESSED = 2.4
"""Whisper's own threshold of the compression ratio: text above it repeats itself."""
GRAM, MOST_REPEATS = 4, 5


def compression_ratio(text: str) -> float:
    """Bytes of the text per byte of it compressed by zlib, as in openai-whisper; 0 for an empty text."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def most_repeated(text: str) -> int:
    """How often the most frequent 4-gram of words occurs; 0 in a text of fewer words."""
    words = text.split()
    runs = Counter(tuple(words[start : start + GRAM]) for start in range(len(words) - GRAM + 1))
    return max(runs.values(), default=0)


def looped(text: str) -> bool:
    """Whether the text compresses beyond Whisper's threshold or has a 4-gram more than five times."""
    return compression_ratio(text) > MOST_COMPRESSED or most_repeated(text) > MOST_REPEATS
