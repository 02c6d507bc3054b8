"""Terms found in texts alone: by other texts, by a general list, by the vocabulary."""

from asr_tv.text.domain_terms import domain_terms, rarest_first

TEXTS = [
    "Two garlic naan, please.",
    "A garlic naan and the Rogan Josh.",
    "Rogan Josh for me, please.",
    "please bring the bill",
]
COMMON = {"two", "a", "and", "the", "for", "me", "please", "bring", "bill", "garlic"}


def known(word: str) -> bool:
    return word.lower() in COMMON


def test_by_the_vocabulary_alone() -> None:
    # garlic is known, but never stands without naan; rogan and josh never apart.
    assert domain_terms(TEXTS, known) == ("garlic naan", "Rogan Josh")


def test_a_general_list_knows_ordinary_words_in_pieces_and_domain_words_in_one() -> None:
    general = {"naan": 1e-7, "garlic": 2e-5, "rogan": 1e-4, "josh": 1e-4, "bill": 1e-9}
    found = domain_terms(TEXTS, known, lambda word: general.get(word, 1e-3))
    assert found == ("garlic naan", "bill")  # rogan and josh are in pieces, but ordinary


def test_against_texts_of_ones_own() -> None:
    others = ["please bring the bill for the rogan josh and for me, two"] * 20
    assert domain_terms(TEXTS, known, others=others) == ("garlic naan",)


def test_the_most_frequent_come_first_and_the_rarest_lead_a_prompt() -> None:
    texts = ["naan"] * 3 + ["lassi"] * 5 + ["raita"]
    assert domain_terms(texts, known) == ("lassi", "naan", "raita")
    assert domain_terms(texts, known, most=1) == ("lassi",)
    general = {"naan": 3e-7, "lassi": 2e-7, "raita": 1e-7}
    assert rarest_first(["naan", "lassi", "raita"], known, general.__getitem__) == ("raita", "lassi", "naan")
    assert rarest_first(["bill", "rogan", "rogan josh"], known, None) == ("rogan josh", "rogan", "bill")


def test_no_text_no_term() -> None:
    assert domain_terms([], known) == ()
    assert domain_terms(["12 345 a"], known) == ()
