"""Whisper's prompt: text that it takes for what was said before, whose words and style it then prefers."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from asr_tv.decoding.biasing.phrases import plain_encoder, text_tokens

MOST_TOKENS = 448 // 2 - 1
"""Of a prompt: half of the decoder's positions, less one for the token before it."""
PREVIOUS = "<|startofprev|>"


class Prompt(NamedTuple):
    """The tokens of a prompt, its first token included, and the text that there was no room for."""

    tokens: tuple[int, ...]
    cut: str


def tokenised(tokenizer: Any, text: str, end: int, keep: Literal["head", "tail"] = "tail") -> Prompt:
    """A prompt of at most `MOST_TOKENS`; nothing for a blank text.

    A list of terms keeps its head, running text its tail, as in openai-whisper.

    Raises:
        ValueError: the text spells a control token.
    """
    if not text.strip():
        return Prompt((), "")
    tokens = text_tokens(plain_encoder(tokenizer), f" {text.strip()}", end)
    more = len(tokens) - MOST_TOKENS
    kept, cut = tokens, ""
    if more > 0:
        kept = tokens[:MOST_TOKENS] if keep == "head" else tokens[more:]
        cut = tokenizer.decode(tokens[MOST_TOKENS:] if keep == "head" else tokens[:more])
    return Prompt((tokenizer.convert_tokens_to_ids(PREVIOUS), *kept), str(cut).strip())


def nearest_sentences(heard: Sequence[str], sentences: Sequence[str], most: int) -> list[str]:
    """For each text that was heard, a prompt of the sentences most similar to it, the nearest last.

    Similarity is the cosine of character n-grams of 2 to 4 within words, weighted by tf-idf.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4))
    known = vectorizer.fit_transform(sentences)
    similar = (vectorizer.transform(heard) @ known.T).toarray()
    return [" ".join(sentences[i] for i in row.argsort(kind="stable")[-most:]) for row in similar]
