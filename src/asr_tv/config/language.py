"""Languages as people write them: "en", "English", "en-US"; a recogniser knows them by their shortest code."""

import re

_MACRO = {"cmn": "zh", "nb": "no", "iw": "he", "in": "id", "ji": "yi"}
"""Codes that Whisper's vocabulary has under another one."""


def language_code(written: str) -> str:
    """The code of a language that is written as a code, as a tag with a region or script, or as an English name.

    Raises:
        ValueError: it is none of them.
    """
    import langcodes

    tag = written.strip().lower().replace("_", "-")
    code = tag.partition("-")[0]
    if not re.fullmatch(r"[a-z]{2,3}", code):
        try:
            code = str(langcodes.find(tag).language)
        except LookupError:
            raise ValueError(f"{written!r} is not a language: write its code, such as en") from None
    return _MACRO.get(code, code)
