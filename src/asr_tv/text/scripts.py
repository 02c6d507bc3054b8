"""Scripts that put no spaces between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan."""

import re

_UNSPACED = (
    r"\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0003ffff"
)
UNSPACED = re.compile(f"[{_UNSPACED}]")
_PIECES = re.compile(f"[{_UNSPACED}]|[^\\s{_UNSPACED}]+")


def pieces_of(text: str) -> list[str]:
    """The words of a text, between spaces; of a script without spaces each character."""
    return _PIECES.findall(text)


def is_unspaced(text: str) -> bool:
    """Whether most letters of a text are of scripts without spaces."""
    letters = [character for character in text if character.isalpha()]
    return 2 * sum(map(bool, map(UNSPACED.match, letters))) > len(letters)
