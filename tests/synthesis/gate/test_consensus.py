"""Planted clips: what differs from its siblings goes, what the judge mishears everywhere stays."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_tv.config.run import GateConfig
from asr_tv.synthesis.gate.consensus import (
    CLIPPED,
    NO_SPEECH,
    OTHER_WORDS,
    TOO_LONG,
    TOO_SHORT,
    ClipMeasure,
    Verdict,
    choose_clips,
    judge_clips,
)
from asr_tv.synthesis.gate.tempo import letters

CONFIG = GateConfig()
TEXTS = (
    "please leave a message after the tone",
    "press one to listen to your messages",
    "the number you have dialled is not in service",
    "your account balance is low",
    "thank you for calling our office",
    "nobody is available to take your call",
)


def clip(text: str, take: int = 0, heard: str | None = None, tempo: float = 1.0, **changes: object) -> ClipMeasure:
    seconds = 0.06 * (letters(text) + 3) * tempo
    measure = ClipMeasure(f"{text}/{take}", text, "joe", text, text if heard is None else heard, seconds, seconds, 0.0)
    return replace(measure, **changes)  # type: ignore[arg-type]


def corpus(*special: ClipMeasure) -> list[ClipMeasure]:
    """Two good takes of each text, but for the special clips."""
    given_ids = {c.id for c in special}
    good = [clip(t, take, tempo=0.95 + 0.1 * take) for t in TEXTS for take in range(2)]
    return [c for c in good if c.id not in given_ids] + list(special)


def verdict_on(special: ClipMeasure, *others: ClipMeasure, config: GateConfig = CONFIG) -> Verdict:
    return {v.id: v for v in judge_clips(corpus(special, *others), config)}[special.id]


def test_good_clips_are_kept_with_their_numbers():
    verdicts = judge_clips(corpus(), CONFIG)
    assert [v.id for v in verdicts] == [c.id for c in corpus()]
    assert all(v.kept and not v.doubtful and v.cer == 0 and v.excess == 0 for v in verdicts)
    assert all(v.tempo == pytest.approx(1, abs=0.12) for v in verdicts)


def test_a_rare_word_that_every_take_mishears_costs_no_clip():
    rare = "kubernetes ingress flapping"
    takes = [clip(rare, 0, heard="cuban eddies in grass"), clip(rare, 1, heard="cooper net is ingress")]
    verdicts = [verdict_on(takes[0], takes[1]), verdict_on(takes[1], takes[0])]
    assert min(v.cer for v in verdicts) > 0.4
    assert all(v.kept for v in verdicts)


def test_swapped_labels_are_caught_and_their_siblings_stay():
    swapped = [clip(TEXTS[0], 1, heard=TEXTS[1]), clip(TEXTS[1], 1, heard=TEXTS[0])]
    verdicts = {v.id: v for v in judge_clips(corpus(*swapped), CONFIG)}
    assert {v.id for v in verdicts.values() if not v.kept} == {c.id for c in swapped}
    assert verdicts[swapped[0].id].reasons == (OTHER_WORDS,)


def test_a_text_swapped_in_all_its_takes_is_heard_as_another():
    takes = [clip(TEXTS[0], take, heard=TEXTS[1]) for take in range(2)]
    assert [verdict_on(takes[n], takes[1 - n]).reasons for n in range(2)] == [(OTHER_WORDS,)] * 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"speech_seconds": 0.0, "heard": ""}, NO_SPEECH),
        ({"clipped": 0.01}, CLIPPED),
        ({"tempo": 0.5, "heard": "please leave a"}, TOO_SHORT),
        ({"tempo": 2.0, "heard": "please leave a message after the tone"}, TOO_LONG),
    ],
)
def test_each_fault_has_its_reason(change: dict, reason: str):
    verdict = verdict_on(clip(TEXTS[0], 1, **change))
    assert reason in verdict.reasons
    assert not verdict.kept


def test_the_slow_take_is_guilty_when_both_are_heard_well_and_not_its_sibling():
    slow = clip(TEXTS[2], 1, tempo=2.0)
    verdicts = {v.id: v for v in judge_clips(corpus(slow), CONFIG)}
    assert [v.id for v in verdicts.values() if not v.kept] == [slow.id]


def test_a_text_that_lasts_longer_than_its_letters_say_in_every_take_is_kept():
    takes = [clip(TEXTS[3], take, tempo=2.2 + 0.1 * take) for take in range(2)]
    assert all(verdict_on(takes[n], takes[1 - n]).kept for n in range(2))


def test_the_median_of_many_takes_decides_and_one_lucky_take_does_not():
    rare = "xylophone quintet"
    takes = [clip(rare, n, heard=h) for n, h in enumerate((rare, "silo phone", "zile for quint", "silly phone quit"))]
    verdicts = {v.id: v for v in judge_clips(corpus(*takes), CONFIG)}
    assert all(verdicts[t.id].kept for t in takes)


@pytest.mark.parametrize("bad", [{"tempo": 2.0}, {"tempo": 0.5, "heard": "press one"}, {"heard": TEXTS[4]}])
@pytest.mark.parametrize("good", [2, 3, 4])
def test_one_bad_take_of_several_goes_alone(bad: dict, good: int):
    faulty = clip(TEXTS[1], good, **bad)
    takes = [*(clip(TEXTS[1], n, tempo=0.9 + 0.1 * n) for n in range(good)), faulty]
    verdicts = {v.id: v for v in judge_clips(corpus(*takes), CONFIG)}
    assert [name for name, v in verdicts.items() if not v.kept] == [faulty.id]


def test_one_misheard_sound_in_a_short_word_is_no_fault():
    assert verdict_on(clip("from", 0, heard="drum"), clip("from", 1)).kept


def test_a_lone_clip_that_is_misheard_is_doubtful_and_kept_until_another_take_tells():
    lone = clip("seventh", 0, heard="a whole other thing")
    verdict = verdict_on(lone)
    assert verdict.kept
    assert verdict.doubtful
    assert verdict.excess is None
    assert not verdict_on(lone, clip("seventh", 1)).kept


@settings(max_examples=40, deadline=None)
@given(
    heard=st.lists(st.sampled_from([*TEXTS, "", "noise and more"]), min_size=2, max_size=5),
    tempos=st.lists(st.floats(0.3, 3), min_size=5, max_size=5),
)
def test_without_thresholds_only_another_text_heard_is_a_fault(heard: list[str], tempos: list[float]):
    lenient = GateConfig(cer_excess=1e6, tempo_ratio=1e6, lone_tempo_ratio=1e6, clipped_share=1)
    takes = [clip("my very own words here", n, heard=h, tempo=tempos[n]) for n, h in enumerate(heard)]
    verdicts = {v.id: v for v in judge_clips(corpus(*takes), lenient)}
    assert [verdicts[t.id].kept for t in takes] == [h not in TEXTS for h in heard]


def test_the_order_of_the_clips_changes_no_verdict():
    clips = corpus(clip(TEXTS[0], 1, heard=TEXTS[1]), clip(TEXTS[4], 0, tempo=2.0))
    assert set(judge_clips(clips, CONFIG)) == set(judge_clips(clips[::-1], CONFIG))


def judged(name: str, *, kept: bool) -> Verdict:
    return Verdict(name, () if kept else (CLIPPED,), False, 0.0, None, 1.0)


def test_a_retake_stands_in_for_a_rejected_clip_of_its_own_text_only():
    kept = {"a0": True, "a1": False, "b0": True, "b1": True, "a2": True, "a3": True, "b2": True}
    verdicts = {name: judged(name, kept=value) for name, value in kept.items()}
    sentences = {name: name[0] for name in kept}
    planned = frozenset({"a0", "a1", "b0", "b1"})
    assert choose_clips(verdicts, sentences, planned, list(kept)) == ("a0", "b0", "b1", "a2")
