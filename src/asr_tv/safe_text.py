"""Untrusted text made safe to show: hidden characters, and those that change how the rest looks, are written out."""

import json
import re
import unicodedata

_JOINERS = "\u200c\u200d"
"""Persian, Indic scripts and emoji need them; they hide nothing."""
_SPECIAL_BUT_BRACKETS = str.maketrans({character: f"\\{character}" for character in "\\`*|<>"})
_SPECIAL = _SPECIAL_BUT_BRACKETS | str.maketrans({"[": "\\[", "]": "\\]"})
_LINK = re.compile(r"\](?=[(\[:])")
_PLAIN_SCALAR = re.compile(r"[A-Za-z][\w./-]*")
_WORDS_OF_YAML = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def is_hidden(character: str) -> bool:
    """Whether a character is invisible: controls, directions, line separators, lone surrogates."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in _JOINERS


def printable(text: object, keep: str = "\n") -> str:
    """The text with hidden characters but those in `keep` written out as ⟨U+001B⟩, so that nothing obeys them."""
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(f"⟨U+{ord(c):04X}⟩" if is_hidden(c) and c not in keep else c for c in plain)


def counted(count: int, noun: str) -> str:
    """A number with its noun, which takes an s unless there is one of it."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def escaped(text: str, limit: int | None = 80) -> str:
    """Text for a Markdown cell: cut, with Markdown and HTML escaped and hidden characters written out."""
    return _shown(text, limit).translate(_SPECIAL)


def inert(text: object) -> str:
    """Prose for Markdown: as `escaped`, but uncut, and with brackets (intervals have them) that make no link."""
    return _LINK.sub(r"\]", _shown(str(text), None).translate(_SPECIAL_BUT_BRACKETS))


def yaml_scalar(text: str) -> str:
    """The text as one YAML value, quoted unless it is a plain word."""
    plain = _PLAIN_SCALAR.fullmatch(text) and text.lower() not in _WORDS_OF_YAML
    return text if plain else json.dumps(_shown(text, None), ensure_ascii=False)


def _shown(text: str, limit: int | None) -> str:
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    return "".join(f"(U+{ord(c):04X})" if is_hidden(c) else c for c in text)


_IN_ADDRESS = re.compile(r"(?<=://)(?:[^\s'\"<>@/]+|[^\s'\"<>@/:]*:[^\s'\"<>@]+)@")
"""What stands before the @ of an address; the secret keys of object storage contain slashes."""
_IN_QUERY = re.compile(
    r"(?i)([?&;][\w-]*(?:token|secret|passw|signature|credential|api[_-]?key|auth)[\w-]*=)[^&\s'\"<>]+"
)


def redacted(text: str) -> str:
    """The text with *** for the user and password of each address, and for secrets in its query."""
    if "://" not in text:
        return text
    return _IN_QUERY.sub(r"\1***", _IN_ADDRESS.sub("***@", text))


def holds_secret(text: str) -> bool:
    """Whether an address in the text carries a password or token."""
    return redacted(text) != text
