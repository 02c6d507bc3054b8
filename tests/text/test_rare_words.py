from asr_tv.data.manifest import Utterance
from asr_tv.models.vocabulary import whisper_tokenizer
from asr_tv.synthesis.gate.clip_yield import clip_yield
from asr_tv.synthesis.gate.consensus import CLIPPED, Verdict
from asr_tv.text.rare_words import is_known, rare_words, words


def test_words_are_freed_of_punctuation():
    assert words('"Well," he said - twice (at 9)...') == ("Well", "he", "said", "twice", "at")


def test_a_word_that_whisper_spells_in_pieces_is_rare():
    known = is_known(whisper_tokenizer(51864))
    assert rare_words("Please ask Kubernetes for the massaman curry, Julia.", known) == ("Kubernetes", "massaman")


def test_yield_by_voice_reason_and_rarity():
    def judged(number: int, text: str, voice: str, *reasons: str, planned: bool = True):
        utterance = Utterance(str(number), text, speaker=voice, origin="synthetic")
        return utterance, Verdict(str(number), reasons, False, 0.0, None, 1.0), planned

    clips = [
        judged(0, "common words", "a"),
        judged(1, "common words", "b", CLIPPED),
        judged(2, "odd qwertz", "a"),
        judged(3, "odd qwertz", "b"),
        judged(4, "common words", "b", planned=False),
    ]
    counts = clip_yield(clips, "piper", lambda word: word != "qwertz")
    assert (counts["judged"], counts["retakes"], counts["reasons"]) == (5, 1, {CLIPPED: 1})
    assert counts["voices"]["a"] == {"clips": 2, "kept": 2, "rate": 1.0}
    assert counts["voices"]["b"] == {"clips": 3, "kept": 2, "rate": 0.6667}
    assert counts["rare"] == {"clips": 2, "kept": 2, "rate": 1.0}
    assert counts["common"] == {"clips": 3, "kept": 2, "rate": 0.6667}
    assert clip_yield([], "piper", lambda word: True)["all"] == {"clips": 0, "kept": 0, "rate": None}
