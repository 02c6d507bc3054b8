"""A small set whose every count was made by hand."""

import pytest

from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.errors import DataError
from asr_tv.report.breakdown import breakdowns, length_bin
from asr_tv.report.examples import SHOWN, examples
from asr_tv.scoring.bootstrap import Bootstrap, paired_difference
from asr_tv.scoring.score import evaluate
from asr_tv.scoring.scored_set import ScoredSet
from asr_tv.scoring.terms import TermCounter, TermCounts

HOW = Bootstrap(200, 0.95, 3)
LOOP = "you know what i mean " * 7
TEXTS = {  # id: domain, speaker, reference, pretrained, adapted
    "u1": ("menu", "ann", "Press 1, for the mailbox.", "press one for mail box", "Press 1 for the mailbox."),
    "u2": ("menu", "bob", "Hold the line", "hold the line", "hold line"),
    "u3": ("talk", "ann", "mailbox full", "", "mailbox full"),
    "u4": ("talk", None, "yes", LOOP, "Yes!"),
    "u5": ("talk", "bob", "?!", "", "mailbox"),
}
REFERENCE = Manifest("ref", tuple(Utterance(i, r[2], domain=r[0], speaker=r[1]) for i, r in TEXTS.items()))


def scored(column, **decoding):
    heard = {i: row[column] for i, row in TEXTS.items()}
    return evaluate(REFERENCE, heard, "basic", checkpoint=str(column), decoding=decoding)


BOTH = {"pretrained": scored(3), "adapted": scored(4)}


@pytest.fixture
def pair():
    return ScoredSet(BOTH, HOW, TermCounter(["mailbox"]))


def test_every_count_is_the_known_one(pair):
    pretrained, adapted = (pair.evaluations[name].word_counts for name in ("pretrained", "adapted"))
    # 1 -> one, the -> mail, mailbox -> box; mailbox and full lost; yes -> one of 35 words
    assert (pretrained.hits, pretrained.substitutions, pretrained.deletions, pretrained.insertions) == (5, 4, 2, 34)
    assert (adapted.hits, adapted.substitutions, adapted.deletions, adapted.insertions) == (10, 0, 1, 1)
    assert pretrained.words == adapted.words == 11
    assert pair.evaluations["adapted"].wer == 2 / 11


def test_raw_errors_count_case_and_punctuation():
    raw = BOTH["adapted"].raw_word_counts
    # "1," and "Hold" and "the" and "yes" and "?!" differ as they are written
    assert (raw.words, raw.errors) == (12, 5)
    assert [u.raw_word_counts.errors for u in BOTH["adapted"].utterances] == [1, 2, 0, 1, 1]


def test_loops_and_terms(pair):
    assert (pair.loops("pretrained"), pair.loops("adapted")) == (["u4"], [])
    assert pair.term_counts("pretrained") == {"mailbox": TermCounts(2, 0, 0)}
    assert pair.term_counts("adapted") == {"mailbox": TermCounts(2, 3, 2)}
    assert pair.recall_interval("adapted") == (1.0, 1.0)
    difference = pair.recall_difference("adapted", "pretrained")
    assert (difference.difference, difference.low, difference.high) == (1.0, 0.0, 1.0)  # some draws hold no term


def test_intervals_and_differences_are_the_bootstrap_s(pair):
    columns = [[u.word_counts.errors for u in BOTH[name].utterances] for name in ("adapted", "pretrained")]
    words, clusters = zip(*((u.word_counts.words, u.sentence) for u in BOTH["adapted"].utterances), strict=True)
    expected = paired_difference(*columns, words, clusters, resamples=200, confidence=0.95, seed=3)
    assert pair.difference("adapted", "pretrained") == expected
    assert pair.interval("adapted") == BOTH["adapted"].interval(resamples=200, confidence=0.95, seed=3)
    assert pair.matched_pairs("adapted", "pretrained").segments == 5


