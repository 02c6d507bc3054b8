"""A recogniser with a known error model for tests of streams: what it hears is planted in the samples as numbers."""

import os
import random
import signal

import numpy as np

from asr_tv.audio.recordings import Wave
from asr_tv.data.manifest import Manifest, Utterance

CONFUSABLE = ("ate", "bare", "cell", "dye", "fare", "hare", "knew", "mail", "pear", "sale")
TWINS = ("eight", "bear", "sell", "die", "fair", "hair", "new", "male", "pair", "sail")
OTHERS = ("the", "red", "house", "on", "hill", "was", "very", "old", "today", "again")
VOCABULARY = (*CONFUSABLE, *OTHERS)
_HEARD_AS = dict(zip(CONFUSABLE, TWINS, strict=True))


class FakeSound:
    """Hears each confusable word as its twin unless it is a listed term; an echo adds its prompt's last word."""

    def __init__(self, wave: Wave, *, echoes: bool) -> None:
        self._words = [VOCABULARY[int(number)] for number in wave if number >= 0]
        self._echoes = echoes
        self.no_speech = 0.0 if self._words else 1.0

    @property
    def key(self) -> Wave:
        counts = np.array([self._words.count(word) for word in VOCABULARY], dtype=np.float32)
        return counts / max(1.0, float(np.linalg.norm(counts)))

    def text(self, terms: tuple[str, ...] = (), prompt: str = "") -> tuple[str, float]:
        heard = [word if word in terms else _HEARD_AS.get(word, word) for word in self._words]
        return " ".join([*heard, *(prompt.split()[-1:] if self._echoes else ())]), 0.0


class FakeEar:
    """Of a process that may be killed before it hears a given recording, counted from 0."""

    def __init__(self, *, echoes: bool = False, killed_at: int | None = None) -> None:
        self._echoes, self._killed_at, self._heard = echoes, killed_at, 0

    def __call__(self, wave: Wave) -> FakeSound:
        if self._heard == self._killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._heard += 1
        return FakeSound(wave, echoes=self._echoes)


def fake_stream(sentences: int = 100, seed: int = 0) -> Manifest:
    """Sentences of five words with one confusable each, every confusable as often as the others; all distinct."""
    rng = random.Random(seed)  # nosec B311 - a fixture
    rows: dict[str, None] = {}
    while len(rows) < sentences:
        words = [CONFUSABLE[len(rows) % len(CONFUSABLE)], *rng.sample(OTHERS, 4)]
        rng.shuffle(words)
        rows[" ".join(words)] = None
    texts = list(rows)
    rng.shuffle(texts)
    return Manifest("fake stream", tuple(Utterance(f"u{n}", text) for n, text in enumerate(texts)))


def fake_wave(utterance: Utterance) -> Wave:
    """The words of a text as numbers; -1 is silence."""
    return np.array([VOCABULARY.index(word) for word in utterance.text.split()] or [-1], dtype=np.float32)
