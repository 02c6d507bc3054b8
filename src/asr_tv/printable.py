"""Text of strangers, made safe to show: what does not show, or changes how the rest shows, is written out."""

import unicodedata

_JOINERS = "\u200c\u200d"
"""Persian, the scripts of India and emoji are spelled with them; they hide nothing."""


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
