"""The models of the page, loaded once and kept: each hears a clip as `asr-tv transcribe` would, one clip at a time."""

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr_tv.audio.recordings import write_audio
from asr_tv.data.manifest import Utterance
from asr_tv.decoding.biasing.bias import Bias
from asr_tv.decoding.biasing.phrases import read_phrases
from asr_tv.decoding.options import decoding_for
from asr_tv.decoding.recogniser import Recogniser, load_recogniser
from asr_tv.devices import choose_device
from asr_tv.errors import DataError, UserError
from asr_tv.models.audio_context import SAMPLING_RATE
from asr_tv.models.family import family_of
from asr_tv.models.locate import resolve_model
from asr_tv.runs.trial.clips import VisitorClip
from asr_tv.runs.trial.sides import Side
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Store

PACE_SECONDS = 3.0
"""Of the clip by which the models' pace is told."""
_MOST_TOKENS = 200


@dataclass(frozen=True)
class SideAnswer:
    """What one side heard, and how long that took; `problem` instead where it could not.

    Attributes:
        model: digest of its model; "" if that is not loaded.
        seconds: of decoding.
    """

    side: str
    text: str = ""
    seconds: float = 0.0
    model: str = ""
    problem: str = ""


@dataclass(frozen=True)
class SideListener:
    """A side with its model in memory, or with the reason why there is none."""

    side: Side
    recogniser: Recogniser | None = None
    digest: str = ""
    problem: str = ""

    def listen(self, clip: VisitorClip) -> SideAnswer:
        """Decodes a clip."""
        if self.recogniser is None:
            return SideAnswer(self.side.name, problem=self.problem)
        utterance = Utterance(clip.name, "", audio=str(clip.path), duration=clip.seconds)
        start = time.perf_counter()
        try:
            text = self.recogniser.transcribe([utterance], 1, _nothing)[clip.name].strip()
        except DataError as error:
            return SideAnswer(self.side.name, model=self.digest, problem="; ".join(error.problems))
        return SideAnswer(self.side.name, text, time.perf_counter() - start, self.digest)


class Listeners:
    """All sides; safe to call from several threads, which then wait for each other."""

    def __init__(self, listeners: Sequence[SideListener]) -> None:
        self.all = tuple(listeners)
        self._turn = threading.Lock()

    def listen(self, clip: VisitorClip) -> tuple[SideAnswer, ...]:
        """One answer for each side, in their order."""
        with self._turn:
            return tuple(listener.listen(clip) for listener in self.all)

    def paces(self) -> tuple[SideAnswer, ...]:
        """Answers to a short clip of faint noise, heard twice: the first decoding of a process is slower."""
        wave = np.random.default_rng(0).normal(0, 0.01, round(PACE_SECONDS * SAMPLING_RATE)).astype(np.float32)
        with tempfile.TemporaryDirectory(prefix="asr-tv-try-") as folder:
            path = Path(folder) / "noise.wav"
            write_audio(path, wave, SAMPLING_RATE)
            clip = VisitorClip(path, path.name, wave)
            return (self.listen(clip), self.listen(clip))[1]


@contextmanager
def loaded(sides: Sequence[Side], store: Store) -> Iterator[Listeners]:
    """Loads the models; one that cannot be had is told in its answers, and the others are heard.

    Raises:
        DataError: none can be had, with the reasons.
    """
    with tempfile.TemporaryDirectory(prefix="asr-tv-try-") as folder:
        found = [_load(side, store, Path(folder) / str(number)) for number, side in enumerate(sides)]
        if not any(listener.recogniser for listener in found):
            raise DataError(f"{listener.side.name}: {listener.problem}" for listener in found)
        yield Listeners(found)


def _load(side: Side, store: Store, scratch: Path) -> SideListener:
    try:
        record = resolve_model(side.model, store)
        directory = record.path / MODEL
        family = family_of(directory)
        bias = Bias(phrases=read_phrases(side.terms), boost=side.boost) if side.terms else None
        language = side.settings.get("language", "en")
        decoding = decoding_for(side.settings["audio_context"], language, _MOST_TOKENS, "auto", family, bias=bias)
        recogniser = load_recogniser(directory, family, decoding, choose_device("auto"), scratch)
        if isinstance(recogniser.own_state, dict):
            recogniser.own_state.clear()  # a copy of the weights, for those who replace them
    except UserError as error:
        return SideListener(side, problem=f"this model cannot be loaded: {'; '.join(error.problems)}")
    return SideListener(side, recogniser, record.digest)


def _nothing(done: int = 1, note: str = "") -> None:
    """Progress of a single clip is not shown."""
