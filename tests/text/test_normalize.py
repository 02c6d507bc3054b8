import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_tv.errors import ConfigError
from asr_tv.text.normalize import NAMES, get_normalizer


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("english", "What's up, Mr. Smith?", "what is up mister smith"),
        ("english", "the colour of twenty five [noise] theatres", "the color of 25 theaters"),
        ("english", "one oh one", "101"),
        ("basic", "What's up, Mr. Smith?", "what s up mr smith"),
        ("basic", "Ça va? (rires) Привет!", "ça va привет"),
        ("none", "  What's\tup,\n Mr. Smith? ", "What's up, Mr. Smith?"),
        ("english", " ?! ", ""),
        ("english", "five o'clock ...", "50 clock ."),
        ("basic", "?!", ""),
    ],
)
def test_known_values(name, text, expected):
    assert get_normalizer(name)(text) == expected


def test_agrees_with_the_package_s_own_class():
    from whisper.normalizers import EnglishTextNormalizer

    own = EnglishTextNormalizer()
    for text in ("It'd've cost $3.50, wouldn't it?", "two and a half million", "he's gone to the 21st centre"):
        assert get_normalizer("english")(text).split() == own(text).split()


@pytest.mark.parametrize("name", NAMES)
@given(text=st.text(max_size=60))
def test_words_are_separated_by_single_spaces(name, text):
    result = get_normalizer(name)(text)
    assert result == " ".join(result.split())


def test_version_names_the_package_and_is_stable():
    versions = {name: get_normalizer(name).version for name in NAMES}
    assert versions["english"].startswith("openai-whisper-")
    assert len(set(versions.values())) == len(NAMES)
    get_normalizer.cache_clear()
    assert versions == {name: get_normalizer(name).version for name in NAMES}


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown normalizer 'german'; one of english, basic, characters, none"):
        get_normalizer("german")


def test_needs_no_torch():
    code = (
        "import sys; from asr_tv.text.normalize import get_normalizer; get_normalizer('english')('one two'); "
        "import asr_tv.report.build, asr_tv.report.markdown, asr_tv.scoring.score; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
