import pytest

from asr_tv.errors import DataError
from asr_tv.models.vocabulary import (
    LANGUAGES_OF,
    is_multilingual,
    language_ids,
    load_tokenizer,
    suppressed_tokens,
    whisper_tokenizer,
)

TEXTS = (
    " Hello, world! It's 1,234 dollars and 50%.",
    "don't we'll I'd they're",
    " Perché no? Così è l'aria, Привет мир 你好 ♪",
    " naïve café\n\n  tabs\tand  spaces ",
    " antidisestablishmentarianism 🎉",
)


@pytest.fixture(scope="module", params=sorted(LANGUAGES_OF))
def saved(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("tokenizer")
    whisper_tokenizer(request.param).save_pretrained(directory)
    return request.param, load_tokenizer(directory)


def openai(vocab_size):
    from whisper.tokenizer import get_tokenizer

    return get_tokenizer(vocab_size > 51864, num_languages=LANGUAGES_OF[vocab_size])


def test_it_encodes_as_openai_does(saved):
    vocab_size, tokenizer = saved
    theirs = openai(vocab_size)
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert ids == theirs.encode(text)
        assert tokenizer.decode(ids) == text


def test_every_special_token_has_its_published_id(saved):
    vocab_size, tokenizer = saved
    theirs = openai(vocab_size)
    assert len(tokenizer) == vocab_size
    for token in theirs.encoding.special_tokens_set:
        assert tokenizer.convert_tokens_to_ids(token) == theirs.encoding.encode_single_token(token), token
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == (50256 if vocab_size == 51864 else 50257)
    assert tokenizer.all_special_ids[-1] + 1 == theirs.timestamp_begin  # where transformers looks for timestamps


def test_special_tokens_are_skipped_and_timestamps_can_be_shown(saved):
    _, tokenizer = saved
    ids = tokenizer.convert_tokens_to_ids(["<|startoftranscript|>", "<|0.00|>"])
    ids += [*tokenizer.encode(" Hi.", add_special_tokens=False), tokenizer.convert_tokens_to_ids("<|1.20|>")]
    assert tokenizer.decode(ids, skip_special_tokens=True) == " Hi."
    shown = tokenizer.decode(ids, skip_special_tokens=True, decode_with_timestamps=True)
    assert shown == "<|0.00|> Hi.<|1.20|>"


def test_languages(saved):
    vocab_size, tokenizer = saved
    assert is_multilingual(tokenizer) == (vocab_size > 51864)
    languages = language_ids(tokenizer)
    assert len(languages) == LANGUAGES_OF[vocab_size]
    assert languages["<|it|>"] == openai(vocab_size).special_tokens["<|it|>"]
    assert ("<|yue|>" in languages) == (vocab_size == 51866)


def test_suppressed_tokens_are_those_of_the_published_conversions():
    # First and last of the lists that Systran's faster-whisper-tiny.en and -base carry.
    english, multilingual = suppressed_tokens(51864), suppressed_tokens(51865)
    assert english[:5] == multilingual[:5] == [1, 2, 7, 8, 9]
    assert english[-7:] == [49146, 50257, 50357, 50358, 50359, 50360, 50361]
    assert multilingual[-7:] == [50254, 50258, 50358, 50359, 50360, 50361, 50362]
    assert len(english) == 90
    assert len(multilingual) == 88


def test_other_sizes_are_refused():
    for make in (whisper_tokenizer, suppressed_tokens):
        with pytest.raises(DataError, match=r"51863 tokens is not one of Whisper's: \[51864, 51865, 51866\]"):
            make(51863)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": {}}'])
def test_a_tokenizer_that_does_not_load(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(DataError, match="has no tokenizer that loads"):
        load_tokenizer(tmp_path)


def test_a_missing_tokenizer(tmp_path):
    with pytest.raises(DataError, match="has no tokenizer that loads"):
        load_tokenizer(tmp_path)
