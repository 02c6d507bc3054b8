"""Sentences like those of a domain: reproducible, filtered, and with the share that is only recited."""

import itertools

import pytest

from asr_tv.errors import DataError
from asr_tv.text.normalize import get_normalizer
from asr_tv.text.writing.like import parse_text_model, train_text_model, write_like

ENGLISH = get_normalizer("english")
PLACES = ("the bank", "the garden", "our office", "my sister")
DAYS = ("on Monday", "on Tuesday", "next week", "in the morning")
VERBS = ("walk to", "drive to", "meet at")
TEXTS = [f"Shall we {v} {p} {d}?" for v, p, d in itertools.product(VERBS, PLACES, DAYS)][::2]


def test_the_same_seed_writes_the_same_and_another_something_else() -> None:
    model = train_text_model(TEXTS, 3, ENGLISH)
    first = write_like(model, 12, 1, ENGLISH)
    assert first == write_like(parse_text_model(model.text(), "kept"), 12, 1, ENGLISH)
    assert first.sentences != write_like(model, 12, 2, ENGLISH).sentences
    assert len(first.sentences) == 12
    assert all(3 <= len(sentence.split()) <= 25 for sentence in first.sentences)


def test_a_higher_order_recites_more_and_what_it_recites_is_counted() -> None:
    known = {ENGLISH(text) for text in TEXTS}
    shares = {}
    for order in (2, 6):
        written = write_like(train_text_model(TEXTS, order, ENGLISH), 40, 7, ENGLISH)
        recited = sum(ENGLISH(sentence) in known for sentence in written.sentences)
        assert (written.recited, written.distinct) == (recited, len(written.sentences))
        shares[order] = written.verbatim
    assert shares[2] < shares[6]


def test_only_what_is_new() -> None:
    known = {ENGLISH(text) for text in TEXTS}
    written = write_like(train_text_model(TEXTS, 4, ENGLISH), 10, 7, ENGLISH, novel=True)
    assert written.sentences
    assert written.recited > 0
    assert not {ENGLISH(sentence) for sentence in written.sentences} & known


def test_the_model_holds_no_sentence_but_digests() -> None:
    model = train_text_model(TEXTS, 3, ENGLISH)
    assert not any(text in model.text() for text in TEXTS)
    assert len(model.sentences) == len(TEXTS)
    assert len(model.text()) < 3 * sum(map(len, TEXTS))


@pytest.mark.parametrize("text", ["", "[]", '{"order": 1}', "[" * 10_000])
def test_what_is_no_text_model_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"kept: not a text model"):
        parse_text_model(text, "kept")
