"""Differing words of several hypotheses: planted answers, and algebra on any texts."""

from hypothesis import given
from hypothesis import strategies as st

from asr_tv.scoring.heard_words import heard_words, same_words

TEXTS = st.lists(st.text(st.sampled_from("ab .,Ä你好-"), max_size=12), min_size=1, max_size=3)


def marked(*texts: str) -> list[list[str]]:
    return [[word.text for word in words if word.differs] for words in heard_words(texts)]


def test_what_differs_is_marked_on_both_sides() -> None:
    assert marked("Press bound to hear", "Press pound, to hear") == [["bound"], ["pound,"]]


def test_case_and_punctuation_do_not_differ() -> None:
    assert marked("Thank you. - Good-bye!", "thank you good-bye") == [[], []]


def test_a_missing_word_is_marked_where_it_stands() -> None:
    assert marked("leave a message", "leave message") == [["a"], []]
    assert marked("leave message", "leave a message") == [[], ["a"]]


def test_the_first_is_marked_where_any_other_differs() -> None:
    assert marked("one two three", "one too three", "one two tree") == [["two", "three"], ["too"], ["tree"]]


def test_characters_are_compared_where_there_are_no_spaces() -> None:
    assert marked("你好吗", "你好嘛") == [["吗"], ["嘛"]]


@given(TEXTS)
def test_every_word_is_kept_and_the_same_text_does_not_differ(texts: list[str]) -> None:
    found = heard_words([*texts, texts[0]])
    assert ["".join(w.text for w in words) for words in found] == ["".join(t.split()) for t in [*texts, texts[0]]]
    assert not any(word.differs for word in found[-1])


@given(TEXTS)
def test_texts_without_a_mark_have_the_same_words(texts: list[str]) -> None:
    a, b = texts[0], texts[-1]
    assert same_words(a, b) == (marked(a, b) == [[], []])


def test_vowel_signs_count() -> None:
    assert not same_words("की", "का")
