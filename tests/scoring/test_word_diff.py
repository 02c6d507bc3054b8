from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_tv.errors import DataError
from asr_tv.scoring.evaluation import Conditions, Evaluation, UtteranceScore
from asr_tv.scoring.wer import count_characters, count_words
from asr_tv.scoring.word_diff import PairedWord, different_conditions, tally, word_diffs

CONDITIONS = Conditions(None, "m", (), "none", "1")


def evaluation(**heard: tuple[str, str]) -> Evaluation:
    """Reference and hypothesis by id."""
    rows = (
        UtteranceScore(name, "d", said, said, found, words, count_characters(said, found), found, words)
        for name, (said, found) in heard.items()
        for words in [count_words(said, found)]
    )
    return Evaluation(tuple(rows), CONDITIONS)


def test_words_stand_beside_the_reference_words_they_were_heard_for() -> None:
    a = evaluation(u=("press one to hang up", "press one hang up now"))
    b = evaluation(u=("press one to hang up", "please press one too hang up"))
    (diff,) = word_diffs(a, b)
    assert diff.columns == (
        PairedWord("", "", "please"),
        PairedWord("press", "press", "press"),
        PairedWord("one", "one", "one"),
        PairedWord("to", "", "too"),
        PairedWord("hang", "hang", "hang"),
        PairedWord("up", "up", "up"),
        PairedWord("", "now", ""),
    )
    assert (diff.errors_a, diff.errors_b, diff.same_words) == (2, 2, False)


def test_the_tally_of_a_hand_made_set() -> None:
    said = "leave a message"
    a = evaluation(x=(said, said), y=(said, "leave message"), z=(said, "leave a message please"), e=("", "you"))
    b = evaluation(x=(said, "leave the message"), y=(said, said), z=(said, said), e=("", "you"))
    found = tally(word_diffs(a, b))
    assert (found.only_a_right, found.only_b_right) == (1, 1)
    assert (found.inserted_a, found.inserted_b) == (2, 1)
    assert (found.better_a, found.better_b, found.same_words) == (1, 2, 1)


WORDS = st.lists(st.sampled_from("abcd"), max_size=6).map(" ".join)


@given(WORDS, WORDS, WORDS)
def test_columns_hold_all_words_of_all_three_and_count_the_errors(said: str, left: str, right: str) -> None:
    (diff,) = word_diffs(evaluation(u=(said, left)), evaluation(u=(said, right)))
    for row, text in enumerate((said, left, right)):
        assert [column[row] for column in diff.columns if column[row]] == text.split()
    assert diff.errors_a == count_words(said, left).errors
    assert diff.errors_b == count_words(said, right).errors
    assert diff.same_words == (left.split() == right.split())


def test_another_normaliser_than_the_scores_is_found_out() -> None:
    scored = evaluation(u=("a b", "a c"))
    changed = replace(scored, utterances=tuple(replace(u, heard="a b") for u in scored.utterances))
    with pytest.raises(DataError, match="u: was scored with another normaliser"):
        word_diffs(scored, changed)


def row(**conditions: object) -> dict[str, object]:
    values = {"checkpoint": "1", "audio_context": "full", "manifest": "m" * 64, "normalizer": "english"}
    return {"role": "target", "split": "test", "conditions": values | conditions}


def test_runs_may_differ_in_their_model_and_its_context_only() -> None:
    assert different_conditions({"a": row(), "b": row(checkpoint="2", audio_context="dynamic")}) == []
    assert different_conditions({"a": row(), "b": row(manifest="n" * 64), "c": row(normalizer="basic")}) == [
        "runs differ in manifest: a 'mmmmmmmmmmmm...', b 'nnnnnnnnnnnn...', c 'mmmmmmmmmmmm...'",
        "runs differ in normalizer: a 'english', b 'english', c 'basic'",
    ]
    assert different_conditions({"a": row(), "b": row(beams=5)}) == ["runs differ in beams: a None, b 5"]
