"""What a sentence sounds like: English numbers, times, money and symbols as words; and which scripts are in it.

The label keeps what the user wrote. Other languages are left to the engine, which knows their grammar.
"""

import functools
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

VERSION = 2
"""Raised whenever some text is spoken in other words than before."""

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_ALONE = r"(?<![\w.,:/-])"
"""Before a number that is no part of a longer one."""
_MONEY = {
    "$": ("dollar", "cent"),
    "£": ("pound", "penny"),
    "€": ("euro", "cent"),
    "¥": ("yen", ""),
    "₹": ("rupee", "paisa"),
}
_PLURALS = {"penny": "pence", "yen": "yen", "paisa": "paise", "foot": "feet", "inch": "inches"}
_SIZES = {"k": "thousand", "m": "million", "bn": "billion", "b": "billion", "tn": "trillion"}
_UNITS = {
    "km": "kilometer",
    "cm": "centimeter",
    "mm": "millimeter",
    "kg": "kilogram",
    "mg": "milligram",
    "ml": "milliliter",
    "lb": "pound",
    "lbs": "pound",
    "oz": "ounce",
    "ft": "foot",
    "GB": "gigabyte",
    "MB": "megabyte",
    "TB": "terabyte",
    "Hz": "hertz",
    "kHz": "kilohertz",
}
_UNCOUNTED = {"hertz", "kilohertz"}
_SPEEDS = {"mph": "miles an hour", "km/h": "kilometers an hour", "kmh": "kilometers an hour"}
_FRACTIONS = {"1/2": "one half", "1/3": "one third", "2/3": "two thirds", "1/4": "one quarter", "3/4": "three quarters"}
_MONTHS = "January February March April May June July August September October November December"
_SYMBOLS = {"&": "and", "@": "at", "+": "plus", "=": "equals", "%": "percent", "°": "degrees", "_": "underscore"}
_DOMAINS = "com|org|net|edu|gov|io|co|uk|de|info|app|dev|ai"
_OPERATORS = {
    **dict.fromkeys("-−–", "minus"),
    **{"+": "plus", "=": "equals", "×": "times", "*": "times", "÷": "divided by", "/": "divided by"},
}
_COMPARED = {"<": "less than", ">": "greater than", "≤": "at most", "≥": "at least", "≈": "about", "±": "plus or minus"}
_VULGAR = {
    **{"½": "one half", "⅓": "one third", "⅔": "two thirds", "¼": "one quarter", "¾": "three quarters"},
    **{"⅛": "one eighth", "⅜": "three eighths", "⅝": "five eighths", "⅞": "seven eighths"},
}
_SUM = re.compile(
    r"(?<![\w.,:/-])[-−]?(?:\d[\d.,]*\s?[-−–+×*÷/]\s?)+\d[\d.,]*\s?=\s?[-−]?\d[\d.,]*\d|"
    r"(?<![\w.,:/-])[-−]?(?:\d[\d.,]*\s?[-−–+×*÷/]\s?)+\d[\d.,]*\s?=\s?[-−]?\d"
)
_LONG_NUMBER = 7
_PLAIN_NUMBER = (
    r"(?:^|(?<=[\s(\"]))\d{1,3}[A-Z]?(?![\w%°:/-]|[.,]\d)"
    rf"(?!\s?(?:[€£%°]|[ap]\.?\s?m\b|(?:{'|'.join(map(re.escape, (*_UNITS, *_SPEEDS)))})\b))"
)
_PLAIN = re.compile(rf"(?:[^\W\d_]|\s|[.,;:!?'\"()&*#/’“”…-](?!\d)|{_PLAIN_NUMBER})*")
"""Words, punctuation, lone signs, and whole numbers up to 999 that count nothing written as a sign."""


def spoken_form(text: str, language: str | None, *, reads_numbers: bool = False) -> str:
    """The text as an engine is to be given it; the text itself where nothing is to be said in other words.

    Args:
        language: of the voice, as "en" or "en-us"; only English is rewritten.
        reads_numbers: the engine says small whole numbers and lone signs itself, so a text with nothing else stays.
    """
    if language is None or not re.match(r"en\b", language.lower().replace("_", "-")):
        return text
    if reads_numbers and _PLAIN.fullmatch(text):
        return text
    spoken = text
    for pattern, words in _rules(language.lower()):
        spoken = pattern.sub(words, spoken)
    return text if spoken == text else " ".join(spoken.split())


