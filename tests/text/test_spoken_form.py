"""What is said for what is written, and which script it is written in."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asr_tv.text.spoken_form import other_script, spoken_form


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Call me at 7:30 pm.", "Call me at seven thirty p m."),
        ("Meet at 7:05, 12:00 or 19:00.", "Meet at seven oh five, twelve o'clock or nineteen hundred hours."),
        ("It's 7pm, 11 a.m. tomorrow.", "It's seven p m, eleven a m tomorrow."),
        ("10:30-11:30", "ten thirty to eleven thirty"),
        ("on 2026-11-22", "on November twenty-second, twenty twenty-six"),
        ("$5.50, $1 and £3m", "five dollars and fifty cents, one dollar and three million pounds"),
        ("$1.2 billion or 5€", "one point two billion dollars or five euros"),
        ("£0.99, ¥500", "ninety-nine pence, five hundred yen"),
        ("Press 1 for sales, 2 for support.", "Press one for sales, two for support."),
        ("Press # or *.", "Press pound or star."),
        ("#3 is next", "number three is next"),
        ("Call 555-1234.", "Call five five five, one two three four."),
        ("+1 800-555-1234", "plus one, eight zero zero, five five five, one two three four"),
        ("the 21st and 103rd", "the twenty-first and one hundred third"),
        (
            "in 1984, 1905, 1900, 2009 and 2026",
            "in nineteen eighty-four, nineteen oh five, nineteen hundred, two thousand nine and twenty twenty-six",
        ),
        ("in the 1980s", "in the nineteen eighties"),
        ("25% off", "twenty-five percent off"),
        ("21°C, turn 90°", "twenty-one degrees Celsius, turn ninety degrees"),
        ("5 km, 1 kg, 30 mph", "five kilometers, one kilogram, thirty miles an hour"),
        ("1/2 cup, open 24/7", "one half cup, open twenty-four seven"),
        ("5-10 minutes", "five to ten minutes"),
        ("1,234,567 people", "one million two hundred thirty-four thousand five hundred sixty-seven people"),
        ("3.14 -5", "three point one four minus five"),
        ("agent 007, 12345678", "agent zero zero seven, one two three four five six seven eight"),
        ("A4, mp3, covid-19", "A four, mp three, covid nineteen"),
        ("R&D, 1+1=2", "R and D, one plus one equals two"),
        ("me@example.com", "me at example dot com"),
        ("Hello \U0001f600 there \U0001f44d\U0001f3fd!", "Hello there!"),
    ],
)
def test_english_as_people_say_it(written: str, spoken: str):
    assert spoken_form(written, "en-us") == spoken


@pytest.mark.parametrize("text", ["Call  me now. ", "No change, o'clock?", "wi-fi – café “yes”", ""])
def test_a_text_with_nothing_to_say_otherwise_is_itself(text: str):
    assert spoken_form(text, "en") == text


def test_the_voice_decides():
    assert spoken_form("Press #", "en_GB") == "Press hash"
    assert spoken_form("5 Euro", "de") == spoken_form("5 Euro", None) == "5 Euro"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("press 3 or 12 for it, 7.", True),
        ("3D audio & more, press *", True),
        ("at 7 pm", False),
        ("5 km", False),
        ("$5", False),
        ("25%", False),
        ("1984", False),
        ("3.5", False),
        ("hi \U0001f600", False),
    ],
)
def test_an_engine_that_reads_numbers_gets_the_plain_ones_as_they_stand(text: str, left: bool):
    assert (spoken_form(text, "en", reads_numbers=True) == text) is left


@given(st.text(max_size=40))
@example("0\r:")
def test_whatever_stands_there_no_digit_is_left_and_no_second_pass_changes_it(text: str):
    spoken = spoken_form(text, "en")
    assert not any("0" <= character <= "9" for character in spoken)
    assert spoken_form(spoken, "en") == spoken


@pytest.mark.parametrize(
    ("text", "language", "script"),
    [
        ("Привет мир", "en-us", "Cyrillic"),
        ("hello Привет", "en_US", "Cyrillic"),
        ("an α particle", "en", None),
        ("naïve café", "en", None),
        ("hello", "ru", "Latin"),
        ("Привет hello", "ru", None),
        ("東京タワー", "ja", None),
        ("한국어", "en", "Hangul"),
        ("नमस्ते", "hi", None),
        ("Привет", "xx", None),
        ("Привет", None, None),
        ("5", "en", None),
    ],
)
def test_the_script_that_a_voice_cannot_read(text: str, language: str | None, script: str | None):
    assert other_script(text, language) == script