def test_groups_add_up(pair):
    parts = {part["dimension"]: part["groups"] for part in breakdowns(pair)}
    assert list(parts) == ["domain", "speaker", "length"]
    assert [g["group"] for g in parts["speaker"]] == ["ann", "bob", "unknown"]
    assert [g["group"] for g in parts["length"]] == ["no words", "1 to 2 words", "3 to 5 words"]
    for groups in parts.values():
        assert sum(g["words"] for g in groups) == 11
        assert sum(g["utterances"] for g in groups) == 5
        assert sum(g["systems"]["adapted"]["errors"] for g in groups) == 2
    menu, talk = parts["domain"]
    assert (menu["systems"]["pretrained"]["wer"], menu["systems"]["adapted"]["wer"]) == (3 / 8, 1 / 8)
    assert talk["differences"]["pretrained"]["difference"] == (1 - 37) / 3
    assert parts["length"][0]["systems"]["adapted"]["wer"] is None  # an insertion over no words


def test_many_speakers_become_thirty_groups():
    rows = tuple(Utterance(f"u{i:02}", "one two three " * (1 + i // 40), speaker=f"s{i:02}") for i in range(50))
    reference = Manifest("ref", rows)
    same = evaluate(reference, {u.id: u.text for u in rows}, "none")
    (part,) = (p for p in breakdowns(ScoredSet({"adapted": same}, HOW, TermCounter(()))) if p["dimension"] == "speaker")
    names = [g["group"] for g in part["groups"]]
    assert len(names) == 30
    assert names[-1] == "all others"
    assert {f"s{i}" for i in range(40, 50)} < set(names)
    assert sum(g["utterances"] for g in part["groups"]) == 50


@pytest.mark.parametrize(
    ("words", "name"), [(0, "no words"), (2, "1 to 2"), (3, "3 to 5"), (20, "11 to 20"), (21, "more")]
)
def test_length_bins(words, name):
    reference = Manifest("ref", (Utterance("u", "word " * words or "?"),))
    (row,) = evaluate(reference, {"u": ""}, "basic").utterances
    assert length_bin(row).startswith(name)


def test_examples_are_those_that_changed_most(pair):
    shown = examples(pair)
    assert (shown["improved"], shown["worsened"], shown["unchanged"]) == (3, 2, 0)
    assert [e["id"] for e in shown["most_improved"]] == ["u4", "u1", "u3"]
    assert [e["id"] for e in shown["most_worsened"]] == ["u2", "u5"]
    first = shown["most_improved"][1]
    assert first["reference"] == "Press 1, for the mailbox."
    assert [s["errors"] for s in first["systems"]] == [3, 0]
    assert ["substitution", "1", "one"] in first["systems"][0]["steps"]


def test_a_long_loop_is_cut_in_the_examples():
    reference = Manifest("ref", (Utterance("u", "yes"),))
    heard = {"pretrained": "no " * 500, "adapted": "yes"}
    loops = {name: evaluate(reference, {"u": text}, "none") for name, text in heard.items()}
    (example,) = examples(ScoredSet(loops, HOW, TermCounter(())))["most_improved"]
    assert len(example["systems"][0]["steps"]) + example["systems"][0]["steps_cut"] == 500


def test_at_most_so_many_examples_and_none_without_both():
    rows = tuple(Utterance(f"u{i:02}", "yes") for i in range(40))
    reference = Manifest("ref", rows)
    wrong, right = (evaluate(reference, {u.id: text for u in rows}, "none") for text in ("no", "yes"))
    shown = examples(ScoredSet({"pretrained": wrong, "adapted": right}, HOW, TermCounter(())))
    assert (len(shown["most_improved"]), shown["improved"]) == (SHOWN, 40)
    assert examples(ScoredSet({"adapted": right}, HOW, TermCounter(()))) is None


def test_sets_under_other_conditions_are_refused():
    with pytest.raises(DataError, match="beams: 5 and None"):
        ScoredSet({"pretrained": BOTH["pretrained"], "adapted": scored(4, beams=5)}, HOW, TermCounter(()))
