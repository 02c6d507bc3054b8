"""Long texts in pieces: nothing lost, nothing too long, sentences whole where that can be."""

from hypothesis import given
from hypothesis import strategies as st

from asr_tv.synthesis.engines.sentence_pieces import pieces


def test_a_short_text_is_one_piece():
    assert pieces(" Hello  there. ", 5) == ["Hello there."]
    assert pieces(" ", 5) == []


def test_sentences_stay_whole_and_are_packed():
    text = 'One two. "Three four." Five six! Seven?'
    assert pieces(text, 4) == ['One two. "Three four."', "Five six! Seven?"]


def test_a_long_sentence_is_cut_at_its_clauses_then_between_words():
    assert pieces("one two, three four, five six", 4) == ["one two, three four,", "five six"]
    assert pieces("a b c d e", 2) == ["a b", "c d", "e"]


@given(st.lists(st.sampled_from(["yes", "no.", "and,", "then;", "wait?"]), max_size=60), st.integers(1, 12))
def test_every_word_is_in_one_piece_in_its_order(words: list[str], most: int):
    parts = pieces(" ".join(words), most)
    assert " ".join(parts).split() == words
    assert all(1 <= len(part.split()) <= most for part in parts)
