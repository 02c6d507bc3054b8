"""`voices: all` and a number, what each engine offers, and voices of another language or licence."""

import sys
from dataclasses import replace
from types import ModuleType

import pytest

from asr_tv.config.run import SynthesisConfig
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.errors import ConfigError
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis import engines as tts
from asr_tv.synthesis.catalogue import all_offers, check_language, spread, with_voices
from asr_tv.synthesis.engines import FETCHED, Offer
from asr_tv.synthesis.engines.licences import check_licences, forbids_commerce, licence_of
from asr_tv.synthesis.synthesize import synthesize, texts_alone
from asr_tv.testing.speech import FakeSynthesizer

OFFERS = [
    Offer("ann", "en-us", "CC0", "female"),
    Offer("bea", "en-us", "CC0", "female"),
    Offer("cid", "en-us", "MIT", "male"),
    Offer("dee", "en-gb", "CC BY-NC 4.0", "female"),
    Offer("eli", "en-gb", "CC0", "male", needs="weights from the hub"),
    Offer("fay", "fr", "CC0", "female"),
    Offer("ANY", None, "CC0", pattern=True),
]


@pytest.fixture(autouse=True)
def choir(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("choir")
    module.offers = lambda: list(OFFERS)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "choir", module)
    monkeypatch.setitem(tts.ENGINES, "choir", tts.SpeechEngine("choir", "Choir", "MIT"))


def config(voices: object, **settings: object) -> SynthesisConfig:
    return SynthesisConfig(**{"engine": "choir", "voices": voices, **settings})


def test_names_stay_as_they_are():
    given = config(["ann"])
    assert with_voices(given, "en") is given


def test_a_number_takes_sexes_and_accents_by_turns_and_one_voice_a_text():
    chosen = with_voices(config(2), "en")
    assert (chosen.voices, chosen.voices_per_text) == (("ann", "cid"), 1)
    assert with_voices(config("all", voices_per_text=2), "en").voices_per_text == 2
    assert with_voices(config("all"), "en").voices == ("ann", "cid", "bea")
    assert with_voices(config("all", allow_noncommercial=True), "en").voices == ("ann", "cid", "dee", "bea")
    assert with_voices(config("all"), "fr").voices == ("fay",)


def test_numbers_of_several_engines():
    chosen = with_voices(config(["choir:1", "piper:en_US-joe-medium"], engine="piper"), "en")
    assert chosen.voices == ("choir:ann", "piper:en_US-joe-medium")


@pytest.mark.parametrize("needs", ["", FETCHED])
def test_what_was_fetched_before_decides_nothing(needs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    offers = [OFFERS[0], replace(OFFERS[2], needs=needs)]
    monkeypatch.setattr(sys.modules["choir"], "offers", lambda: offers)
    assert with_voices(config(2), "en").voices == ("ann", "cid")


def test_more_than_there_are_is_refused_with_what_is_missing():
    with pytest.raises(ConfigError, match=r"choir:4: choir offers 3 voices of en here; others need: weights from"):
        with_voices(config(4), "en")
    with pytest.raises(ConfigError, match="choir offers 0 voices of it"):
        with_voices(config("all"), "it")


def test_spread_keeps_the_order_within_a_group():
    names = [offer.name for offer in spread(OFFERS, 9)]
    assert names.index("ann") < names.index("bea")
    assert len(names) == len(OFFERS)


def test_every_engine_of_the_table_lists_its_voices_with_licences():
    offers = {engine: own for engine, own in all_offers().items() if engine != "fake"}  # of other tests
    assert set(offers) == {*tts.ENGINES} - {"fake"}
    for engine, own in offers.items():
        assert own, engine
        assert all(offer.licence for offer in own)


def test_a_voice_of_another_language_is_refused_and_one_that_says_none_is_not():
    english = FakeSynthesizer(labels=("ann",), language="en-gb")
    check_language({"fake": english}, "en")
    check_language({"fake": FakeSynthesizer()}, "de")
    with pytest.raises(ConfigError, match=r"fake:ann speaks en-gb, and the texts are in it"):
        check_language({"fake": english}, "it")


class Licensed(FakeSynthesizer):
    @property
    def voices(self):
        ann, bob = super().voices
        return replace(ann, licence="CC BY-NC 4.0"), replace(bob, licence="CC0", watermark="Perth")


def test_voices_that_forbid_commercial_use_need_a_word():
    engine = Licensed(labels=("ann", "bob"))
    with pytest.raises(ConfigError) as caught:
        check_licences([engine], allow_noncommercial=False)
    (problem,) = caught.value.problems
    assert "fake:ann" in problem
    assert "CC BY-NC 4.0" in problem
    assert "allow_noncommercial" in problem
    check_licences([engine], allow_noncommercial=True)


@pytest.mark.parametrize(
    ("licence", "forbidden"),
    [
        ("CC BY-NC 4.0", True),
        ("CC-BY-NC-SA", True),
        ("for non-commercial use", True),
        ("research only", True),
        ("CC BY 4.0", False),
        ("Apache-2.0", False),
        ("GPL-3.0, the program's", False),
        ("licence not stated", False),
    ],
)
def test_what_forbids_commercial_use(licence: str, forbidden: bool):
    assert forbids_commerce(licence) is forbidden


def test_the_record_has_every_voice_s_licence_and_watermark(tmp_path):
    texts = texts_alone(Manifest("t", (Utterance("a", "Hello there."),)))
    speech = SynthesisConfig(takes=1)
    record = synthesize(Runtime(Store(tmp_path)), texts, speech, 7, synthesizer=Licensed(labels=("ann", "bob")))
    assert record.details["voice_licences"] == {"ann": "CC BY-NC 4.0", "bob": "CC0; watermarked (Perth)"}
    assert licence_of("kokoro", FakeSynthesizer().voices[0]) == "Apache-2.0"


def test_a_draw_among_voices_has_its_own_key_and_all_voices_keep_theirs(tmp_path):
    texts = texts_alone(Manifest("t", (Utterance("a", "Hello there."),)))

    def identity(**settings):
        engine = FakeSynthesizer(labels=("ann", "bob"))
        made = synthesize(Runtime(Store(tmp_path)), texts, SynthesisConfig(takes=1, **settings), 7, synthesizer=engine)
        return made.key

    assert identity() == identity(allow_noncommercial=True)
    assert identity() != identity(voices_per_text=1)