def other_script(text: str, language: str | None) -> str | None:
    """The script of a word that a voice of this language cannot read, such as "Cyrillic"; None when it can read all.

    Single letters count in no script, and Latin words may stand in any text of another script.
    """
    known = _SCRIPTS.get((language or "").lower().replace("_", "-").partition("-")[0])
    if known is None:
        return None
    found = [_script(word) for word in re.findall(r"[^\W\d_]{2,}", text)]
    foreign = next((script for script in found if script not in {*known, "Latin"}), None)
    latin_only = found and not any(script in known for script in found)
    return foreign or ("Latin" if latin_only else None)


@functools.cache
def _rules(language: str) -> tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]:
    """In their order: what needs its neighbours to be understood comes before what stands alone."""
    british = language.replace("_", "-").startswith("en-gb")
    units = "|".join(map(re.escape, (*_SPEEDS, *_UNITS)))
    rules: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
        (_SUM.pattern, _sum),
        (rf"({_NUMBER})\s?([×÷])\s?(?={_NUMBER})", lambda m: f"{m[1]} {_OPERATORS[m[2]]} "),
        (r"(?<=[\d\w])\s−\s(?=\w)|(?<=\d)−(?=\d)", lambda m: " minus "),
        (rf"([{''.join(_MONEY)}])\s?[-−](?=\d)", lambda m: f"minus {m[1]}"),
        (rf"(?<![\w.,)\]%°])[-−](?=[\d{''.join(_MONEY)}]|\.\d)", lambda m: "minus "),
        (
            rf"([{''.join(_MONEY)}])\s?({_NUMBER})\s?[-–]\s?[{''.join(_MONEY)}]?({_NUMBER})"
            r"(?:\s?(thousand|million|billion|trillion|k|m|bn|b|tn)\b)?(?![-\d])",
            lambda m: f"{_cardinal_or_decimal(m[2])} to {_amount(m[1], m[3], m[4] or '')}",
        ),
        (rf"{_ALONE}({_NUMBER})\s?[-–]\s?(?={_NUMBER}\s?(?:[%°]|(?:{units})\b))", lambda m: f"{m[1]} to "),
        (r"(?<=[%°])([CF]?)\s?[-–]\s?(?=\d)", lambda m: f"{m[1]} to "),
        (r"\b(\d{1,3}):([0-5]\d):([0-5]\d)(?:\s?([ap])(?:m\b|\.\s?m\.?))?(?![:\d])", _time_with_seconds),
        (rf"(?:({_NUMBER})\s?)?([{''.join(_VULGAR)}])", _vulgar),
        (rf"{_ALONE}(\d+)[ -]({'|'.join(_FRACTIONS)})(?![\w/])", lambda m: f"{_number(m[1])} and {_FRACTIONS[m[2]]}"),
        (rf"([{''.join(_MONEY)}])\s?({_NUMBER})(?:\s?(thousand|million|billion|trillion|k|m|bn|b|tn)\b)?", _money),
        (rf"{_ALONE}({_NUMBER})\s?([€£])", lambda m: _amount(m[2], m[1], "")),
        (r"(?<=\d)\s?[-–]\s?(?=\d\d?:\d\d)", lambda m: " to "),
        (r"\b([01]?\d|2[0-3]):([0-5]\d)(?:\s?([ap])(?:m\b|\.\s?m\.?))?", _time),
        (r"(?<![\w:.])(\d+):([0-5]\d)(?![\d:])", _minutes),
        (r"(?<![\w:.])(\d+):(?=\d+(?![\d:]))", lambda m: f"{m[1]} to "),
        (r"\b(1[0-2]|0?[1-9])\s?([ap])(?:m\b|\.\s?m\.?)", lambda m: f"{_cardinal(m[1])} {m[2]} m"),
        (r"\b((?:19|20)\d\d)-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])\b", _date),
        (r"(?<!\w)\+?\d{1,4}(?:[- .]\(?\d{2,4}\)?)?[- .]\d{3}[- .]\d{4}\b", _telephone),
        (r"(?<![\w-])\d{3}-\d{4}\b", _telephone),
        (r"\b(\d+)(?:st|nd|rd|th)\b", lambda m: _ordinal(m[1])),
        (r"(?<!\w)'?((?:1[1-9]|20)?\d0)'?s\b", lambda m: _plural(_whole(m[1]))),
        (rf"({_NUMBER})\s?%", lambda m: f"{_number(m[1])} percent"),
        (rf"({_NUMBER})\s?°\s?(?:([CF])\b)?", _degrees),
        (rf"\b({_NUMBER})\s?({'|'.join(map(re.escape, _SPEEDS))})\b", lambda m: f"{_number(m[1])} {_SPEEDS[m[2]]}"),
        (rf"\b({_NUMBER})\s?({'|'.join(_UNITS)})\b", lambda m: _counted(m[1], _UNITS[m[2]])),
        (rf"(?<![\w/])({'|'.join(_FRACTIONS)})(?![\w/])", lambda m: _FRACTIONS[m[1]]),
        (r"\b24/7\b", lambda m: "twenty-four seven"),
        (rf"{_ALONE}({_NUMBER})(?:[-–]|\s[-–]\s)({_NUMBER})\b(?!-)", lambda m: f"{_number(m[1])} to {_number(m[2])}"),
        (r"\b\d+(?:\.\d+){2,}\b", lambda m: " point ".join(map(_whole, m[0].split(".")))),
        (r"(?<=\w)-(?=\d)", lambda m: " "),
        (rf"(?<=[^\W\d])\.(?=(?:{_DOMAINS})\b)", lambda m: " dot "),
        (r"#\s?(?=\d)", lambda m: "number "),
        (r"(?<!\w)[-−](?=\d)", lambda m: "minus "),
        (_NUMBER, lambda m: f" {_number(m[0])} "),
        (r"(?<!\w)#(?!\w)", lambda m: " hash " if british else " pound "),
        (r"(?<!\w)\*(?!\w)", lambda m: " star "),
        (r"[&@+=%°_]", lambda m: f" {_SYMBOLS[m[0]]} "),
        (rf"[{''.join(_COMPARED)}×÷]", lambda m: f" {(_COMPARED | _OPERATORS)[m[0]]} "),
        # Emoji, arrows and other pictures, with what joins and colours them; not the signs of mathematics.
        ("[\\U0001F000-\\U0001FAFF\u2190-\u21ff\u2300-\u2bff\ufe0e\ufe0f\u200d\u20e3]", lambda m: " "),
        (r"\s+(?=[,.;:!?])", lambda m: ""),
    )
    return tuple((re.compile(pattern), words) for pattern, words in rules)


