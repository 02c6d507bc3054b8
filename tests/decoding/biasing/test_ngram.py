"""Witten-Bell n-grams: a toy model by hand, sums to one, texts token by token and whole, mixtures, ARPA files."""

from collections.abc import Sequence
from itertools import product
from math import exp, isclose, log, log10

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_tv.decoding.biasing.arpa import read_arpa, write_arpa
from asr_tv.decoding.biasing.ngram import BEGIN, END, Ngram, mix, train
from asr_tv.errors import DataError

A, B, C = range(3)
LETTERS = ("a", "b", "c")
texts_of_three = st.lists(st.lists(st.integers(0, 2), max_size=5), min_size=1, max_size=5)


def total(model: Ngram, state: tuple[int, ...]) -> float:
    return sum(exp(model.log_probability(state, token)) for token in (*range(model.vocabulary), END))


def states(model: Ngram) -> list[tuple[int, ...]]:
    """Every state that some text of up to four tokens leads to."""
    found = {model.start}
    for text in product(range(model.vocabulary), repeat=4):
        state = model.start
        for token in text:
            state = model.advance(state, token)
            found.add(state)
    return sorted(found)


class TestByHand:
    """The texts `a b` and `a`: a and the end are each seen twice, b once."""

    model = train([[A, B], [A]], order=2, vocabulary=3)

    def test_single_tokens(self) -> None:
        # Five events of three kinds; a quarter of the mass of three goes to each of a, b, c and the end.
        assert exp(self.model.log_probability((), A)) == pytest.approx((2 + 3 / 4) / 8)
        assert exp(self.model.log_probability((), B)) == pytest.approx((1 + 3 / 4) / 8)
        assert exp(self.model.log_probability((), C)) == pytest.approx((3 / 4) / 8)
        assert exp(self.model.log_probability((), END)) == pytest.approx((2 + 3 / 4) / 8)

    def test_after_a_token(self) -> None:
        # After a: b once, the end once; two kinds.
        assert exp(self.model.log_probability((A,), B)) == pytest.approx((1 + 2 * 1.75 / 8) / 4)
        assert exp(self.model.log_probability((A,), C)) == pytest.approx((2 / 4) * (0.75 / 8))
        assert exp(self.model.log_probability((BEGIN,), A)) == pytest.approx((2 + 1 * 2.75 / 8) / 3)

    def test_whole_text(self) -> None:
        p = (2 + 2.75 / 8) / 3 * (1 + 2 * 1.75 / 8) / 4 * (1 + 1 * 2.75 / 8) / 2
        assert exp(self.model.score([A, B])) == pytest.approx(p)


@given(texts_of_three, st.integers(1, 4))
def test_probabilities_add_up_to_one_in_every_state(texts: list[list[int]], order: int) -> None:
    model = train(texts, order, vocabulary=3)
    for state in states(model):
        assert total(model, state) == pytest.approx(1)


@settings(deadline=None)
@given(texts_of_three, texts_of_three, st.integers(1, 3), st.floats(0, 1))
def test_mixtures_add_up_to_one_and_lie_between(
    first: list[list[int]], second: list[list[int]], order: int, share: float
) -> None:
    a, b = train(first, order, 3), train(second, max(1, order - 1), 3)
    mixed = mix(a, b, share)
    for state in states(mixed):
        assert total(mixed, state) == pytest.approx(1, abs=1e-6)
    for token in (*range(3), END):
        expected = (1 - share) * exp(a.log_probability((), token)) + share * exp(b.log_probability((), token))
        assert exp(mixed.log_probability((), token)) == pytest.approx(expected)


@given(texts_of_three, st.integers(1, 4), st.lists(st.integers(0, 2), max_size=6))
def test_token_by_token_is_the_whole_text(texts: list[list[int]], order: int, asked: Sequence[int]) -> None:
    """The reference looks at the whole text anew for each token."""
    model = train(texts, order, 3)
    padded = [BEGIN, *asked, END]
    whole = 0.0
    for place in range(1, len(padded)):
        context = tuple(padded[max(0, place - order + 1) : place])
        while context and context not in model.backoffs:
            context = context[1:]
        whole += model.log_probability(context, padded[place])
    assert model.score(asked) == pytest.approx(whole)


