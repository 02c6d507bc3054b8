import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_tv.config.run import ScoringConfig
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.decoding.hypotheses import read_hypotheses
from asr_tv.errors import DataError
from asr_tv.scoring.score import evaluate, read_evaluation, score_file, write_evaluation
from asr_tv.scoring.wer import ErrorCounts
from asr_tv.text.normalize import NAMES

REFERENCE = Manifest(
    "ref.jsonl",
    (
        Utterance("b", "Press two, please.", domain="menu"),
        Utterance("a", "What's up?", domain="talk"),
        Utterance("c", "?!", domain="talk"),
    ),
)
HEARD = {"a": "what is up", "b": "press too please", "c": "you"}


def test_known_scores_row_by_row():
    evaluation = evaluate(REFERENCE, HEARD, "english", checkpoint="abc", decoding={"beams": 1, "audio_context": 8.0})
    a, b, c = evaluation.utterances
    assert (a.id, a.sentence, a.domain, a.reference) == ("a", "what is up", "talk", "What's up?")
    assert a.word_counts == ErrorCounts(hits=3)
    assert b.sentence == "press 2 please"
    assert b.word_counts == ErrorCounts(hits=2, substitutions=1)
    assert b.hypothesis == "press too please"
    assert c.word_counts == ErrorCounts(insertions=1)
    assert c.character_counts == ErrorCounts(insertions=3)
    assert evaluation.word_counts == ErrorCounts(hits=5, substitutions=1, insertions=1)
    assert evaluation.wer == 2 / 6
    conditions = evaluation.conditions
    assert conditions.decoding == (("audio_context", 8.0), ("beams", 1))
    assert (conditions.checkpoint, conditions.manifest) == ("abc", REFERENCE.digest)
    assert conditions.normalizer == "english"


@pytest.mark.parametrize("normalizer", NAMES)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=3))
def test_a_reference_scores_zero_against_itself(normalizer, texts):
    manifest = Manifest("m", tuple(Utterance(str(i), text) for i, text in enumerate(texts)))
    evaluation = evaluate(manifest, {u.id: u.text for u in manifest}, normalizer)
    assert evaluation.wer == evaluation.cer == 0


def test_ids_must_be_the_same_on_both_sides():
    with pytest.raises(DataError) as refusal:
        evaluate(REFERENCE, {"b": "x", **{f"z{i}": "y" for i in range(7)}}, "none")
    assert refusal.value.problems == (
        "ref.jsonl: no hypothesis for 2 ids: 'a', 'c'",
        "ref.jsonl: hypotheses for unknown 7 ids: 'z0', 'z1', 'z2', 'z3', 'z4', ...",
    )


def test_nothing_to_score():
    with pytest.raises(DataError, match="empty: no utterances to score"):
        evaluate(Manifest("empty", ()), {}, "none")


def test_hypotheses_are_read_by_id(tmp_path):
    path = tmp_path / "hyp.jsonl"
    path.write_text('{"id": "a", "text": "x", "avg_logprob": -0.1}\n\n{"id": "b", "text": ""}\n', encoding="utf-8")
    assert read_hypotheses(path) == {"a": "x", "b": ""}


def test_every_bad_line_is_named(tmp_path):
    path = tmp_path / "hyp.jsonl"
    lines = ['{"id": "a", "text": "x"}', "{", "[]", '{"id": "a", "text": "y"}', '{"id": 3, "text": "x"}', '{"id": "d"}']
    path.write_text("\n".join([*lines, '{"id": "e", "text": "\\ud800"}']), encoding="utf-8")
    with pytest.raises(DataError) as refusal:
        read_hypotheses(path)
    problems = [problem.removeprefix(str(path)) for problem in refusal.value.problems]
    assert [problem.split(":")[1] for problem in problems] == ["2", "3", "4", "5", "6", "7"]
    assert problems[2] == ":4: duplicate id 'a'"
    assert problems[3] == ":5: id is not text"
    assert problems[4] == ":6: text is missing"


def test_a_missing_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jsonl: no such file"):
        read_hypotheses(tmp_path / "gone.jsonl")


def test_the_payload_is_deterministic_and_read_back(tmp_path):
    evaluation = evaluate(REFERENCE, HEARD, "english", checkpoint="abc", decoding={"beams": 1})
    for name, manifest in (("one", REFERENCE), ("two", Manifest("other name", REFERENCE.utterances[::-1]))):
        again = evaluate(manifest, dict(reversed(HEARD.items())), "english", checkpoint="abc", decoding={"beams": 1})
        write_evaluation(again, tmp_path / name)
    assert read_evaluation(tmp_path / "one") == evaluation
    for file in ("evaluation.jsonl", "evaluation.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_line_separators_inside_texts_survive(tmp_path):
    manifest = Manifest("m", (Utterance("a", "one\u2028two\x85three\nfour"),))
    evaluation = evaluate(manifest, {"a": "one\u2028two\x1cthree\r"}, "none")
    write_evaluation(evaluation, tmp_path)
    assert read_evaluation(tmp_path) == evaluation


def test_a_damaged_payload_is_refused(tmp_path):
    evaluation = evaluate(REFERENCE, HEARD, "english")
    write_evaluation(evaluation, tmp_path)
    rows = tmp_path / "evaluation.jsonl"
    lines = rows.read_text().splitlines(keepends=True)
    rows.write_text("".join(lines[1:]))
    with pytest.raises(DataError, match="does not add up"):
        read_evaluation(tmp_path)
    rows.write_text("".join(lines)[:-9])
    with pytest.raises(DataError, match="not an evaluation"):
        read_evaluation(tmp_path)
    with pytest.raises(DataError, match="not an evaluation"):
        read_evaluation(tmp_path / "nowhere")


def test_the_stage_scores_a_file_into_a_folder(tmp_path):
    hypotheses = tmp_path / "hyp.jsonl"
    hypotheses.write_text("".join(json.dumps({"id": k, "text": v}) + "\n" for k, v in HEARD.items()))
    evaluation = score_file(REFERENCE, hypotheses, ScoringConfig(), tmp_path / "out", checkpoint="abc")
    assert evaluation == read_evaluation(tmp_path / "out") == evaluate(REFERENCE, HEARD, "english", checkpoint="abc")


def test_what_version_1_wrote_is_read(tmp_path):
    evaluation = evaluate(REFERENCE, HEARD, "english")
    write_evaluation(evaluation, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "evaluation.jsonl").read_text().splitlines()]
    for row in rows:
        for key in ("heard", "raw_word_counts", "speaker"):
            del row[key]
    (tmp_path / "evaluation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_evaluation(tmp_path) == evaluation