@functools.cache
def _inflect() -> Any:
    # Loaded when needed: most sentences hold no digit. Its checks of argument types, which recompile each of its
    # functions, would take nearly all of the four seconds that it takes to load; it is given whole numbers only.
    import typeguard

    checked = typeguard.typechecked
    typeguard.typechecked = lambda target: target  # type: ignore[assignment]
    try:
        import inflect
    finally:
        typeguard.typechecked = checked
    return inflect.engine()


def _cardinal(digits: str) -> str:
    return str(_inflect().number_to_words(int(digits), andword="", comma=""))


def _ordinal(digits: str) -> str:
    return str(_inflect().number_to_words(_inflect().ordinal(int(digits)), andword="", comma=""))


def _one_by_one(digits: str) -> str:
    return " ".join(_cardinal(digit) for digit in digits)


def _number(digits: str) -> str:
    """A number with or without commas and decimals."""
    whole, _, decimals = digits.partition(".")
    if "," in whole or decimals:
        words = _cardinal(whole.replace(",", ""))
        return f"{words} point {_one_by_one(decimals)}" if decimals else words
    return _whole(whole)


def _whole(digits: str) -> str:
    """Four digits as the year that they mostly are; codes and long numbers digit by digit."""
    if len(digits) >= _LONG_NUMBER or (digits[0] == "0" and len(digits) > 1):
        return _one_by_one(digits)
    if len(digits) != 4 or not 1100 <= int(digits) <= 2099 or digits[1:3] == "00":
        return _cardinal(digits)
    first, last = digits[:2], digits[2:]
    if last == "00":
        return f"{_cardinal(first)} hundred"
    return f"{_cardinal(first)} {'oh ' if last[0] == '0' else ''}{_cardinal(last)}"


def _money(match: "re.Match[str]") -> str:
    return _amount(match[1], match[2], match[3] or "")


def _amount(sign: str, digits: str, size: str) -> str:
    unit, part = _MONEY[sign]
    if size:
        return f"{_number(digits)} {_SIZES.get(size, size)} {_plural(unit)}"
    whole, _, decimals = digits.replace(",", "").partition(".")
    if len(decimals) != 2 or not part:
        return _counted(digits, unit, cardinal=True)
    parts = [(whole, unit), (decimals, part)]
    said = [_counted(amount, name, cardinal=True) for amount, name in parts if int(amount)]
    return " and ".join(said or [_counted("0", unit, cardinal=True)])


def _counted(digits: str, unit: str, *, cardinal: bool = False) -> str:
    plain = digits.replace(",", "")
    words = _cardinal(plain) if cardinal and "." not in plain else _number(digits)
    return f"{words} {unit if plain in ('1', '01') or unit in _UNCOUNTED else _plural(unit)}"


def _plural(word: str) -> str:
    if word in _PLURALS:
        return _PLURALS[word]
    return f"{word[:-1]}ies" if word.endswith("ty") else f"{word}s"


