"""The trie against a naive search through all phrases, and its scores by hand."""

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_tv.decoding.biasing.trie import ROOT, PhraseTrie

phrases_of_three = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=1, max_size=6)
texts = st.lists(st.integers(0, 2), max_size=10)


def reached(trie: PhraseTrie, text: list[int]) -> int:
    node = ROOT
    for token in text:
        node = trie.step(node, token)
    return node


def naive(phrases: list[list[int]], text: list[int], boost: float) -> dict[int, float]:
    """Each token that begins a phrase, or continues one that the text ends in the middle of; the longest counts."""
    found: dict[int, float] = {}
    for phrase in phrases:
        for length in range(len(phrase)):
            if length == 0 or text[-length:] == phrase[:length]:
                token, bonus = phrase[length], boost * (1 + log(length + 1))
                found[token] = max(found.get(token, 0.0), bonus)
    return found


@given(phrases_of_three, texts)
def test_bonuses_are_those_of_a_naive_search(phrases: list[list[int]], text: list[int]) -> None:
    trie = PhraseTrie(phrases, boost=0.5)
    assert trie.bonuses(reached(trie, text)) == pytest.approx(naive(phrases, text, 0.5))


def whole(length: int, boost: float = 1.0) -> float:
    return sum(boost * (1 + log(n)) for n in range(1, length + 1))


def summed(trie: PhraseTrie, text: list[int]) -> float:
    node, score = ROOT, 0.0
    for token in text:
        score += trie.change(node, token)
        node = trie.step(node, token)
    return score


class TestTakingBack:
    """Tokens: new 0, york 1, city 2, other words from 3."""

    trie = PhraseTrie([[0, 1], [0, 1, 2, 2], [5, 0, 1, 6]], boost=1.0)

    @pytest.mark.parametrize(
        ("text", "score"),
        [
            ([0], whole(1)),
            ([0, 3], 0.0),
            ([0, 1], whole(2)),
            ([0, 1, 3], whole(2)),
            ([0, 1, 2], whole(3)),
            ([0, 1, 2, 3], whole(2)),  # what was begun is taken back, what was finished is kept
            ([0, 1, 2, 2, 3], whole(4)),
            ([3, 0, 1, 3, 0, 1, 3], 2 * whole(2)),
            ([0, 0, 1, 3], whole(2)),
            ([5, 0, 1], whole(3)),
            ([5, 0, 1, 3], whole(2)),  # the phrase inside the unfinished one is there
            ([5, 0, 1, 2], whole(3)),  # over a fail link into a longer phrase, counted once
            ([5, 0, 1, 6, 3], whole(4)),
        ],
    )
    def test_a_text_has_the_score_of_its_phrases(self, text: list[int], score: float) -> None:
        assert summed(self.trie, text) == pytest.approx(score)

    @given(phrases_of_three, texts)
    def test_a_text_without_a_whole_phrase_ends_with_nothing(self, phrases: list[list[int]], text: list[int]) -> None:
        trie = PhraseTrie(phrases, boost=2.0)
        inside = any(text[i : i + len(p)] == p for p in phrases for i in range(len(text)))
        score = summed(trie, [*text, 9])
        assert (score > 1e-9) == inside
        assert inside or score == pytest.approx(0.0)


def test_ending_is_as_good_as_going_on() -> None:
    trie = PhraseTrie([[0, 1, 2]], boost=2.0)
    begun, done = reached(trie, [0, 1]), reached(trie, [0, 1, 2])
    assert trie.end(ROOT, take_back=False) == pytest.approx(2.0)
    assert trie.end(begun, take_back=False) == pytest.approx(2.0 * (1 + log(3)))
    assert trie.end(begun, take_back=True) == pytest.approx(2.0 * (1 + log(3)) - whole(2, 2.0))
    assert trie.end(done, take_back=True) == pytest.approx(2.0 + 2.0)


def test_no_phrases_no_scores() -> None:
    trie = PhraseTrie([], boost=1.0)
    assert (trie.bonuses(ROOT), trie.step(ROOT, 4), trie.change(ROOT, 4)) == ({}, ROOT, 0.0)
    assert trie.end(ROOT, take_back=True) == 0.0
