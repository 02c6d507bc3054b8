"""Scores do not depend on how a letter is typed, and words are what the language's speakers take for words."""

import unicodedata

import pytest
from commands import Command, write_rows
from hypothesis import given
from hypothesis import strategies as st

from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.scoring.score import evaluate
from asr_tv.text.normalize import NAMES, get_normalizer
from asr_tv.text.scripts import is_unspaced, pieces_of
from asr_tv.text.writing.terms import finder

WORDS = ["don't", "can't", "it's", "café", "déjà", "naïve", "Łódź", "Straße", "über", "ñandú", "résumé", "o'clock"]


@pytest.mark.parametrize("name", NAMES)
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1),
    apostrophe=st.sampled_from("’ʼ＇‘‛"),
    form=st.sampled_from(["NFC", "NFD"]),
)
def test_typographic_apostrophes_and_unicode_forms_are_equal(name, words, apostrophe, form):
    text = " ".join(words)
    typed = unicodedata.normalize(form, text.replace("'", apostrophe))
    assert get_normalizer(name)(typed) == get_normalizer(name)(text)
    assert get_normalizer(name)(f"\ufeff{typed}\u200b\u00ad") == get_normalizer(name)(text)


@pytest.mark.parametrize(
    "sentence",
    [
        "प्राचीन संस्कृतियों और जनजातियों",
        "বাংলা ভাষায় কথা বলি",
        "தமிழ் மொழியில் பேசுகிறோம்",
        "తెలుగు భాషలో మాట్లాడండి",
        "ਪੰਜਾਬੀ ਵਿੱਚ ਗੱਲ ਕਰੋ",
        "മലയാളം സംസാരിക്കുന്നു ഞാൻ",
        "ಕನ್ನಡ ಭಾಷೆಯಲ್ಲಿ ಮಾತನಾಡಿ",
        "සිංහල භාෂාව කතා කරනවා",
    ],
)
def test_marks_of_brahmic_scripts_are_no_word_ends(sentence):
    assert get_normalizer("basic")(f"{sentence}.").split() == sentence.split()


@pytest.mark.parametrize("text", ["我想要一份麻婆豆腐", "今日はいい天気ですね", "สวัสดีครับ", "ສະບາຍດີ", "မင်္ဂလာပါ", "សួស្តី"])
def test_languages_without_spaces_are_counted_by_characters(asr_tv: Command, tmp_path, text):
    assert is_unspaced(text)
    wrong = text[1:]
    reference = Manifest("m", (Utterance("a", text),))
    scored = evaluate(reference, {"a": wrong}, "characters")
    assert scored.word_counts == scored.character_counts
    assert 0 < scored.wer < 1
    write_rows(tmp_path / "ref.jsonl", {"id": "a", "text": text})
    write_rows(tmp_path / "hyp.jsonl", {"id": "a", "text": wrong})
    by_words = asr_tv("score", "ref.jsonl", "hyp.jsonl", "--normalizer", "basic").out
    assert by_words.startswith("CER ")
    assert "stretches between spaces, which are no words: use --normalizer characters" in by_words
    assert "WER" not in asr_tv("score", "ref.jsonl", "hyp.jsonl", "--normalizer", "characters").out


def test_languages_with_spaces_keep_their_words():
    assert pieces_of("one two-three, 한국어 문장") == ["one", "two-three,", "한국어", "문장"]
    assert not is_unspaced("한국어 문장입니다")
    assert not is_unspaced("")


def test_terms_are_found_inside_text_without_spaces():
    assert finder("麻婆豆腐").search("我想要一份麻婆豆腐。")
    assert not finder("art").search("party")


def test_sentences_without_spaces_are_written(asr_tv: Command, tmp_path):
    (tmp_path / "terms.txt").write_text("麻婆豆腐\n宫保鸡丁\n")
    (tmp_path / "sentences.txt").write_text("我想要一份麻婆豆腐。\n请给我来一个宫保鸡丁。\n")
    done = asr_tv(
        "texts", "terms.txt", "--sentences", "sentences.txt", "--language", "zh", "--out", "out.txt", "--quiet"
    )
    assert done.code == 0
    assert {"我想要一份麻婆豆腐。", "我想要一份宫保鸡丁。"} <= set((tmp_path / "out.txt").read_text().splitlines())