@given(texts_of_three, st.randoms(use_true_random=False))
def test_the_order_of_sentences_changes_nothing(texts: list[list[int]], random: object) -> None:
    shuffled = list(texts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = train(texts, 3, 3), train(shuffled, 3, 3)
    assert (one.probabilities, one.backoffs, one.rest) == (other.probabilities, other.backoffs, other.rest)


def test_what_no_model_can_be_made_of() -> None:
    with pytest.raises(ValueError, match="no text"):
        train([], 3, 3)
    with pytest.raises(ValueError, match="token 3 is no text token"):
        train([[3]], 3, 3)
    with pytest.raises(ValueError, match="order of 0"):
        train([[A]], 0, 3)
    with pytest.raises(ValueError, match="vocabularies of 3 and 4"):
        mix(train([[A]], 1, 3), train([[A]], 1, 4), 0.5)


class TestArpa:
    model = mix(train([[A, B], [A]], 3, 3), train([[B, B]], 2, 3), 0.1)

    def test_a_file_holds_base_ten_and_the_model_natural_logarithms(self) -> None:
        lines = write_arpa(train([[A, B], [A]], 1, 3), LETTERS).splitlines()
        assert "ngram 1=5" in lines  # a, b, the end; <s> and <unk>
        logarithm = next(line.split("\t")[0] for line in lines if line.split("\t")[1:2] == ["a"])
        assert float(logarithm) == pytest.approx(log10(2.75 / 8), abs=1e-6)
        read = read_arpa("\n".join(lines), "m.arpa", LETTERS)
        assert read.log_probability((), A) == pytest.approx(log(2.75 / 8), abs=1e-6)

    def test_what_is_written_is_read(self) -> None:
        read = read_arpa(write_arpa(self.model, LETTERS), "m.arpa", LETTERS)
        assert states(read) == states(self.model)
        for state in states(self.model):
            assert total(read, state) == pytest.approx(1, abs=1e-5)
            for token in (*range(3), END):
                expected = self.model.log_probability(state, token)
                assert isclose(read.log_probability(state, token), expected, abs_tol=1e-5)

    @pytest.mark.parametrize("cut", [1, 30, 80, 150, 200])
    def test_a_file_cut_short_is_refused(self, cut: int) -> None:
        text = write_arpa(self.model, LETTERS)
        with pytest.raises(DataError, match=r"m\.arpa"):
            read_arpa(text[: len(text) - cut - len("\\end\\")], "m.arpa", LETTERS)

    def test_a_file_in_another_vocabulary_is_refused_once(self) -> None:
        with pytest.raises(DataError) as error:
            read_arpa(write_arpa(self.model, LETTERS), "m.arpa", ("a", "x", "y"))
        assert list(error.value.problems) == [
            "m.arpa: in another vocabulary: 1 of its words are no tokens of this recogniser, such as b"
        ]

    @pytest.mark.parametrize("text", ["", "hello\nworld\n", "\\data\\\n\\end\\\n"])
    def test_another_kind_of_file_is_refused(self, text: str) -> None:
        with pytest.raises(DataError, match="no ARPA file"):
            read_arpa(text, "m.arpa", LETTERS)

    @pytest.mark.parametrize("line", ["x a", "-1", "nan a", "0.5 a", "-1 a -0.1 -0.2", "-inf a"])
    def test_damaged_lines_are_named(self, line: str) -> None:
        text = f"\\data\\\nngram 1=1\n\n\\1-grams:\n{line}\n\n\\end\\\n"
        with pytest.raises(DataError) as error:
            read_arpa(text, "m.arpa", LETTERS)
        assert list(error.value.problems) == [f"m.arpa:5: no 1-gram after a logarithm: {line}"]

    def test_tokens_that_a_file_cannot_hold(self) -> None:
        with pytest.raises(ValueError, match="token 0 is spelled '</s>'"):
            write_arpa(train([[A]], 1, 3), ("</s>", "b", "c"))
