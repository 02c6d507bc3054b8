"""The plan: which clips of which voices, before anything is spoken, and how they are shared out."""

import json
from dataclasses import replace

from asr_tv.config.run import SynthesisConfig
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.synthesis.plan import SpeechPlan, plan_speech
from asr_tv.testing.speech import FakeSynthesizer

VOICES = tuple("abcdef")


def plan(*texts: str, voices: tuple[str, ...] = VOICES, language: str | None = None, **settings) -> SpeechPlan:
    manifest = Manifest("t", tuple(Utterance(f"u{n}", text, origin="text") for n, text in enumerate(texts)))
    engine = FakeSynthesizer(labels=voices, language=language)
    return plan_speech(manifest, {engine.name: engine}, SynthesisConfig(**settings), 7)


def spoken_by(found: SpeechPlan) -> dict[str, list[str]]:
    voices: dict[str, list[str]] = {}
    for clip in found.clips:
        voices.setdefault(clip.text.id, []).append(clip.speaker)
    return voices


def test_voices_are_drawn_by_text_and_seed():
    texts = [f"Sentence {n}." for n in range(200)]
    drawn = spoken_by(plan(*texts, voices_per_text=2, takes=1))
    assert all(len(set(voices)) == 2 for voices in drawn.values())
    counts = [sum(voice in voices for voices in drawn.values()) for voice in VOICES]
    assert all(40 < count < 95 for count in counts)  # 67 each, give or take
    assert spoken_by(plan(*texts[:3], voices_per_text=2, takes=1)) == {f"u{n}": drawn[f"u{n}"] for n in range(3)}


def test_one_more_voice_moves_only_its_share():
    texts = [f"Sentence {n}." for n in range(200)]
    before = spoken_by(plan(*texts, voices_per_text=2, takes=1))
    after = spoken_by(plan(*texts, voices=(*VOICES, "g"), voices_per_text=2, takes=1))
    changed = [text for text in before if before[text] != after[text]]
    assert all("g" in after[text] for text in changed)
    assert 30 < len(changed) < 85


def test_a_sentence_of_two_domains_is_one_job():
    both = Manifest("t", (Utterance("a", "Hello.", domain="x"), Utterance("b", "Hello.", domain="y")))
    found = plan_speech(both, {"fake": FakeSynthesizer()}, SynthesisConfig(takes=1), 7)
    assert (len(found.clips), len(found.jobs)) == (2, 1)


def test_the_label_stays_and_the_row_says_what_is_spoken():
    found = plan("It costs $5.", "Hello.", language="en", takes=1, voices=("a",))
    first, second = (json.loads(line) for line in found.rows.splitlines())
    assert (first["text"], first["written"]) == ("It costs five dollars.", "It costs $5.")
    assert "written" not in second
    assert [clip.text.text for clip in found.clips] == ["It costs $5.", "Hello."]
    assert found.rewritten
    assert not plan("Hello.", language="en").rewritten
    assert not plan("It costs $5.", language="en", spoken_form=False).rewritten
    assert not plan("It costs $5.").rewritten
    assert plan("It costs $5.", language="en").clips[0].job.key != plan("It costs $5.").clips[0].job.key
    assert plan("It costs $5.", **{"language": None}).clips[0].job.request.text == "It costs $5."


def test_a_voice_that_cannot_read_a_script_does_not_speak_it():
    class Mixed(FakeSynthesizer):
        @property
        def voices(self):
            english, russian = super().voices
            return (replace(english, language="en"), replace(russian, language="ru"))

    texts = Manifest("t", (Utterance("e", "Hello there."), Utterance("r", "Привет, мир."), Utterance("n", "5")))
    found = plan_speech(texts, {"fake": Mixed(labels=("en", "ru"))}, SynthesisConfig(takes=2), 7)
    assert spoken_by(found) == {"e": ["en"] * 2, "r": ["ru"] * 2, "n": ["en", "en", "ru", "ru"]}
    assert [(drop.id, drop.reason, drop.clips) for drop in found.drops] == [
        ("e", "holds Latin words, and the voice ru speaks ru", ("e_ru_t0", "e_ru_t1")),
        ("r", "holds Cyrillic words, and the voice en speaks en", ("r_en_t0", "r_en_t1")),
    ]


def test_the_configured_language_is_of_voices_that_do_not_say_theirs():
    texts = Manifest("t", (Utterance("a", "It costs $5."), Utterance("b", "Привет, мир.")))
    found = plan_speech(texts, {"fake": FakeSynthesizer()}, SynthesisConfig(takes=1, language="en"), 7)
    assert [clip.job.request.text for clip in found.clips] == ["It costs five dollars."]
    assert [drop.id for drop in found.drops] == ["b"]
