"""Sentences never stand in two splits, and shares are what was asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.data.splits import Shares, split_by_sentence, without_sentences
from asr_tv.errors import DataError


def manifest(rows: list[tuple[str, str]]) -> Manifest:
    return Manifest("m", tuple(Utterance(f"u{i}", text, domain=domain) for i, (domain, text) in enumerate(rows)))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("stuvwxyz")), min_size=30, max_size=60))
def test_recordings_of_a_sentence_share_a_split(rows: list[tuple[str, str]]) -> None:
    rows = rows + [(d, t) for d in "ab" for t in "stuv"]
    split = split_by_sentence(manifest(rows), Shares(0.25, 0.25), str.lower, seed=3)
    by_sentence: dict[tuple[str, str], set[str]] = {}
    for u in split:
        by_sentence.setdefault((u.domain, u.text), set()).add(u.split)
    assert all(len(splits) == 1 for splits in by_sentence.values())
    assert {u.split for u in split if u.domain == "a"} == {"train", "dev", "test"}


def test_shares_are_of_sentences() -> None:
    rows = [("a", f"sentence {i}") for i in range(100)]
    split = split_by_sentence(manifest(rows), Shares(0.2, 0.1), str.lower, seed=0)
    counts = {s: sum(u.split == s for u in split) for s in ("train", "dev", "test")}
    assert counts == {"train": 70, "dev": 20, "test": 10}


def test_case_variants_are_one_sentence_under_a_normalizer() -> None:
    rows = [("a", "Stop"), ("a", "stop"), ("a", "go"), ("a", "wait")]
    split = split_by_sentence(manifest(rows), Shares(0.3, 0.3), str.lower, seed=0)
    assert split.by_id["u0"].split == split.by_id["u1"].split


def test_a_new_domain_moves_no_other_sentence() -> None:
    rows = [("a", f"s{i}") for i in range(20)]
    alone = split_by_sentence(manifest(rows), Shares(0.2, 0.2), str, seed=5)
    joined = split_by_sentence(manifest([*rows, *[("b", f"t{i}") for i in range(9)]]), Shares(0.2, 0.2), str, seed=5)
    assert {u.id: u.split for u in alone} == {u.id: u.split for u in joined if u.domain == "a"}


def test_every_domain_too_small_is_named() -> None:
    with pytest.raises(DataError) as error:
        split_by_sentence(manifest([("a", "one"), ("b", "one"), ("b", "two")]), Shares(0.2, 0.2), str, seed=0)
    assert [p.split(":")[0] for p in error.value.problems] == ["domain a", "domain b"]


def test_shared_sentences_are_left_out_and_listed() -> None:
    kept, dropped = without_sentences(manifest([("a", "Yes"), ("a", "no")]), {"yes"}, str.lower, "asked in the test")
    assert [u.text for u in kept] == ["no"]
    assert [(d.id, d.reason) for d in dropped] == [("u0", "asked in the test")]
