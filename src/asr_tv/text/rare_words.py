"""Which words a recogniser hardly knows: those that its own vocabulary has not as one token.

A byte-pair vocabulary was learnt from text, the frequent words first; what it must spell in pieces was rare there.
"""

from collections.abc import Callable
from typing import Any

Known = Callable[[str], bool]
"""Whether a word is known."""


def is_known(tokenizer: Any) -> Known:
    """By a byte-level tokenizer: a word within a sentence, as it stands or with a capital, is one token."""
    cache: dict[str, bool] = {}

    def known(word: str) -> bool:
        if word not in cache:
            forms = {word, word.lower(), word.capitalize()}
            cache[word] = any(len(tokenizer.encode(f" {form}", add_special_tokens=False)) == 1 for form in forms)
        return cache[word]

    return known


def words(text: str) -> tuple[str, ...]:
    """The words of a text without the punctuation around them; what holds no letter is none."""
    stripped = (word.strip(_AROUND) for word in text.split())
    return tuple(word for word in stripped if any(character.isalpha() for character in word))


_AROUND = ".,;:!?\"'()[]{}<>«»„“”‘’…-–—*/"


def rare_words(text: str, known: Known) -> tuple[str, ...]:
    """The words of a text that are not known, in its order."""
    return tuple(word for word in words(text) if not known(word))
