"""A decoding's bias, loaded: what a decoder of either engine needs to search with."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from asr_tv.data.text_files import read_text
from asr_tv.decoding.biasing.arpa import read_arpa
from asr_tv.decoding.biasing.bias import Bias
from asr_tv.decoding.biasing.fusion import Fusion
from asr_tv.decoding.biasing.ngram import Ngram
from asr_tv.decoding.biasing.phrases import phrase_tokens, plain_encoder
from asr_tv.decoding.biasing.trie import PhraseTrie
from asr_tv.models.vocabulary import Tokenizer
from asr_tv.store.payload import INTERNAL_LM, NGRAM


@dataclass(frozen=True)
class Search:
    """How the tokens of a text are found.

    Attributes:
        beams: 1 is greedy.
        internal_lm: the encoder state, shape (1, 1, width), with which the decoder is its own language model.
    """

    beams: int = 1
    fusion: Fusion | None = None
    internal_lm: Tensor | None = None
    gamma: float = 0.0


def load_search(bias: Bias | None, beams: int, tokenizer: Tokenizer, end: int, *, whole_texts: bool) -> Search:
    """Reads the files that a bias names.

    Args:
        end: the end-of-text token, the first that is no text.
        whole_texts: the search rescores texts, or its beams are compared: unfinished phrases lose their score.

    Raises:
        DataError: a phrase that spells a control token, or an n-gram of another vocabulary.
    """
    if bias is None or not (bias.phrases or bias.ngram):
        return Search(beams)
    fusion = Fusion(
        end,
        trie=_trie(bias, tokenizer, end) if bias.phrases else None,
        ngram=load_ngram(bias.ngram.path / NGRAM, tokenizer, end) if bias.ngram else None,
        alpha=bias.alpha,
        beta=bias.beta,
        take_back=whole_texts,
    )
    if bias.internal_lm is None:
        return Search(beams, fusion)
    state = json.loads((bias.internal_lm.path / INTERNAL_LM).read_text(encoding="utf-8"))
    return Search(beams, fusion, torch.tensor(state).reshape(1, 1, -1), bias.gamma)


def _trie(bias: Bias, tokenizer: Tokenizer, end: int) -> PhraseTrie:
    return PhraseTrie(phrase_tokens(bias.phrases, plain_encoder(tokenizer), end), bias.boost)


def spellings(tokenizer: Tokenizer, end: int) -> Sequence[str]:
    """How each text token is spelled in the vocabulary, by id; the words of an ARPA file."""
    spelled: Sequence[str] = tokenizer.convert_ids_to_tokens(list(range(end)))
    return spelled


def load_ngram(path: Path, tokenizer: Tokenizer, end: int) -> Ngram:
    """An ARPA file over a recogniser's tokens.

    Raises:
        DataError: as `read_arpa`.
    """
    return read_arpa(read_text(path), str(path), spellings(tokenizer, end))
