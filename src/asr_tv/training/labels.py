"""Training labels: prompt, text and end-of-text for Whisper, the characters of its vocabulary for a CTC model."""

import unicodedata
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

IGNORED = -100
"""The label of positions that the loss skips."""


def token_ids(tokenizer: Any, prompt: Sequence[int], text: str, end: int) -> tuple[int, ...]:
    """The sequence of one utterance: the prompt as at inference, the text as written, one end-of-text.

    Whisper's transcripts begin with a space, so the text does.
    """
    return (*prompt, *tokenizer.encode(" " + text.strip(), add_special_tokens=False), end)


def collate(sequences: Sequence[Sequence[int]], prompt_length: int, pad: int) -> tuple[Tensor, Tensor]:
    """Decoder inputs and labels of a batch, both of shape (batch, longest - 1).

    Inputs are the sequences without their last token, labels without their first. The prompt is not scored.
    Padding is masked by position and not by id: Whisper pads with end-of-text, and the real one must be scored.
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
    """Ids of a text for CTC, in the vocabulary's case, with one delimiter between words; and unknown characters.

    Accents that the vocabulary lacks are dropped. Punctuation it lacks separates words, an apostrophe joins them.
    The caller must report unknown letters and digits: a label without them would teach the model to omit words.
    """
    letters = [c for c in characters if c.isalpha()]
    if not any(c.islower() for c in letters):
        text = text.upper()
    elif not any(c.isupper() for c in letters):
        text = text.lower()
    spelled: list[str] = []
    unknown = []
    for character in text.replace("’", "'"):
        spelling = _spell(character, characters, delimiter)
        if spelling is None:
            unknown.append(character)
        elif spelling != [delimiter] or (spelled and spelled[-1] != delimiter):
            spelled += spelling
    if spelled and spelled[-1] == delimiter:
        spelled.pop()
    return tuple(characters[c] for c in spelled), tuple(dict.fromkeys(unknown))


def _spell(character: str, characters: Mapping[str, int], delimiter: str) -> list[str] | None:
    if character in characters and character != delimiter:
        return [character]
    if plain := [c for c in unicodedata.normalize("NFKD", character) if c in characters and c != delimiter]:
        return plain
    if character.isalnum():
        return None
    return [] if character == "'" or unicodedata.combining(character) else [delimiter]


def frames_needed(ids: Sequence[int]) -> int:
    """The fewest frames in which CTC can emit these ids: one each, and a blank between equal neighbours."""
    return len(ids) + sum(a == b for a, b in pairwise(ids))
