"""Text made safe, and numbers with their nouns."""

import pytest

from asr_tv.safe_text import counted


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 utterances"), (1, "1 utterance"), (2, "2 utterances"), (538, "538 utterances")]
)
def test_a_noun_has_an_s_unless_there_is_one_of_it(count: int, told: str) -> None:
    assert counted(count, "utterance") == told
