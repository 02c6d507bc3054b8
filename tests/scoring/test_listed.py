"""Errors apart for listed and for other words, by hand and against the undivided count; false alarms an hour."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.scoring.bootstrap import Bootstrap
from asr_tv.scoring.listed import SplitCounts, listed_score, split_errors
from asr_tv.scoring.score import evaluate
from asr_tv.scoring.wer import count_words

TERMS = [("palak", "paneer"), ("naan",)]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts"),
    [
        ("the palak paneer please", "the palak paneer please", SplitCounts(0, 2, 0, 2)),
        ("the palak paneer please", "the pal a paneer please", SplitCounts(1, 2, 1, 2)),  # `a` is inserted
        ("a naan", "a nun", SplitCounts(1, 1, 0, 1)),
        ("a nun", "a naan", SplitCounts(0, 0, 1, 2)),
        ("a cup", "a naan cup", SplitCounts(1, 0, 0, 2)),  # a false alarm
        ("paneer", "", SplitCounts(0, 0, 1, 1)),  # half a term is not listed
        ("", "naan so", SplitCounts(1, 0, 1, 0)),
    ],
)
def test_by_hand(reference: str, hypothesis: str, counts: SplitCounts) -> None:
    assert split_errors(reference, hypothesis, TERMS) == counts


words = st.lists(st.sampled_from(["palak", "paneer", "naan", "so", "a"]), max_size=8).map(" ".join)


@given(words, words)
def test_both_parts_are_the_whole(reference: str, hypothesis: str) -> None:
    parts, whole = split_errors(reference, hypothesis, TERMS), count_words(reference, hypothesis)
    assert parts.listed_errors + parts.other_errors == whole.errors
    assert parts.listed_words + parts.other_words == whole.words


def test_a_set_has_rates_recall_and_false_alarms_an_hour() -> None:
    texts = {"1": ("naan please", "naan please"), "2": ("one cup", "one naan"), "3": ("palak paneer", "pal paneer")}
    manifest = Manifest("m", tuple(Utterance(i, reference) for i, (reference, _) in texts.items()))
    evaluation = evaluate(manifest, {i: heard for i, (_, heard) in texts.items()}, "none")
    score = listed_score(evaluation, ["naan", "palak paneer", "naan"], 1800.0, Bootstrap(200, 0.9, 1))
    assert (score.listed_wer, score.other_wer) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert (score.terms.recall, score.terms.precision) == (0.5, 0.5)
    assert (score.false_alarms, score.false_alarms_per_hour) == (1, 2.0)
    assert score.listed_interval.low <= 1 / 3 <= score.listed_interval.high


def test_no_terms_no_listed_words() -> None:
    manifest = Manifest("m", (Utterance("1", "a b"), Utterance("2", "c")))
    score = listed_score(evaluate(manifest, {"1": "a", "2": "c"}, "none"), [], 0.0, Bootstrap(100, 0.9, 1))
    assert (score.listed_wer, score.other_wer, score.false_alarms_per_hour) == (None, pytest.approx(1 / 3), None)
