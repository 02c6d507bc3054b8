"""Questions in pairs: agents whose scores are known beforehand."""

import pytest

from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.questions.yes_no import Answered, Said, ask_all, existence_pairs, from_transcript, order_pairs

HOW = Bootstrap(200, 0.95, 1)
SAID = [
    Said("a", "please transfer the second caller"),
    Said("b", "your mailbox holds seven messages"),
    Said("c", "the conference begins after midnight"),
    Said("d", "please leave your number"),
]
TRANSCRIPTS = {one.recording: one.text for one in SAID}
PAIRS = {"existence": existence_pairs(SAID, 1), "order": order_pairs(SAID, 1)}


@pytest.mark.parametrize("kind", PAIRS)
class TestAgents:
    def test_always_yes_is_at_chance_and_finds_no_no(self, kind: str) -> None:
        found = ask_all(PAIRS[kind], lambda _: True, HOW)
        assert (found.accuracy, found.yes_rate, found.f1_no, found.both_right) == (0.5, 1, 0, 0)

    def test_an_oracle_is_right(self, kind: str) -> None:
        for agent in (lambda question: question.truth, from_transcript(TRANSCRIPTS)):
            found = ask_all(PAIRS[kind], agent, HOW)
            assert (found.accuracy, found.yes_rate, found.f1_no, found.both_right) == (1, 0.5, 1, 1)
            assert found.unanswered == 0

    def test_no_answer_is_wrong(self, kind: str) -> None:
        found = ask_all(PAIRS[kind], lambda _: None, HOW)
        assert (found.accuracy, found.yes_rate, found.f1_no, found.unanswered) == (0, 0, 0, 1)

    def test_silence_says_no_to_existence_and_nothing_to_order(self, kind: str) -> None:
        found = ask_all(PAIRS[kind], from_transcript(dict.fromkeys(TRANSCRIPTS, "")), HOW)
        assert (found.accuracy, found.unanswered) == ((0.5, 0) if kind == "existence" else (0, 1))


def test_an_absent_word_is_of_another_sentence_and_as_frequent() -> None:
    for yes, no in PAIRS["existence"]:
        own = TRANSCRIPTS[yes.recording].split()
        assert (yes.truth, no.truth) == (True, False)
        assert yes.word in own
        assert no.word not in own
        assert any(no.word in text.split() for text in TRANSCRIPTS.values())


def test_at_most_three_pairs_a_recording_and_the_same_every_time() -> None:
    assert PAIRS["existence"] == existence_pairs(list(reversed(SAID)), 1)
    assert max(sum(q.recording == "b" for q, _ in pairs) for pairs in PAIRS.values()) == 3


def test_without_pairs_nothing_is_known() -> None:
    assert ask_all([], lambda _: True, HOW) == Answered(0)
    assert existence_pairs([Said("a", "hello there")], 1) == []
