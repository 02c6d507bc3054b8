"""Parses domain terms and example sentences: one per line, slots in braces."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asr_tv.errors import DataError
from asr_tv.text.scripts import UNSPACED

_SLOTTED = re.compile(r"([a-z][a-z0-9_]*)\s*:\s+(.+)")
_SLOT = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
TERM = "term"
"""The slot of terms that do not name one."""


@dataclass(frozen=True)
class Term:
    """A word or phrase of the domain, and the slot that it fills."""

    text: str
    slot: str = TERM


def parse_terms(content: str, name: str) -> tuple[Term, ...]:
    """Distinct terms from lines of `term` or `slot: term`; blank lines and lines starting with # are ignored.

    Raises:
        DataError: every term that has braces or no letter or digit; or there is no term.
    """
    terms: dict[tuple[str, str], Term] = {}
    problems = []
    for number, words in _lines(content):
        match = _SLOTTED.fullmatch(words)
        term = Term(match[2], match[1]) if match else Term(words)
        if not any(c.isalnum() for c in term.text) or "{" in term.text or "}" in term.text:
            problems.append(f"{name}:{number}: not a term: {words:.60}")
        terms.setdefault((term.slot, term.text.casefold()), term)
    if problems or not terms:
        raise DataError(problems or f"{name}: no term")
    return tuple(terms.values())


def parse_sentences(content: str, name: str, slots: Sequence[str]) -> tuple[str, ...]:
    """Distinct sentences and templates such as `I would like {dish}`, one per line.

    Raises:
        DataError: every line with braces that are not one of the slots.
    """
    sentences: dict[str, None] = {}
    problems = []
    for number, words in _lines(content):
        unknown = [slot for slot in _SLOT.findall(words) if slot not in slots or not _NAME.fullmatch(slot)]
        if unknown or "{" in _SLOT.sub("", words) or "}" in _SLOT.sub("", words):
            what = f"no term fills {{{'}, {'.join(unknown)}}}" if unknown else "braces that are no slot"
            problems.append(f"{name}:{number}: {what}; slots: {', '.join(slots)}")
        sentences[words] = None
    if problems:
        raise DataError(problems)
    return tuple(sentences)


def _lines(content: str) -> Iterator[tuple[int, str]]:
    """Number and text, with single spaces, of each line that is neither blank nor a comment."""
    for number, line in enumerate(content.split("\n"), 1):
        if (words := " ".join(line.split())) and not words.startswith("#"):
            yield number, words


def slots_of(template: str) -> tuple[str, ...]:
    """The slots in a template, in order."""
    return tuple(_SLOT.findall(template))


def finder(term: str) -> re.Pattern[str]:
    """A pattern that finds a term, ignoring case: as whole words, except where its script has no spaces."""
    before = "" if UNSPACED.match(term[0]) else r"(?<!\w)"
    after = "" if UNSPACED.match(term[-1]) else r"(?!\w)"
    return re.compile(f"{before}{re.escape(term)}{after}", re.IGNORECASE)
