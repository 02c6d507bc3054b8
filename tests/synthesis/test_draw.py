"""Which voices speak which text: evenly, each only again when all have spoken, and by the text alone."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from asr_tv.synthesis.draw import by_turns, draw_voices
from asr_tv.synthesis.engines import VoiceInfo
from asr_tv.synthesis.voices import Speaker


def speaker(engine: str, name: str, sex=None, language=None) -> Speaker:
    return Speaker(f"{engine}:{name}", engine, VoiceInfo(name, "1", 16_000, language, sex=sex))


JOE = speaker("piper", "joe")
WOMEN = [speaker("kokoro", f"f{n}", "female", "en-us") for n in range(9)]
MEN = [speaker("kokoro", f"m{n}", "male", "en-us") for n in range(3)]
ALL = sorted([JOE, *WOMEN, *MEN], key=lambda s: s.label)


def takes(count: int) -> range:
    return range(count)


def test_all_voices_speak_every_take_where_no_number_is_given():
    assert draw_voices(ALL, "Hello.", None, takes(2), 7) == [(s, (0, 1)) for s in ALL]


def test_engines_then_sexes_share_the_texts_evenly_however_many_voices_each_has():
    drawn = [draw_voices(ALL, f"Sentence {n}.", 1, takes(1), 7)[0][0] for n in range(600)]
    engines = Counter(s.engine for s in drawn)
    assert abs(engines["piper"] - 300) < 60
    sexes = Counter(s.voice.sex for s in drawn if s.engine == "kokoro")
    assert abs(sexes["female"] - sexes["male"]) < 70


def test_two_voices_of_a_text_are_of_two_engines_and_four_of_both_sexes():
    for n in range(40):
        two = [s.engine for s, _ in draw_voices(ALL, f"Sentence {n}.", 2, takes(1), 7)]
        assert sorted(two) == ["kokoro", "piper"]
        four = Counter((s.engine, s.voice.sex) for s, _ in draw_voices(ALL, f"Sentence {n}.", 4, takes(1), 7))
        assert abs(four["kokoro", "female"] - four["kokoro", "male"]) <= 1


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 13), st.integers(1, 6), st.integers(1, 5), st.text(min_size=1, max_size=9))
def test_no_voice_speaks_a_text_again_while_another_is_free(voices: int, count: int, many: int, text: str):
    drawn = draw_voices(ALL[:voices], text, count, takes(many), 7)
    clips = Counter({s.label: len(own) for s, own in drawn})
    assert sum(clips.values()) == many * min(count, voices)
    assert max(clips.values()) - min(clips.get(s.label, 0) for s in ALL[:voices]) <= 1


def test_a_later_take_goes_on_where_the_planned_ones_ended():
    whole = draw_voices(ALL, "Hello.", 2, takes(3), 7)
    again = draw_voices(ALL, "Hello.", 2, range(2, 3), 7)
    assert {s.label for s, own in whole if 2 in own} == {s.label for s, _ in again}


def test_the_order_of_the_list_and_other_seeds():
    assert by_turns(ALL, "Hello.", 7) == by_turns(ALL[::-1], "Hello.", 7)
    assert sorted(by_turns(ALL, "Hello.", 7), key=lambda s: s.label) == ALL
    assert len({tuple(s.label for s in by_turns(ALL, "Hello.", seed)) for seed in range(5)}) == 5
