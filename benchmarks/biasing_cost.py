"""What 200 terms and a 4-gram add to greedy decoding's time, alternating with plain decoding in one run."""

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from asr_tv.data.manifest import Utterance
from asr_tv.decoding.biasing.bias import Bias
from asr_tv.decoding.biasing.phrases import Phrase
from asr_tv.decoding.options import Decoding
from asr_tv.decoding.recogniser import Recogniser, load_recogniser
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Record


def cost(base: Record, ngram: Record, test: Sequence[Utterance], repeats: int) -> list[dict[str, Any]]:
    """Each row's seconds on one thread, and the median of its ratio to plain decoding in the same repeat.

    The order turns from repeat to repeat, a round that is not counted goes before, and plain decoding also stands
    against itself: what differs there is the machine's.
    """
    torch.set_num_threads(1)
    terms = tuple(Phrase(f"{first} {second}") for first in _SYLLABLES for second in _SYLLABLES)[:200]
    rows: dict[str, Bias | None] = {
        "plain": None,
        "plain again": None,
        "200 terms": Bias(phrases=terms),
        "4-gram": Bias(ngram=ngram),
        "both": Bias(phrases=terms, ngram=ngram),
    }
    with tempfile.TemporaryDirectory() as folder:
        load = partial(load_recogniser, base.path / MODEL, "whisper", device=torch.device("cpu"))
        loaded = {
            name: load(decoding=Decoding("full", "en", bias=bias), scratch=Path(folder) / name)
            for name, bias in rows.items()
        }
        rounds = [_round(loaded, test, number) for number in range(repeats + 1)][1:]
    seconds = {name: [own[name][0] for own in rounds] for name in rows}
    ratios = {name: [a / b for a, b in zip(seconds[name], seconds["plain"], strict=True)] for name in rows}
    return [
        {
            "decoding": name,
            "s/utterance": f"{statistics.median(seconds[name]) / len(test):.3f}",
            "words heard": rounds[0][name][1],
            "ratio": f"{statistics.median(ratios[name]):.3f}",
            "of repeats": f"{min(ratios[name]):.3f} to {max(ratios[name]):.3f}",
        }
        for name in rows
    ]


def _round(loaded: Mapping[str, Recogniser], test: Sequence[Utterance], number: int) -> dict[str, tuple[float, int]]:
    """Each recogniser's seconds of this thread, and the words that it heard; `number` turns the order."""
    names = list(loaded)
    found = {}
    for name in names[number % len(names) :] + names[: number % len(names)]:
        begun = time.thread_time()
        texts = loaded[name].transcribe(test, 16, lambda n: None)
        found[name] = time.thread_time() - begun, sum(len(text.split()) for text in texts.values())
    return found


_SYLLABLES = ("Bara", "Cortez", "Dulan", "Ferrim", "Galvo", "Hestia", "Jorun", "Kalmar", "Lindow", "Mirvo", "Nestor",
              "Ostara", "Pelham", "Quorum", "Rasmus")  # fmt: skip
