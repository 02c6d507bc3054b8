"""Writes sentences like those of a domain from a word n-gram, and counts how many it only recites."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from asr_tv.errors import DataError
from asr_tv.seeds import generator
from asr_tv.text.scripts import pieces_of
from asr_tv.text.word_model import WordModel, parse_words, train_words
from asr_tv.text.writing.filters import Sieve

_DRAWS_PER_SENTENCE = 50
_DIGITS = 16
"""Of a digest: enough to tell the sentences of a domain apart."""


@dataclass(frozen=True)
class TextModel:
    """All that is kept of a domain's sentences.

    Attributes:
        words: writes sentences like them.
        sentences: their digests, so that what is recited is known without them.
    """

    words: WordModel
    sentences: frozenset[str]

    def text(self) -> str:
        """As JSON."""
        row = self.words.row() | {"sentences": sorted(self.sentences)}
        return json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"


@dataclass(frozen=True)
class WrittenLike:
    """Sentences like a domain's.

    Attributes:
        recited: how many of the distinct sentences that passed the filters are sentences of the domain.
        distinct: how many passed; the sentences are those, without the recited ones where only new ones were asked for.
        dropped: reason -> number of draws.
    """

    sentences: tuple[str, ...]
    recited: int
    distinct: int
    dropped: Mapping[str, int]

    @property
    def verbatim(self) -> float:
        """The share that is recited: what the model gives away, and so the figure for privacy."""
        return self.recited / self.distinct if self.distinct else 0.0

    def row(self) -> dict[str, Any]:
        """For a record or JSON."""
        counts = {"sentences": len(self.sentences), "distinct": self.distinct, "recited": self.recited}
        return {**counts, "verbatim": self.verbatim, "dropped": dict(self.dropped)}


def train_text_model(sentences: Iterable[str], order: int, identity: Callable[[str], str]) -> TextModel:
    """The model of a domain's sentences; each counts once.

    Raises:
        DataError: no sentence.
    """
    distinct = dict.fromkeys(sentences)
    try:
        words = train_words([pieces_of(sentence) for sentence in distinct], order)
    except ValueError as error:
        raise DataError(f"a text model: {error}") from None
    return TextModel(words, frozenset(_digest(identity(sentence)) for sentence in distinct))


def parse_text_model(text: str, where: str) -> TextModel:
    """The model of `TextModel.text`.

    Raises:
        DataError: it is none.
    """
    try:
        row = json.loads(text)
        return TextModel(parse_words(row), frozenset(map(str, row["sentences"])))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{where}: not a text model, as `asr-tv texts --like` keeps them: {error}") from None


def write_like(
    model: TextModel, count: int, seed: int, identity: Callable[[str], str], *, novel: bool = False, domain: str = ""
) -> WrittenLike:
    """At most `count` distinct sentences of suitable length, none nearly like another; the same for the same seed."""
    random = generator("written like", domain, seed)
    sieve = Sieve(identity, lambda _: ())
    sentences: list[str] = []
    distinct = recited = 0
    for _ in range(_DRAWS_PER_SENTENCE * count):
        if len(sentences) == count:
            break
        for sentence in sieve.passing([" ".join(model.words.draw(random))]):
            known = _digest(identity(sentence)) in model.sentences
            distinct, recited = distinct + 1, recited + known
            if not (known and novel):
                sentences.append(sentence)
    return WrittenLike(tuple(sentences), recited, distinct, dict(sorted(sieve.dropped.items())))


def _digest(sentence: str) -> str:
    return hashlib.sha256(sentence.encode()).hexdigest()[:_DIGITS]
