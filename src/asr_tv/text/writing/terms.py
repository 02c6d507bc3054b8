"""Domain terms and example sentences as people write them down: one a line, slots in braces."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from asr_tv.errors import DataError

_SLOTTED = re.compile(r"([a-z][a-z0-9_]*)\s*:\s+(.+)")
_SLOT = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
TERM = "term"
"""The slot of terms that name none."""


@dataclass(frozen=True)
class Term:
    """A word or phrase of the domain, and the slot it can fill."""

    text: str
    slot: str = TERM


def parse_terms(content: str, name: str) -> tuple[Term, ...]:
    """`term` or `slot: term` a line; blank lines and lines that begin with # are left out, each term counts once.

    Args:
        name: the file's, for messages.

    Raises:
        DataError: every term without a letter or digit, or with braces; no term at all.
    """
    terms: dict[tuple[str, str], Term] = {}
    problems = []
    for number, line in enumerate(content.split("\n"), 1):
        words = " ".join(line.split())
        if not words or words.startswith("#"):
            continue
        match = _SLOTTED.fullmatch(words)
        term = Term(match[2], match[1]) if match else Term(words)
        if not any(c.isalnum() for c in term.text) or "{" in term.text or "}" in term.text:
            problems.append(f"{name}:{number}: not a term: {words:.60}")
        terms.setdefault((term.slot, term.text.casefold()), term)
    if problems or not terms:
        raise DataError(problems or f"{name}: no term")
    return tuple(terms.values())


def parse_sentences(content: str, name: str, slots: Sequence[str]) -> tuple[str, ...]:
    """Sentences and templates such as `I would like {dish}`, one a line, each once.

    Raises:
        DataError: every line whose braces are not slots that some term fills.
    """
    sentences: dict[str, None] = {}
    problems = []
    for number, line in enumerate(content.split("\n"), 1):
        words = " ".join(line.split())
        if not words or words.startswith("#"):
            continue
        unknown = [slot for slot in _SLOT.findall(words) if slot not in slots or not _NAME.fullmatch(slot)]
        if unknown or "{" in _SLOT.sub("", words) or "}" in _SLOT.sub("", words):
            what = f"no term fills {{{'}, {'.join(unknown)}}}" if unknown else "braces that are no slot"
            problems.append(f"{name}:{number}: {what}; slots: {', '.join(slots)}")
        sentences[words] = None
    if problems:
        raise DataError(problems)
    return tuple(sentences)


def slots_of(template: str) -> tuple[str, ...]:
    """The slots in a template, in their order."""
    return tuple(_SLOT.findall(template))


def finder(term: str) -> re.Pattern[str]:
    """Finds a term as whole words, in either case."""
    return re.compile(rf"(?<!\w){re.escape(term)}(?!\w)", re.IGNORECASE)
