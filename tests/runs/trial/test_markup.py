"""The page's HTML: differing words are marked, and nothing that was said is markup."""

import re

from asr_tv.runs.trial.listeners import SideAnswer
from asr_tv.runs.trial.markup import answer_cards, empty_card, sentence_line, told

HOSTILE = "<script>alert(1)</script> ${alert(2)} \u202e"


def marks(card: str) -> list[str]:
    return re.findall(r"<mark>(.*?)</mark>", card)


def test_each_side_has_its_differing_words_marked() -> None:
    cards = answer_cards(
        [SideAnswer("pretrained", "press bound now", 0.5), SideAnswer("adapted", "Press pound, now.", 0.25)]
    )
    assert [marks(card) for card in cards] == [["bound"], ["pound,"]]
    assert "0.50 s" in cards[0]


def test_a_side_without_an_answer_changes_no_mark() -> None:
    gone, heard = answer_cards([SideAnswer("pretrained", problem="it is gone"), SideAnswer("adapted", "press pound")])
    assert "it is gone" in gone
    assert marks(heard) == []
    assert "it is gone" in empty_card(SideAnswer("pretrained", problem="it is gone"))


def test_no_words_are_said_to_be_none() -> None:
    assert "no words" in answer_cards([SideAnswer("pretrained", "")])[0]


def test_nothing_said_is_markup() -> None:
    shown = [*answer_cards([SideAnswer(HOSTILE, HOSTILE), SideAnswer("b", "x")]), sentence_line(HOSTILE), told(HOSTILE)]
    for html in shown:
        assert "<script" not in html
        assert "\u202e" not in html
