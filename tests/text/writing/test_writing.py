"""Terms and a few sentences to a corpus: every part with planted answers, and no language model anywhere."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_tv.errors import DataError
from asr_tv.store.results import Store
from asr_tv.text.normalize import get_normalizer
from asr_tv.text.writing.choose import Candidate, _parts, _worth, choose
from asr_tv.text.writing.corpus import Request, write_corpus
from asr_tv.text.writing.filters import Sieve, clean_sentence
from asr_tv.text.writing.prompt import TERMS_PER_REQUEST, prompts, sentences_in
from asr_tv.text.writing.templates import carriers, fill_templates, make_templates
from asr_tv.text.writing.terms import Term, parse_sentences, parse_terms

DISHES = (Term("pad thai", "dish"), Term("tom yum goong", "dish"), Term("khao soi", "dish"))
PLACES = (Term("Sukhumvit", "place"), Term("Chatuchak", "place"))
ENGLISH = get_normalizer("english")


def known(word: str) -> bool:
    return word.casefold() not in {"pad", "thai", "tom", "yum", "goong", "khao", "soi", "sukhumvit", "chatuchak"}


class TestTerms:
    def test_lines_with_and_without_a_slot(self):
        terms = parse_terms("# menu\ndish: pad thai\n\n  massaman   curry\ndish: Pad Thai\n", "t.txt")
        assert terms == (Term("pad thai", "dish"), Term("massaman curry"))

    def test_every_bad_line_is_told(self):
        with pytest.raises(DataError) as error:
            parse_terms("...\nfine\n{dish}\n", "t.txt")
        assert [p.partition(": not")[0] for p in error.value.problems] == ["t.txt:1", "t.txt:3"]
        with pytest.raises(DataError, match="no term"):
            parse_terms("\n# only remarks\n", "t.txt")

    def test_slots_must_have_terms(self):
        assert parse_sentences("I want {dish}.\n\nHi there.\nHi there.", "s", ["dish"]) == (
            "I want {dish}.",
            "Hi there.",
        )
        with pytest.raises(DataError) as error:
            parse_sentences("I want {drink}.\nOK {dish\nfine {dish}", "s", ["dish"])
        assert [p.partition(";")[0] for p in error.value.problems] == [
            "s:1: no term fills {drink}",
            "s:2: braces that are no slot",
        ]


class TestTemplates:
    def test_terms_in_a_sentence_become_slots(self):
        sentences = (
            "Bring pad thai to sukhumvit.",
            "Just a sentence.",
            "A {dish} and pad thai.",
            "Padding thaipad thai",
        )
        templates = make_templates(sentences, DISHES + PLACES)
        assert templates == ("Bring {dish} to {place}.", "A {dish} and pad thai.")

    def test_the_longer_term_is_found_first(self):
        terms = (Term("curry"), Term("massaman curry", "dish"))
        assert make_templates(["The massaman curry or another curry."], terms) == ("The {dish} or another {term}.",)

    def test_a_term_named_as_a_slot_is_not_replaced_in_the_slot(self):
        assert make_templates(["pad thai with dish soap"], (*DISHES, Term("dish"))) == ("{dish} with {term} soap",)

    def test_every_term_is_said_in_every_template_of_one_slot(self):
        made = list(fill_templates(["I want {dish}.", "no {dish} please"], DISHES, 100, seed=0))
        assert sorted(made) == sorted([f"I want {d.text}." for d in DISHES] + [f"No {d.text} please" for d in DISHES])
        assert made == list(fill_templates(["I want {dish}.", "no {dish} please"], DISHES, 100, seed=0))

    def test_two_slots_of_one_kind_get_two_terms(self):
        for sentence in fill_templates(["{dish} or {dish} in {place}"], DISHES + PLACES, 100, seed=1):
            said = [d.text for d in DISHES if d.text in sentence.lower()]
            assert len(said) == 2

    def test_templates_take_turns_within_the_limit(self):
        made = list(fill_templates(["A {dish}", "B {dish}"], DISHES, 4, seed=0))
        assert [sentence[0] for sentence in made] == ["A", "B", "A", "B"]

    def test_only_slots_without_a_place_get_a_carrier(self):
        terms = (*DISHES, Term("ingress"))
        frames = carriers(terms, ["I want {dish}."], "en")
        assert frames
        assert all("{term}" in frame for frame in frames)
        assert carriers(terms, ["I want {dish}."], "xx") == ()


class TestFilters:
    def sieve(self) -> Sieve:
        return Sieve(ENGLISH, lambda s: [t.text for t in DISHES if t.text in s.lower()])

    def test_length_repeats_and_slots(self):
        sieve = self.sieve()
        sieve.exclude(["This is of the test."])
        long = " ".join(["word"] * 26)
        passed = sieve.passing(
            ["Hi you.", "Hello to you.", "hello to you", long, "Fill {dish} in.", "this is of the test"]
        )
        assert passed == ["Hello to you."]
        assert sieve.dropped == {
            "fewer than 3 words": 1,
            "said already": 2,
            "over 25 words": 1,
            "a slot that was not filled": 1,
        }

    def test_near_repeats_go_unless_they_say_other_terms(self):
        sieve = self.sieve()
        sentences = [
            "I would like to order the pad thai with rice for two people this evening",
            "I would like to order the pad thai with rice for two people this evening now",
            "I would like to order the khao soi with rice for two people this evening",
        ]
        assert sieve.passing(sentences) == [sentences[0], sentences[2]]
        assert sieve.dropped == {"nearly said already": 1}

    @pytest.mark.parametrize(
        ("raw", "clean"),
        [
            ('1. "Where is it?"', "Where is it?"),
            ("- one  more\tthing", "one more thing"),
            ("12) go", "12) go".removeprefix("12) ")),
            ("“Quoted”", "Quoted"),
            ("cafe\u0301 a\u200bb", "café a b"),
            ("24 hours a day", "24 hours a day"),
        ],
    )
    def test_cleaning(self, raw: str, clean: str):
        assert clean_sentence(raw) == clean
        assert clean_sentence(clean) == clean

    @settings(max_examples=50, deadline=None)
    @given(st.text(max_size=60))
    def test_cleaning_leaves_single_spaces(self, text: str):
        assert clean_sentence(text) == " ".join(clean_sentence(text).split())


class TestChoice:
    def test_terms_without_a_sentence_come_first_and_rare_ones_before_common_ones(self):
        candidates = [
            Candidate("we say hello again there", (), "template"),
            Candidate("bring the bill over please", ("bill",), "template"),
            Candidate("bring the khao soi please", ("khao soi",), "template"),
            Candidate("bring the khao soi quickly", ("khao soi",), "template"),
        ]
        chosen = choose(candidates, 3, known)
        assert [c.terms for c in chosen] == [("khao soi",), ("bill",), ("khao soi",)]
        assert choose(candidates[::-1], 3, known) == chosen

    def test_the_users_own_sentences_are_never_crowded_out(self):
        own = Candidate("hello", (), "given")
        others = [Candidate(f"the khao soi number {n} is good", ("khao soi",), "template") for n in range(5)]
        assert choose([*others, own], 1, known) == [own]

    def test_lazy_greedy_is_greedy(self):
        candidates = [
            Candidate(f"bring {a.text} to {b.text} {n}", (a.text, b.text), "template")
            for n, (a, b) in enumerate((a, b) for a in DISHES for b in PLACES)
        ]
        said, left, expected = Counter[str](), list(candidates), []
        while left:
            best = min(left, key=lambda c: (-_worth(c, said, known), c.text))
            expected.append(best)
            left.remove(best)
            said.update(_parts(best, known).keys())
        assert choose(candidates, 10, known) == expected


class FixedWriter:
    """A language model that answers with what it is told, and counts how often it is asked."""

    name = "fixed"

    def __init__(self, answer: str) -> None:
        self.text, self.asked = answer, 0

    def answer(self, prompt: str, seed: int) -> str:  # noqa: ARG002 - the protocol's
        self.asked += 1
        self.prompt = prompt
        return self.text


REQUEST = Request(
    "thai takeaway",
    "en",
    (*DISHES, *PLACES, Term("larb gai")),
    ("I would like {dish} please.", "How spicy is it today?"),
    count=12,
    exclude=("I would like pad thai, please!",),
)


class TestCorpus:
    def test_terms_and_sentences_make_a_corpus_without_a_model(self, tmp_path):
        written = write_corpus(REQUEST, ENGLISH, known, store=Store(tmp_path))
        assert written.sentences[0] == "How spicy is it today?"
        assert len(written.sentences) == written.coverage["sentences"] == 12
        assert all(written.coverage["terms"][t] for t in ("khao soi", "Sukhumvit", "larb gai"))
        assert written.coverage["terms_without_a_sentence"] == ["pad thai"], "its only place is a sentence of the test"
        assert written.coverage["sources"] == {"given": 1, "template": 11}
        assert written.coverage["rare_words"]["sukhumvit"] > 0
        assert written == write_corpus(REQUEST, ENGLISH, known, store=Store(tmp_path))

    def test_a_models_sentences_are_sifted_and_its_answers_kept(self, tmp_path):
        writer = FixedWriter(
            "Here you are:\n1. Is the khao soi made fresh?\n2. Short.\n```\nOne pad thai to go please\n"
        )
        store = Store(tmp_path)
        written = [write_corpus(REQUEST, ENGLISH, known, writer=writer, store=store) for _ in range(2)]
        assert written[0] == written[1]
        assert writer.asked == 1
        assert written[0].coverage["sources"]["model"] == 2
        assert written[0].coverage["terms_without_a_sentence"] == []
        assert written[0].coverage["dropped"]["fewer than 3 words"] == 1
        assert "thai takeaway" in writer.prompt
        assert "How spicy is it today?" in writer.prompt
        assert "khao soi" in writer.prompt

    def test_every_term_is_asked_for_once(self):
        terms = [Term(f"term {n}") for n in range(2 * TERMS_PER_REQUEST + 1)]
        asked = list(prompts("d", "en", ["A sentence."], terms))
        assert len(asked) == 3
        assert all(sum(f"{t.text};" in p or f"{t.text}.\n" in p for p in asked) == 1 for t in terms)

    def test_what_is_taken_of_an_answer(self):
        assert sentences_in("Sure:\n\n```\n a b c \n```\nd") == ["a b c", "d"]
