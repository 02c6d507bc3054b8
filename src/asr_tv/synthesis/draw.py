"""Which voices speak which text: drawn by seed, spread evenly over engines, and within them over sexes and accents."""

import hashlib
from collections import Counter
from collections.abc import Sequence

from asr_tv.store.results import canonical_json
from asr_tv.synthesis.voices import Speaker

DRAW_VERSION = 2
"""Of what decides who speaks a text, where not every voice does."""


def draw_voices(
    speakers: Sequence[Speaker], text: str, count: int | None, takes: range, seed: int
) -> list[tuple[Speaker, tuple[int, ...]]]:
    """Each speaker of a text with the takes it speaks, sorted by label.

    Args:
        count: voices in each take; None for all of them. With fewer than all, the next take goes to the next voices, so
            that no voice speaks a text again while another has not spoken it.
    """
    if count is None or count >= len(speakers):
        return [(speaker, tuple(takes)) for speaker in speakers]
    turns = by_turns(speakers, text, seed, most=takes.stop * count)
    spoken: dict[str, list[int]] = {}
    for take in takes:
        for number in range(take * count, (take + 1) * count):
            spoken.setdefault(turns[number % len(turns)].label, []).append(take)
    return [(speaker, tuple(spoken[speaker.label])) for speaker in speakers if speaker.label in spoken]


def by_turns(speakers: Sequence[Speaker], text: str, seed: int, most: int | None = None) -> list[Speaker]:
    """Every speaker once, or the first `most`: engines take turns, and within an engine its sexes and accents.

    Who comes first among equals is a hash of text and seed, so that one more voice changes as little as possible, and
    other texts nothing.
    """
    waiting, used, order = list(speakers), Counter[tuple[str, ...]](), list[Speaker]()
    keys = {s.label: ((s.engine,), _group(s), (s.engine, s.voice.label)) for s in speakers}
    ranks = {parts: _digest([seed, text, *parts]) for own in keys.values() for parts in own}

    def turn(speaker: Speaker) -> tuple[int, bytes, int, bytes, bytes]:
        engine, group, voice = keys[speaker.label]
        return used[engine], ranks[engine], used[group], ranks[group], ranks[voice]

    while waiting and (most is None or len(order) < most):
        order.append(min(waiting, key=turn))
        waiting.remove(order[-1])
        used.update([(order[-1].engine,), _group(order[-1])])
    return order


def _group(speaker: Speaker) -> tuple[str, ...]:
    voice = speaker.voice
    return "group", speaker.engine, voice.sex or "", (voice.language or "").lower()


def _digest(parts: list[object]) -> bytes:
    return hashlib.sha256(canonical_json(parts).encode()).digest()
