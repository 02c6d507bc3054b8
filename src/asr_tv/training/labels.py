"""What a recogniser is trained to write: Whisper prompt, text and end, a CTC model the characters it knows."""

import unicodedata
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

IGNORED = -100
"""The label that the cross-entropy passes over."""


def token_ids(tokenizer: Any, prompt: Sequence[int], text: str, end: int) -> tuple[int, ...]:
    """The whole sequence of one utterance: the prompt as at inference, the text as written, one end-of-text.

    The leading space is Whisper's own: its transcripts begin with one.
    """
    return (*prompt, *tokenizer.encode(" " + text.strip(), add_special_tokens=False), end)


def collate(sequences: Sequence[Sequence[int]], prompt_length: int, pad: int) -> tuple[Tensor, Tensor]:
    """Decoder inputs and labels of a batch, both of shape (batch, longest - 1).

    Inputs are the sequences without their last token, labels without their first. The prompt is not scored.
    Padding is masked by position and not by id: Whisper pads with end-of-text, and the one real end must stay.
    """
    width = max(map(len, sequences)) - 1
    inputs = torch.full((len(sequences), width), pad)
    labels = torch.full((len(sequences), width), IGNORED)
    for row, sequence in enumerate(sequences):
        length = len(sequence) - 1
        inputs[row, :length] = torch.tensor(sequence[:-1])
        labels[row, prompt_length - 1 : length] = torch.tensor(sequence[prompt_length:])
    return inputs, labels


def character_ids(text: str, characters: Mapping[str, int], delimiter: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Ids of a text for CTC, in the vocabulary's case, with one delimiter between words; and what it cannot write.

    An accent that the vocabulary lacks is left away. Punctuation it lacks parts words, an apostrophe joins them.
    Letters and digits it lacks are the caller's to report: a label without them would teach to leave words out.
    """
    letters = [c for c in characters if c.isalpha()]
    if not any(c.islower() for c in letters):
        text = text.upper()
    elif not any(c.isupper() for c in letters):
        text = text.lower()
    spelled: list[str] = []
    unknown = []
    for character in text.replace("’", "'"):
        known = _known(character, characters, delimiter)
        if known is None:
            unknown.append(character)
        elif known != [delimiter] or (spelled and spelled[-1] != delimiter):
            spelled += known
    if spelled and spelled[-1] == delimiter:
        spelled.pop()
    return tuple(characters[c] for c in spelled), tuple(dict.fromkeys(unknown))


def _known(character: str, characters: Mapping[str, int], delimiter: str) -> list[str] | None:
    if character in characters and character != delimiter:
        return [character]
    if plain := [c for c in unicodedata.normalize("NFKD", character) if c in characters and c != delimiter]:
        return plain
    if character.isalnum():
        return None
    return [] if character == "'" or unicodedata.combining(character) else [delimiter]


def frames_needed(ids: Sequence[int]) -> int:
    """The least frames in which CTC can write these ids: one each, and a blank between equal neighbours."""
    return len(ids) + sum(a == b for a, b in pairwise(ids))