def _degrees(match: "re.Match[str]") -> str:
    scale = {"C": " Celsius", "F": " Fahrenheit"}.get(match[2] or "", "")
    return f"{_counted(match[1], 'degree')}{scale} "


def _time(match: "re.Match[str]") -> str:
    hour, minute, half = int(match[1]), match[2], match[3]
    after = f" {half.lower()} m" if half else ""
    if minute != "00":
        return f"{_cardinal(match[1])} {'oh ' if minute[0] == '0' else ''}{_cardinal(minute)}{after}"
    return _cardinal(match[1]) + (after or (" o'clock" if 1 <= hour <= 12 else " hundred hours"))


def _time_with_seconds(match: "re.Match[str]") -> str:
    """A time of day where it says so, else how long something took."""
    hours, minutes, seconds, half = match.groups()
    if half:
        clock = f"{_cardinal(hours)} {'oh ' if minutes[0] == '0' else ''}{_cardinal(minutes)}"
        return f"{clock} and {_counted(str(int(seconds)), 'second', cardinal=True)} {half.lower()} m"
    parts = [(hours, "hour"), (minutes, "minute"), (seconds, "second")]
    said = [_counted(str(int(count)), unit, cardinal=True) for count, unit in parts if int(count)]
    return " ".join([*said[:-1], "and", said[-1]]) if len(said) > 1 else (said or ["zero seconds"])[0]


def _minutes(match: "re.Match[str]") -> str:
    parts = [(match[1], "minute"), (match[2], "second")]
    return " and ".join(_counted(str(int(count)), unit, cardinal=True) for count, unit in parts)


def _sum(match: "re.Match[str]") -> str:
    """An equation: each sign between two numbers is an operator."""
    signs = r"(?<=[\d\s=])\s?([-−–+×*÷/=])\s?(?=[-−]?\d)"
    spoken = re.sub(r"^[-−]", "minus ", match[0])
    return re.sub(r"=\s?[-−]", "= minus ", re.sub(signs, lambda m: f" {_OPERATORS[m[1]]} ", spoken)).replace("  ", " ")


def _vulgar(match: "re.Match[str]") -> str:
    part = _VULGAR[match[2]]
    return f"{_number(match[1])} and {part} " if match[1] else f"{part} "


def _cardinal_or_decimal(digits: str) -> str:
    return _number(digits) if "." in digits else _cardinal(digits.replace(",", ""))


def unspoken(spoken: str) -> str:
    """The characters of an English text's spoken form that no rule says and no voice can be trusted to say."""
    return "".join(dict.fromkeys(c for c in spoken if unicodedata.category(c) in _UNSAID and c not in _SAID))


_UNSAID = {"Sm", "Sc", "So", "Nl", "No"}
_SAID = frozenset("|~^`")


def _date(match: "re.Match[str]") -> str:
    return f"{_MONTHS.split()[int(match[2]) - 1]} {_ordinal(match[3])}, {_whole(match[1])}"


def _telephone(match: "re.Match[str]") -> str:
    groups = ", ".join(_one_by_one(group) for group in re.findall(r"\d+", match[0]))
    return f"plus {groups}" if match[0].startswith("+") else groups


def _script(word: str) -> str:
    """Of the word's first letter, as Unicode names it: "Latin", "Cyrillic", "Cjk"."""
    name = unicodedata.name(word[0], "unknown")
    return name.split()[0].partition("-")[0].capitalize()


def _entries() -> Iterator[tuple[str, frozenset[str]]]:
    latin = "en de fr es it pt nl pl cs sk sl hr hu ro sv da nb nn no fi et lv lt tr vi id ms sw ca eu gl cy ga is mt"
    others = {
        "Cyrillic": "ru uk be bg mk kk ky tt",
        "Greek": "el",
        "Hebrew": "he",
        "Arabic": "ar fa ur ps sd",
        "Devanagari": "hi mr ne kok",
        "Bengali": "bn as",
        "Tamil": "ta",
        "Telugu": "te",
        "Kannada": "kn",
        "Malayalam": "ml",
        "Gujarati": "gu",
        "Gurmukhi": "pa",
        "Sinhala": "si",
        "Thai": "th",
        "Georgian": "ka",
        "Armenian": "hy",
        "Ethiopic": "am",
        "Hangul": "ko",
        "Cjk": "zh cmn yue",
    }
    for script, languages in {"Latin": latin, **others}.items():
        yield from ((language, frozenset({script})) for language in languages.split())
    yield "sr", frozenset({"Cyrillic", "Latin"})
    yield "ja", frozenset({"Hiragana", "Katakana", "Cjk"})


_SCRIPTS = dict(_entries())
"""Language -> the scripts it is written in. A language that is not here is not checked."""
