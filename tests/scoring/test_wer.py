from math import inf

import jiwer
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from asr_tv.scoring.wer import AlignedWord, ErrorCounts, count_characters, count_words, word_alignment

sentences = st.lists(st.sampled_from(["a", "b", "c", "I", "longer"]), max_size=7).map(" ".join)
counts = st.builds(ErrorCounts, *[st.integers(0, 50)] * 4)


def levenshtein(a, b):
    """Edit distance by the textbook's recurrence."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row, previous = [i], row
        for j, y in enumerate(b, 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (x != y)))
    return row[-1]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("press one for sales", "press one for sales", ErrorCounts(hits=4)),
        ("press one for sales", "press won for sales", ErrorCounts(hits=3, substitutions=1)),
        ("press one for sales", "one for sales now", ErrorCounts(hits=3, deletions=1, insertions=1)),
        ("i", "a", ErrorCounts(substitutions=1)),
        ("", "", ErrorCounts()),
        ("", "two words", ErrorCounts(insertions=2)),
        ("two words", "", ErrorCounts(deletions=2)),
        ("two\twords \n here", " two words  here", ErrorCounts(hits=3)),
    ],
)
def test_known_words(reference, hypothesis, expected):
    assert count_words(reference, hypothesis) == expected


def test_known_characters_count_the_space_between_words():
    assert count_characters("ab cd", "abcd") == ErrorCounts(hits=4, deletions=1)
    assert count_characters("", "ab") == ErrorCounts(insertions=2)
    assert count_characters(" a  b ", "a b") == ErrorCounts(hits=3)


def test_the_rate_is_pooled_and_not_a_mean_of_rates():
    long, short = count_words("a b c d e f g h i", "a b c d e f g h i"), count_words("x", "y")
    assert (long + short).rate == 1 / 10


def test_empty_references():
    assert ErrorCounts().rate == 0.0
    assert ErrorCounts(insertions=2).rate == inf
    assert (ErrorCounts(insertions=2) + ErrorCounts(hits=8)).rate == 0.25


@given(sentences, sentences)
def test_errors_are_the_edit_distance(reference, hypothesis):
    for count, split in ((count_words, str.split), (count_characters, list)):
        result, expected, found = count(reference, hypothesis), split(reference), split(hypothesis)
        assert result.errors == levenshtein(expected, found)
        assert result.words == len(expected)
        assert result.hits + result.substitutions + result.insertions == len(found)


@given(sentences, sentences)
@example("", "")
@example("", "two words")
@example("two words", "")
def test_counts_are_jiwer_s(reference, hypothesis):
    for count, process in ((count_words, jiwer.process_words), (count_characters, jiwer.process_characters)):
        theirs = process(reference, hypothesis)
        ours = (theirs.hits, theirs.substitutions, theirs.deletions, theirs.insertions)
        assert count(reference, hypothesis) == ErrorCounts(*ours)


@given(st.lists(st.tuples(sentences, sentences), min_size=1, max_size=6))
def test_the_pooled_rate_is_jiwer_s(pairs):
    references, hypotheses = map(list, zip(*pairs, strict=True))
    assume(any(references))
    pooled = sum((count_words(*pair) for pair in pairs), ErrorCounts())
    assert pooled.rate == jiwer.wer(references, hypotheses)


@given(sentences)
def test_identical_texts_have_no_error(text):
    assert count_words(text, text).errors == count_characters(text, text).errors == 0


@given(st.lists(counts, max_size=5))
def test_counts_add(rows):
    total = sum(rows, ErrorCounts())
    assert total.errors == sum(row.errors for row in rows)
    assert total.words == sum(row.words for row in rows)


def test_alignment_shows_each_word():
    assert word_alignment("press one for sales", "please press won for") == (
        AlignedWord("insertion", "", "please"),
        AlignedWord("hit", "press", "press"),
        AlignedWord("substitution", "one", "won"),
        AlignedWord("hit", "for", "for"),
        AlignedWord("deletion", "sales", ""),
    )


@given(sentences, sentences)
def test_alignment_restores_both_sides_and_the_counts(reference, hypothesis):
    steps = word_alignment(reference, hypothesis)
    assert " ".join(s.reference for s in steps if s.reference) == reference
    assert " ".join(s.hypothesis for s in steps if s.hypothesis) == hypothesis
    ops = [step.op for step in steps]
    result = count_words(reference, hypothesis)
    assert [ops.count(op) for op in ("hit", "substitution", "deletion", "insertion")] == [
        result.hits,
        result.substitutions,
        result.deletions,
        result.insertions,
    ]
