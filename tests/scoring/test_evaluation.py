import pytest

from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.errors import DataError
from asr_tv.scoring.evaluation import Conditions, compare, decoding_pairs
from asr_tv.scoring.score import evaluate

HOW = {"resamples": 200, "confidence": 0.95, "seed": 0}
REFERENCE = Manifest("test", tuple(Utterance(f"u{i}", f"say word number {i} please") for i in range(12)))


def scored(change=lambda text: text, reference=REFERENCE, normalizer="none", checkpoint="c1", **decoding):
    hypotheses = {u.id: change(u.text) for u in reference}
    return evaluate(reference, hypotheses, normalizer, checkpoint=checkpoint, decoding=decoding)


def test_counts_are_pooled_over_utterances():
    evaluation = scored(lambda text: text.removesuffix(" please"))
    assert (evaluation.word_counts.deletions, evaluation.word_counts.words, evaluation.wer) == (12, 60, 0.2)
    assert evaluation.sentences == 12
    assert evaluation.interval(**HOW) == (0.2, 0.2)


def test_compare_is_a_minus_b():
    result = compare(scored(checkpoint="a"), scored(lambda text: text + " now"), **HOW)
    assert result.difference == pytest.approx(-0.2)
    assert result.high < 0


def test_checkpoint_and_audio_context_may_differ():
    result = compare(scored(checkpoint="a", audio_context=8.0), scored(checkpoint="b", audio_context="full"), **HOW)
    assert result.difference == 0


def test_every_other_condition_must_be_the_same_and_is_named():
    other = Manifest("other", tuple(Utterance(u.id, u.text, domain="other") for u in REFERENCE))
    with pytest.raises(DataError) as refusal:
        compare(scored(beams=1), scored(reference=other, normalizer="basic", beams=5), **HOW)
    message = str(refusal.value)
    for name in ("beams: 1 and 5", "manifest", "normalizer: 'none' and 'basic'", "normalizer_version"):
        assert f"evaluations differ in {name}" in message


def test_allowed_differences_are_the_caller_s():
    result = compare(scored(engine="a"), scored(engine="b"), may_differ=("engine",), **HOW)
    assert result.p == 1


def test_different_utterances_are_refused_by_id():
    fewer = scored()
    fewer = type(fewer)(fewer.utterances[1:], fewer.conditions)
    with pytest.raises(DataError, match="differ in 1 utterances: 'u0'"):
        compare(scored(), fewer, **HOW)


def test_differences_name_both_values():
    left = Conditions("c", "m", decoding_pairs({"beams": 1}), "none", "1")
    right = Conditions("d", "m", decoding_pairs({"precision": "bf16"}), "none", "1")
    assert left.differences(right) == {"beams": (1, None), "checkpoint": ("c", "d"), "precision": (None, "bf16")}
    assert left.differences(left) == {}
