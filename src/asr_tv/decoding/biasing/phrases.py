"""Terms as token sequences to boost, and what the recogniser mishears for them, to be written back as the term."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr_tv.data.text_files import read_text
from asr_tv.errors import DataError
from asr_tv.models.vocabulary import Tokenizer
from asr_tv.text.rare_words import words
from asr_tv.text.writing.terms import parse_terms

MOST_PHRASES = 10_000
"""A trie of so many takes about 100 MB; NeMo's was measured up to 20,000."""
Encode = Callable[[str], Sequence[int]]
"""The tokens of a text, without those that frame it."""


@dataclass(frozen=True)
class Phrase:
    """A term as it is to be written, and texts that stand for it where the recogniser hears it wrongly."""

    text: str
    misheard: tuple[str, ...] = ()


def read_phrases(path: Path) -> tuple[Phrase, ...]:
    """The terms of a file as `asr-tv texts` reads them, one a line.

    Raises:
        DataError: every line without a letter or digit; no term; or more than `MOST_PHRASES`.
    """
    terms = parse_terms(read_text(path), str(path))
    return bounded(tuple(dict.fromkeys(Phrase(term.text) for term in terms)), str(path))


def bounded(phrases: tuple[Phrase, ...], name: str) -> tuple[Phrase, ...]:
    """The phrases themselves.

    Raises:
        DataError: there are more than `MOST_PHRASES`.
    """
    if len(phrases) > MOST_PHRASES:
        raise DataError(f"{name}: {len(phrases)} terms; at most {MOST_PHRASES} can be boosted: give the rarest")
    return phrases


def plain_encoder(tokenizer: Tokenizer) -> Encode:
    """The tokens of a text alone."""

    def encode(text: str) -> Sequence[int]:
        tokens: Sequence[int] = tokenizer.encode(text, add_special_tokens=False)
        return tokens

    return encode


def text_tokens(encode: Encode, text: str, end: int) -> tuple[int, ...]:
    """The tokens of a text; `end` is the first that is no text.

    Raises:
        ValueError: it spells a control token, such as <|endoftext|>.
    """
    tokens = tuple(encode(text))
    if any(token >= end for token in tokens):
        raise ValueError(f"spells a control token: {text.strip():.60}")
    return tokens


def phrase_tokens(phrases: Iterable[Phrase], encode: Encode, end: int) -> list[tuple[int, ...]]:
    """What to boost for each phrase and what is misheard for it: inside a text, capitalised, and at a text's start.

    Raises:
        DataError: every phrase that spells a control token.
    """
    found: dict[tuple[int, ...], None] = {}
    problems = []
    for phrase in phrases:
        for text in (phrase.text, *phrase.misheard):
            try:
                found |= dict.fromkeys(text_tokens(encode, form, end) for form in _forms(text.strip()))
            except ValueError as error:
                problems.append(f"term {phrase.text!r:.60}: {error}")
                break
    if problems:
        raise DataError(problems)
    return [tokens for tokens in found if tokens]


def _forms(text: str) -> Iterator[str]:
    capitalised = text[:1].upper() + text[1:]
    yield from (f" {text}", f" {capitalised}", capitalised)


def kept_variants(
    heard: Iterable[str], term: str, ordinary: Collection[str], known: Callable[[str], bool]
) -> list[str]:
    """What was heard for a spoken term, each once, without what would change texts that do not have the term.

    Dropped are the term itself, a single known word, and whatever stands in ordinary texts.

    Args:
        ordinary: texts of the source and of general speech, folded as by `folded`.
        known: whether a word is one token of the recogniser's vocabulary.
    """
    own = folded(term)
    variants = dict.fromkeys(folded(text) for text in heard)
    return [v for v in variants if v and v != own and not (" " not in v and known(v)) and not _occurs(v, ordinary)]


def folded(text: str) -> str:
    """Lower-case words separated by single spaces, without punctuation around them."""
    return " ".join(words(text)).lower()


def _occurs(variant: str, texts: Collection[str]) -> bool:
    return any(f" {variant} " in f" {text} " for text in texts)


def write_back(text: str, phrases: Iterable[Phrase]) -> str:
    """The text with each misheard variant, as whole words in any case, replaced by its term; the longest first."""
    terms = {variant.lower(): phrase.text for phrase in phrases for variant in phrase.misheard}
    if not terms:
        return text
    longest_first = sorted(terms, key=lambda variant: (-len(variant), variant))
    pattern = "|".join(re.escape(v).replace(r"\ ", r"[\s,]+") for v in longest_first)
    return re.sub(rf"(?<![\w'])(?:{pattern})(?![\w'])", lambda found: terms[_key(found[0])], text, flags=re.IGNORECASE)


def _key(found: str) -> str:
    return " ".join(found.replace(",", " ").split()).lower()
