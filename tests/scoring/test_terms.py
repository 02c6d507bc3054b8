from hypothesis import given
from hypothesis import strategies as st

from asr_tv.scoring.terms import TermCounter, TermCounts, find_terms

words = st.lists(st.sampled_from(["mailbox", "press", "one", "sales", "key", "pound"]), max_size=8).map(" ".join)


SOURCE = ["please hold the line", "the line is open", "press the button for the line", "hold on", "thank you"] * 4


def test_terms_are_frequent_in_the_target_and_rare_in_the_sources():
    target = ["press the pound key", "the mailbox is full", "open the mailbox", "hold the pound"]
    # None of these is in the sources, but to stand once among 14 words is no evidence against 36.
    assert find_terms(target, SOURCE[:10]) == ("mailbox", "pound")
    assert find_terms(target, SOURCE * 3) == ("mailbox", "pound", "full", "key")  # longer sources show more


def test_no_source_or_no_target_gives_no_terms():
    assert find_terms(["mailbox mailbox"], []) == ()
    assert find_terms([], ["mailbox"]) == ()


def test_short_words_and_numbers_are_no_terms():
    assert find_terms(["vm 12 3a of mailbox"] * 9, SOURCE * 5) == ("mailbox",)
    assert find_terms(["留言 ok"] * 9, SOURCE * 5) == ("留言",)


def test_at_most_two_hundred_and_the_most_frequent_first():
    target = [f"word{chr(97 + i // 26)}{chr(97 + i % 26)} " * (1 + (i == 7)) for i in range(400)] * 3
    found = find_terms(target, SOURCE * 400)
    assert len(found) == 200
    assert found[0] == "wordah"


def test_known_counts_of_words_and_phrases():
    counter = TermCounter(["mailbox", "pound key", "pound key"])
    counts = counter.count(
        "press the pound key or open the mailbox mailbox", "press pound keys or the mailbox pound key"
    )
    assert counts == {"mailbox": TermCounts(2, 1, 1), "pound key": TermCounts(1, 1, 0)}
    assert counter.count("nothing here", "at all") == {}
    assert counter.count("the mailbox", "") == {"mailbox": TermCounts(1, 0, 0)}
    assert counter.count("", "the mailbox") == {"mailbox": TermCounts(0, 1, 0)}


def test_a_word_said_elsewhere_is_not_right():
    assert TermCounter(["key"]).count("key one two three", "one two three key") == {"key": TermCounts(1, 1, 0)}


def test_rates_are_undefined_without_occurrences():
    assert (TermCounts().recall, TermCounts().precision) == (None, None)
    total = TermCounts(3, 2, 1) + TermCounts(1, 2, 1)
    assert (total.recall, total.precision) == (0.5, 0.5)


@given(words, words)
def test_right_is_never_more_than_either_side(reference, hypothesis):
    counts = TermCounter(["mailbox", "pound key", "press one for"]).count(reference, hypothesis)
    for term, count in counts.items():
        assert 0 <= count.right <= min(count.expected, count.heard), term


@given(words)
def test_what_is_heard_right_is_all_right(text):
    for count in TermCounter(["mailbox", "one sales"]).count(text, text).values():
        assert count.expected == count.heard == count.right
