"""Domain words heard where nobody said them: planted counts."""

import pytest

from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.questions.unsaid import HeardText, unsaid_rows, unsaid_terms

HOW = Bootstrap(200, 0.95, 1)
TERMS = ("mailbox", "pound key")


def test_what_is_said_is_not_counted_and_a_second_time_is() -> None:
    recordings = [
        HeardText("open the mailbox now", "open the mailbox mailbox now", 2.0),
        HeardText("good morning to you all", "press the pound key", 2.0),
        HeardText("fine", "fine", 1.0),
    ]
    found = unsaid_terms(recordings, TERMS, "1000 words", HOW)
    assert (found.count, found.amount) == (2, pytest.approx(0.010))
    assert found.rate == pytest.approx(200)
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert found.ci_low <= 200 <= found.ci_high


def test_silence_is_counted_by_the_minute() -> None:
    rows = unsaid_rows(
        {"silence": [HeardText("", "the mailbox", 5.0)] * 6, "speech": [HeardText("yes", "", 1)]}, TERMS, HOW
    )
    assert rows["silence"]["unit"] == "minute"
    assert rows["silence"]["rate"] == pytest.approx(12)
    assert rows["silence"]["ci_low"] == pytest.approx(12)
    assert (rows["speech"]["unit"], rows["speech"]["rate"], rows["speech"]["ci_low"]) == ("1000 words", 0, None)


def test_nothing_to_divide_by_gives_no_rate() -> None:
    assert unsaid_terms([], TERMS, "minute", HOW).rate is None
