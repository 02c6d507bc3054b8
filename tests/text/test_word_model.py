"""A word n-gram: probabilities by hand, sums of one, draws that follow them, and its few kilobytes."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_tv.text.word_model import BACKOFF, BEGIN, END, parse_words, train_words

WORDS = st.lists(st.sampled_from("abcde"), min_size=1, max_size=6)


def test_an_order_of_one_knows_no_context() -> None:
    model = train_words([["a", "b"]], 1)
    assert [model.probability(word) for word in ("a", "b", END)] == pytest.approx([1 / 3] * 3)
    assert model.probability("a", ["b"]) == pytest.approx(1 / 3)
    assert model.probability("c") == 0


def test_by_hand() -> None:
    model = train_words([["a", "b"], ["a", "c"]], 2)
    single = {"a": 2 / 6, "b": 1 / 6, "c": 1 / 6, END: 2 / 6}
    assert model.probability("b", ["a"]) == pytest.approx(BACKOFF * 0.5 + (1 - BACKOFF) * single["b"])
    assert model.probability("a", [BEGIN]) == pytest.approx(BACKOFF + (1 - BACKOFF) * single["a"])
    assert model.probability("a", ["never"]) == pytest.approx(single["a"])


@given(st.lists(WORDS, min_size=1, max_size=8), st.integers(1, 4), st.lists(st.sampled_from("abcdez"), max_size=5))
@settings(max_examples=60)
def test_probabilities_add_up_to_one_after_every_context(
    sentences: list[list[str]], order: int, context: list[str]
) -> None:
    model = train_words(sentences, order)
    for history in (context, [BEGIN, *context], []):
        assert sum(model.probability(w, history) for w in model.vocabulary) == pytest.approx(1, abs=1e-9)


@given(st.lists(WORDS, min_size=1, max_size=8), st.integers(1, 4))
@settings(max_examples=40)
def test_what_is_kept_is_the_model(sentences: list[list[str]], order: int) -> None:
    model = train_words(sentences, order)
    back = parse_words(json.loads(json.dumps(model.row())))
    assert back == model
    assert back.draw(np.random.default_rng(1)) == model.draw(np.random.default_rng(1))


def test_draws_are_as_frequent_as_the_model_says() -> None:
    model = train_words([["a", "b"], ["a", "c"], ["b"]], 2)
    random = np.random.default_rng(5)
    first = Counter((model.draw(random) or [END])[0] for _ in range(4000))
    for word in ("a", "b"):
        assert first[word] / 4000 == pytest.approx(model.probability(word, [BEGIN]), abs=0.03)


@pytest.mark.parametrize("row", [None, {}, {"order": 2, "words": ["a"], "grams": [[5, 1]]}, {"order": 1, "words": []}])
def test_what_is_no_model_is_refused(row: object) -> None:
    with pytest.raises(ValueError, match=r"not a text model|no sentence of it ends"):
        parse_words(row)


@pytest.mark.parametrize(("sentences", "order"), [([], 3), ([["a"]], 0), ([[END]], 2)])
def test_what_cannot_be_counted_is_refused(sentences: list[list[str]], order: int) -> None:
    with pytest.raises(ValueError, match=r"no sentence|an order of"):
        train_words(sentences, order)
