"""What the page does, without how it looks: hears a recording, keeps corrections, draws sentences."""

import random
from dataclasses import dataclass
from pathlib import Path

from asr_tv.errors import DataError, UserError
from asr_tv.runs.trial.clips import VisitorClip, read_clip
from asr_tv.runs.trial.keeping import Keeper
from asr_tv.runs.trial.listeners import Listeners, SideAnswer
from asr_tv.runs.trial.markup import sentence_line, told

READY = "Ready. Nothing is kept unless you ask for it."


@dataclass(frozen=True)
class HeardClip:
    """A visitor's last recording and the answers to it."""

    clip: VisitorClip
    answers: tuple[SideAnswer, ...]


@dataclass(frozen=True)
class Trial:
    """The models, the sentences to read, and where corrections go.

    Attributes:
        keeper: None where corrections have no folder.
    """

    title: str
    listeners: Listeners
    sentences: tuple[str, ...] = ()
    keeper: Keeper | None = None

    @property
    def unheard(self) -> tuple[SideAnswer, ...]:
        """What the sides have to say before anything was said."""
        return tuple(SideAnswer(listener.side.name, problem=listener.problem) for listener in self.listeners.all)

    @property
    def judged(self) -> int:
        """The side that written corrections are of: the last that can answer."""
        return max(number for number, listener in enumerate(self.listeners.all) if listener.recogniser)

    def hear(self, path: str | None) -> tuple[HeardClip | None, str]:
        """The answers to an upload, if it is usable, and a line about it."""
        if path is None:
            return None, told(READY)
        try:
            clip = read_clip(Path(path))
        except UserError as error:
            return None, told("; ".join(error.problems), problem=True)
        answers = self.listeners.listen(clip)
        seconds = sum(answer.seconds for answer in answers)
        return HeardClip(clip, answers), told(f"{clip.seconds:.1f} s of sound, decoded in {seconds:.1f} s")

    def keep(self, heard: HeardClip | None, side: int, said: str | None, consent: bool) -> str:
        """Keeps a correction of one side, `said` None if that was right, and tells what was kept."""
        if self.keeper is None:
            return told("no folder for corrections: start with --keep FOLDER", problem=True)
        if heard is None or heard.answers[side].problem:
            return told("nothing was heard that could be corrected: record a sentence first", problem=True)
        answer = heard.answers[side]
        try:
            row = self.keeper.keep(heard.clip, answer, answer.text if said is None else said, consent=consent)
        except (DataError, OSError) as error:
            return told(f"not kept: {error}", problem=True)
        judged = "right" if row.right else f"wrong, it should be “{row.text}”"
        return told(f"kept: {answer.side} was {judged}; {'with' if consent else 'without'} the recording")

    def sentence(self) -> tuple[str, str]:
        """A sentence to read, drawn at random, and the line that shows it."""
        drawn = random.choice(self.sentences)  # nosec B311 - not a secret
        return drawn, sentence_line(drawn)
