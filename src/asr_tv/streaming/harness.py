"""Plays a stream to an agent: it alone knows what was said, scores the answers, and hands over the feedback."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_tv.audio.recordings import Wave
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.models.audio_context import SAMPLING_RATE
from asr_tv.scoring.wer import count_words
from asr_tv.streaming.journal import Turn, append, recovered
from asr_tv.streaming.turns import HeardTurn, Listener, Mode, Normalize, Nothing, is_asked, teach


@dataclass(frozen=True)
class Teaching:
    """What agents are told.

    Attributes:
        ask: share of the turns that get feedback.
        tolerance: WER up to which an answer is called right.
    """

    mode: Mode = "none"
    ask: float = 1.0
    tolerance: float = 0.0
    seed: int = 42


def play(
    listener: Listener,
    manifest: Manifest,
    wave_of: Callable[[Utterance], Wave],
    teaching: Teaching,
    normalize: Normalize,
    journal: Path,
    advance: Callable[[int], Any] = lambda _: None,
) -> list[Turn]:
    """Every turn, in the manifest's order; those already in the journal are learnt from again, not answered.

    Args:
        wave_of: the 16 kHz samples of an utterance.
    """
    done = recovered(journal)
    turns: list[Turn] = []
    for number, utterance in enumerate(manifest):
        wave = wave_of(utterance)
        heard = HeardTurn(number, wave, len(wave) / SAMPLING_RATE)
        if number < len(done) and done[number].id == utterance.id:
            turn = done[number]
            listener.catch_up(heard)
        else:
            turn = _answered(listener, heard, utterance, teaching, normalize)
            append(journal, turn)
        listener.learn(heard, turn.answer, turn.feedback)
        turns.append(turn)
        advance(1)
    return turns


def _answered(
    listener: Listener, heard: HeardTurn, utterance: Utterance, teaching: Teaching, normalize: Normalize
) -> Turn:
    started = time.perf_counter()
    answer = listener.answer(heard)
    seconds = time.perf_counter() - started
    counts = count_words(normalize(utterance.text), normalize(answer.text))
    asked = is_asked(heard.number, teaching.ask, teaching.seed)
    told = teach(teaching.mode, utterance.text, answer.text, normalize, teaching.tolerance) if asked else Nothing()
    return Turn(heard.number, utterance.id, answer, counts.errors, counts.words, told, seconds)
