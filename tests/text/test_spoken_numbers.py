"""Generated times, ranges, sums, money and temperatures are spoken so that they can be read back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_tv.text.spoken_form import _inflect, spoken_form, unspoken

_ENGINE = _inflect()
_WORDS = {str(_ENGINE.number_to_words(n, andword="")): n for n in range(1000)}
small = st.integers(0, 999)
minus = st.sampled_from(["-", "−"])
dash = st.sampled_from(["-", "–"])


def said(text: str) -> str:
    spoken = spoken_form(f"It is {text} today.", "en-us")
    assert spoken.startswith("It is ")
    assert spoken.endswith(" today.")
    return spoken.removeprefix("It is ").removesuffix(" today.")


def number(words: str) -> int:
    return _WORDS[words.strip()]


@given(value=small)
def test_numbers(value: int) -> None:
    assert number(said(str(value))) == value


@given(dollars=st.integers(1, 999), cents=st.integers(1, 99), sign=st.sampled_from(["$", "€"]))
def test_money(dollars: int, cents: int, sign: str) -> None:
    found = re.fullmatch(r"(.+) (?:dollar|euro)s? and (.+) cents?", said(f"{sign}{dollars}.{cents:02}"))
    assert found is not None
    assert (number(found[1]), number(found[2])) == (dollars, cents)


@given(hour=st.integers(1, 12), minute=st.integers(1, 59), half=st.sampled_from(["am", "pm"]))
def test_times_of_day(hour: int, minute: int, half: str) -> None:
    said_hour, _, rest = said(f"{hour}:{minute:02} {half}").partition(" ")
    said_minute, letter, m = rest.rsplit(" ", 2)
    assert (letter + m, number(said_hour)) == (half, hour)
    assert number(said_minute.removeprefix("oh ")) == minute
    assert said_minute.startswith("oh ") == (minute < 10)


@given(hours=st.integers(1, 99), minutes=st.integers(1, 59), seconds=st.integers(1, 59))
def test_lengths_of_time_keep_their_seconds(hours: int, minutes: int, seconds: int) -> None:
    words = said(f"{hours}:{minutes:02}:{seconds:02}").replace("and ", "")
    for unit, expected in (("hour", hours), ("minute", minutes), ("second", seconds)):
        count, _, words = words.partition(f" {unit}")
        words = words.removeprefix("s").strip()
        assert number(count) == expected


@given(low=small, high=small, mark=dash, unit=st.sampled_from(["%", " km", " °C", "°F", " mph", " kg"]))
def test_ranges_with_a_unit_are_said_as_ranges(low: int, high: int, mark: str, unit: str) -> None:
    first, to, rest = said(f"{low}{mark}{high}{unit}").partition(" to ")
    assert to
    assert number(first) == low
    last = rest.rsplit(" ", {"%": 1, " km": 1, " kg": 1, " °C": 2, "°F": 2, " mph": 3}[unit])[0]
    assert number(last) == high


@given(low=small, high=st.integers(2, 999), mark=dash, sign=st.sampled_from("$£€"))
def test_ranges_of_money(low: int, high: int, mark: str, sign: str) -> None:
    for text in (f"{sign}{low}{mark}{high}", f"{sign}{low}{mark}{sign}{high}"):
        first, to, rest = said(text).partition(" to ")
        assert to
        assert (number(first), number(rest.rsplit(" ", 1)[0])) == (low, high)


@given(value=small, mark=minus, unit=st.sampled_from(["%", " °C", "°", " km"]))
def test_a_minus_before_a_number_is_said(value: int, mark: str, unit: str) -> None:
    words = said(f"{mark}{value}{unit}")
    assert words.startswith("minus ")
    assert words.removeprefix("minus ") == said(f"{value}{unit}")


@given(value=st.integers(1, 999), mark=minus, sign=st.sampled_from("$£"))
def test_negative_money(value: int, mark: str, sign: str) -> None:
    expected = f"minus {said(f'{sign}{value}')}"
    assert said(f"{mark}{sign}{value}") == said(f"{sign}{mark}{value}") == expected


OPERATORS = {"-": "minus", "−": "minus", "+": "plus", "×": "times", "÷": "divided by", "/": "divided by"}


@given(
    numbers=st.lists(small, min_size=2, max_size=4),
    marks=st.lists(st.sampled_from(sorted(OPERATORS)), min_size=3, max_size=3),
    result=small,
    space=st.booleans(),
    negative=st.booleans(),
)
def test_equations(numbers: list[int], marks: list[str], result: int, space: bool, negative: bool) -> None:
    pad = " " if space else ""
    text, expected = str(numbers[0]), [numbers[0]]
    for mark, value in zip(marks, numbers[1:], strict=False):
        text += f"{pad}{mark}{pad}{value}"
        expected += [OPERATORS[mark], value]
    text += f"{pad}={pad}{'-' if negative else ''}{result}"
    expected += ["equals", *(["minus"] if negative else []), result]
    words = " ".join(e if isinstance(e, str) else str(_ENGINE.number_to_words(e, andword="")) for e in expected)
    assert said(text) == words


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("1½ miles", "one and one half miles"),
        ("1 3/4 cups", "one and three quarters cups"),
        ("±5%", "plus or minus five percent"),
        ("10:15:30 am", "ten fifteen and thirty seconds a m"),
        ("16:9", "sixteen to nine"),
        ("25:10", "twenty-five minutes and ten seconds"),
        ("3 × 4", "three times four"),
        ("x − y", "x minus y"),
        ("20%-30%", "twenty percent to thirty percent"),
    ],
)
def test_other_signs(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize("text", ["a ∫ b", "5 ₽", "№ Ⅷ", "© 2020", "x → y ∞", "2 km", "Hi \U0001f600"])
def test_what_no_rule_says_is_listed(text: str) -> None:
    left = unspoken(spoken_form(text, "en"))
    assert bool(left) == any(sign in text for sign in "∫₽Ⅷ©∞")
