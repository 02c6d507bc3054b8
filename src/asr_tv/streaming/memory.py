"""What is remembered of corrections, as a counted list of terms, and of answers, by the sound of their recordings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from asr_tv.audio.recordings import Wave
from asr_tv.scoring.wer import word_alignment

MOST_TERMS = 50


@dataclass(frozen=True)
class MisheardTerm:
    """A word that was misheard: how often, and in which turn last."""

    word: str
    count: int
    last: int


@dataclass(frozen=True)
class TermList:
    """Misheard words; a value, so that a correction gives a new list."""

    terms: tuple[MisheardTerm, ...] = ()

    def after(self, said: str, heard: str, turn: int) -> "TermList":
        """With the words of a correction that were heard wrongly or not at all, both texts normalised."""
        rows = {term.word: term for term in self.terms}
        for word in missed_words(said, heard):
            count = rows[word].count if word in rows else 0
            rows[word] = MisheardTerm(word, count + 1, turn)
        return TermList(tuple(rows.values()))

    @property
    def listed(self) -> tuple[str, ...]:
        """The words to expect: at most `MOST_TERMS`, by count, then the latest."""
        best = sorted(self.terms, key=lambda term: (-term.count, -term.last, term.word))
        return tuple(term.word for term in best[:MOST_TERMS])


def missed_words(said: str, heard: str) -> Iterable[str]:
    """The words of what was said that the alignment marks as substituted or deleted; a lone mark is no word."""
    missed = (step.reference for step in word_alignment(said, heard) if step.op in ("substitution", "deletion"))
    return (word for word in missed if any(map(str.isalnum, word)))


@dataclass
class Answers:
    """Answers by the key of their recording; the nearest are found by an exact search."""

    texts: list[str] = field(default_factory=list)
    keys: list[Wave] = field(default_factory=list)

    def add(self, key: Wave, text: str) -> None:
        self.texts.append(text)
        self.keys.append(key)

    def nearest(self, key: Wave, most: int) -> Sequence[str]:
        """The texts of the most similar recordings by cosine, the nearest last."""
        if not self.texts:
            return ()
        order = np.argsort(np.stack(self.keys) @ key, kind="stable")[-most:]
        return [self.texts[n] for n in order]
