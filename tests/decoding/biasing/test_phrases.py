"""Terms as tokens, variants that may stand for them, and how a variant is written back."""

import pytest

from asr_tv.decoding.biasing.bias import Bias
from asr_tv.decoding.biasing.phrases import Phrase, folded, kept_variants, phrase_tokens, write_back
from asr_tv.decoding.biasing.prompts import MOST_TOKENS, nearest_sentences, tokenised
from asr_tv.decoding.biasing.trie import ROOT, PhraseTrie
from asr_tv.errors import DataError
from asr_tv.testing.whisper import tiny_tokenizer

END = 300


def letters(text: str) -> list[int]:
    return [ord(c) for c in text]


def test_a_term_is_boosted_inside_a_text_capitalised_and_at_its_start() -> None:
    found = phrase_tokens([Phrase("soup", ("soop",)), Phrase("Soup")], letters, END)
    assert sorted(found) == sorted(tuple(map(ord, t)) for t in (" soup", " Soup", "Soup", " soop", " Soop", "Soop"))


def test_a_term_without_tokens_boosts_nothing() -> None:
    assert phrase_tokens([Phrase("x")], lambda _: (), END) == []
    trie = PhraseTrie([], boost=3.0)
    assert trie.bonuses(ROOT) == {}
    assert (trie.step(ROOT, 65), trie.end(ROOT, take_back=False)) == (ROOT, 0.0)


def test_control_tokens_are_refused_all_at_once() -> None:
    with pytest.raises(DataError) as error:
        phrase_tokens([Phrase("ok"), Phrase("Ȁ"), Phrase("a", ("Ȁ",))], letters, END)
    assert [p.split(":")[0] for p in error.value.problems] == ["term 'Ȁ'", "term 'a'"]


def test_variants_that_would_change_other_texts_are_dropped() -> None:
    heard = ["Bruce Ketta.", "bruce ketta", "Bruschetta!", "brewer", "the price of", ""]
    ordinary = [folded("What is the price of that?")]
    kept = kept_variants(heard, "bruschetta", ordinary, known=lambda word: word == "brewer")
    assert kept == ["bruce ketta"]


@pytest.mark.parametrize(
    ("heard", "written"),
    [
        ("A bruce ketta, please.", "A bruschetta, please."),
        ("Bruce Ketta", "bruschetta"),
        ("a bruce  ketta and bruce, ketta", "a bruschetta and bruschetta"),
        ("The bruce kettas", "The bruce kettas"),
        ("my bruce ketta's", "my bruce ketta's"),
        ("unbruce ketta", "unbruce ketta"),
        ("bruce ketta toast", "bruschetta toast"),
        ("", ""),
    ],
)
def test_whole_words_are_written_back(heard: str, written: str) -> None:
    assert write_back(heard, [Phrase("bruschetta", ("bruce ketta",)), Phrase("other")]) == written


def test_the_longest_variant_is_written_back() -> None:
    phrases = [Phrase("X", ("a b",)), Phrase("Y", ("a b c",))]
    assert write_back("a b c a b", phrases) == "Y X"


class TestPrompts:
    tokenizer = tiny_tokenizer()
    end = tokenizer.eos_token_id

    def test_nothing_is_no_prompt(self) -> None:
        assert tokenised(self.tokenizer, " \n", self.end) == ((), "")

    def test_it_begins_with_its_own_token(self) -> None:
        tokens, cut = tokenised(self.tokenizer, "leave a message", self.end)
        assert tokens[0] == self.tokenizer.convert_tokens_to_ids("<|startofprev|>")
        assert (self.tokenizer.decode(tokens[1:]), cut) == (" leave a message", "")

    @pytest.mark.parametrize(("keep", "kept"), [("head", " first"), ("tail", " last")])
    def test_a_list_keeps_its_head_and_a_text_its_tail(self, keep: str, kept: str) -> None:
        text = " ".join(["first", *["message"] * 300, "last"])
        tokens, cut = tokenised(self.tokenizer, text, self.end, keep)  # type: ignore[arg-type]
        assert len(tokens) == 1 + MOST_TOKENS
        assert kept in self.tokenizer.decode(tokens[1:])
        assert ("first" in cut) == (keep == "tail")

    def test_the_nearest_sentence_stands_last(self) -> None:
        sentences = ["press one now", "leave a message", "the number is wrong"]
        (prompt,) = nearest_sentences(["please leaf a massage"], sentences, 2)
        assert prompt.endswith("leave a message")
        assert prompt.count(" ") in (5, 6)


class TestBias:
    def test_what_is_not_used_is_in_no_key(self) -> None:
        assert Bias().options == {}
        assert set(Bias(prompt="a").options) == {"prompt"}
        assert set(Bias(phrases=(Phrase("a"),)).options) == {"terms", "boost"}

    def test_variants_and_strengths_are_in_the_key(self) -> None:
        one, other = Bias(phrases=(Phrase("a"),)), Bias(phrases=(Phrase("a", ("b",)),))
        assert one.options["terms"] != other.options["terms"]
        assert Bias(prompts=(("x", "a"),)).options != Bias(prompts=(("y", "a"),)).options

    def test_what_makes_no_sense(self) -> None:
        with pytest.raises(ValueError, match="one prompt"):
            Bias(prompt="a", prompts=(("x", "a"),))
        with pytest.raises(ValueError, match="go with an n-gram"):
            Bias(beta=0.5)
