"""Text of strangers, made safe to show: what does not show, or changes how the rest shows, is written out."""

import json
import re
import unicodedata

_JOINERS = "\u200c\u200d"
"""Persian, the scripts of India and emoji are spelled with them; they hide nothing."""
_MAX_CELL = 80
_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*[]|<>"})
_SPECIAL_BUT_BRACKETS = str.maketrans({character: f"\\{character}" for character in "\\`*|<>"})
_LINK = re.compile(r"\](?=[(\[:])")
_PLAIN_SCALAR = re.compile(r"[A-Za-z][\w./-]*")
_WORDS_OF_YAML = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def is_hidden(character: str) -> bool:
    """Whether a character is not seen itself: controls, directions, line separators, half surrogate pairs."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in _JOINERS


def printable(text: object, keep: str = "\n") -> str:
    """The text with every hidden character written out as ⟨U+001B⟩, so that no terminal or page obeys it.

    Args:
        keep: hidden characters that stay as they are.
    """
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(f"⟨U+{ord(c):04X}⟩" if is_hidden(c) and c not in keep else c for c in plain)


def escaped(text: str, limit: int | None = _MAX_CELL) -> str:
    """Text that stays inside its Markdown cell: marks of Markdown and HTML escaped, hidden ones shown, cut."""
    return _shown(text, limit).translate(_SPECIAL)


def inert(text: object) -> str:
    """Prose in Markdown: as `escaped`, uncut, and with the brackets that intervals have, unless they make a link."""
    return _LINK.sub(r"\]", _shown(str(text), None).translate(_SPECIAL_BUT_BRACKETS))


def yaml_scalar(text: str) -> str:
    """A text as one value of YAML, quoted unless it is a plain word."""
    plain = _PLAIN_SCALAR.fullmatch(text) and text.lower() not in _WORDS_OF_YAML
    return text if plain else json.dumps(_shown(text, None), ensure_ascii=False)


def _shown(text: str, limit: int | None) -> str:
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    return "".join(f"(U+{ord(c):04X})" if is_hidden(c) else c for c in text)


_SHOWN = "***"


_IN_ADDRESS = re.compile(r"(?<=://)(?:[^\s'\"<>@/]+|[^\s'\"<>@/:]*:[^\s'\"<>@]+)@")
"""What stands before the @ of an address; secrets of object storage hold slashes."""


_IN_QUERY = re.compile(
    r"(?i)([?&;][\w-]*(?:token|secret|passw|signature|credential|api[_-]?key|auth)[\w-]*=)[^&\s'\"<>]+"
)


def redacted(text: str) -> str:
    """The text with `***` for user and password of each address, and for tokens in its query."""
    if "://" not in text:
        return text
    return _IN_QUERY.sub(rf"\1{_SHOWN}", _IN_ADDRESS.sub(f"{_SHOWN}@", text))


def holds_secret(text: str) -> bool:
    """Whether an address in the text carries a password or token."""
    return redacted(text) != text
