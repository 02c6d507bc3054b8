"""Rare words for a recogniser: those that are not a single token of its vocabulary.

A byte-pair vocabulary merges the frequent words of its training text first, so words in several tokens were rare there.
"""

import functools
from collections.abc import Callable
from typing import Any

from asr_tv.text.scripts import pieces_of

_AROUND = ".,;:!?\"'()[]{}<>«»„“”‘’…-–—*/"
Known = Callable[[str], bool]
"""Whether a word is one token of the vocabulary."""


def is_known(tokenizer: Any) -> Known:
    """By a byte-level tokenizer: a word inside a sentence is one token as it is, in lower case or capitalised."""

    @functools.cache
    def known(word: str) -> bool:
        forms = {word, word.lower(), word.capitalize()}
        return any(len(tokenizer.encode(f" {form}", add_special_tokens=False)) == 1 for form in forms)

    return known


def words(text: str) -> tuple[str, ...]:
    """The words of a text that contain a letter, without surrounding punctuation; characters where none has spaces."""
    stripped = (word.strip(_AROUND) for word in pieces_of(text))
    return tuple(word for word in stripped if any(character.isalpha() for character in word))


def rare_words(text: str, known: Known) -> tuple[str, ...]:
    """The words of a text that are not known, in order."""
    return tuple(word for word in words(text) if not known(word))
