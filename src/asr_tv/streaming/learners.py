"""Agents whose weights change: adapted to each recording at test time, or tuned on verified answers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from asr_tv.audio.recordings import write_audio
from asr_tv.config.run import ReplayConfig, TrainingConfig
from asr_tv.config.test_time import Adaptation
from asr_tv.config.trainable import Part
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.data.replay import with_replay
from asr_tv.decoding.test_time.ctc import AdaptableCtc
from asr_tv.decoding.test_time.methods import TestTimeAdapter
from asr_tv.models.audio_context import FULL_SECONDS, SAMPLING_RATE
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Record, file_digest
from asr_tv.store.runtime import Runtime
from asr_tv.streaming.turns import Answer, Corrected, Ear, Feedback, HeardTurn, Nothing
from asr_tv.training.data import TrainingData
from asr_tv.training.finetune import finetune


class Adapting:
    """A CTC model that adapts to each recording (docs/test_time.md); feedback changes nothing."""

    def __init__(self, directory: Path, how: Adaptation, device: torch.device) -> None:
        self._how = how
        self._adapter = TestTimeAdapter(AdaptableCtc(directory, device), how)

    def answer(self, heard: HeardTurn) -> Answer:
        turn = self._adapter.hear(str(heard.number), heard.wave)
        return Answer(turn.text, {"memory": turn.plain or "adapted", "reset": int(turn.reset)})

    def learn(self, heard: HeardTurn, answer: Answer, feedback: Feedback) -> None:
        """Learnt while answering."""

    def catch_up(self, heard: HeardTurn) -> None:
        """Hears it again where its weights went on from it; the same steps give the same weights."""
        if self._how.needs_order:
            self._adapter.hear(str(heard.number), heard.wave)


_USUAL = TrainingConfig(epochs=2, learning_rate=5e-6, trainable=Part("only", "attention"))


@dataclass(frozen=True)
class Retraining:
    """When and how verified answers tune the original weights.

    Attributes:
        every: verified recordings between two trainings.
        training: the settings; few epochs at a low rate, of the attention alone.
        replay: source recordings heard among them, as many as `share` says; none where there are none.
    """

    every: int = 16
    training: TrainingConfig = _USUAL
    replay: Manifest | None = None
    share: float = 1.0
    seed: int = 17

    @property
    def told(self) -> dict[str, object]:
        """What of it decides a result."""
        replayed = {"replay": self.replay.digest, "share": self.share} if self.replay else {}
        return {"every": self.every, "training": self.training.model_dump(mode="json"), "seed": self.seed} | replayed


def tuned(runtime: Runtime, base: Record, verified: Manifest, how: Retraining, language: str) -> Record:
    """A fine-tuning of the original weights on everything verified, with replay; cached like any."""
    clips = verified
    if how.replay is not None and len(how.replay):
        clips = with_replay(verified, how.replay, how.replay, ReplayConfig(share=how.share), how.seed)
    return finetune(runtime, base, TrainingData(clips), how.training, seed=how.seed, language=language)


class Retrained:
    """Tunes the original weights after every so many verified recordings, and hears with the result.

    Args:
        clips: folder for the verified recordings.
        ear: the original weights'.
        ear_of: loads a checkpoint.
    """

    def __init__(
        self,
        runtime: Runtime,
        base: Record,
        how: Retraining,
        language: str,
        clips: Path,
        ear: Ear,
        ear_of: Callable[[Path], Ear],
    ) -> None:
        self._runtime, self._base, self._how, self._language = runtime, base, how, language
        self._clips, self._ear_of = clips, ear_of
        self._ear, self.trainings = ear, 0
        self.verified: list[Utterance] = []

    def answer(self, heard: HeardTurn) -> Answer:
        text, _ = self._ear(heard.wave).text()
        return Answer(text, {"trainings": self.trainings, "verified": len(self.verified)})

    def catch_up(self, heard: HeardTurn) -> None:
        """Answering changes nothing."""

    def learn(self, heard: HeardTurn, answer: Answer, feedback: Feedback) -> None:
        text = verified_text(answer, feedback)
        if text is None or not text.strip() or heard.seconds > FULL_SECONDS:
            return
        self.verified.append(self._kept(heard, text))
        if len(self.verified) % self._how.every == 0:
            manifest = Manifest("verified", tuple(self.verified))
            record = tuned(self._runtime, self._base, manifest, self._how, self._language)
            self._ear, self.trainings = self._ear_of(record.path / MODEL), self.trainings + 1

    def _kept(self, heard: HeardTurn, text: str) -> Utterance:
        self._clips.mkdir(parents=True, exist_ok=True)
        path = self._clips / f"{heard.number:06}.wav"
        write_audio(path, heard.wave, SAMPLING_RATE)
        digest = file_digest(path)
        return Utterance(f"turn-{heard.number}", text, str(path), duration=heard.seconds, audio_digest=digest)


def verified_text(answer: Answer, feedback: Feedback) -> str | None:
    """What is known to have been said: a correction, or an answer called right; None where nothing is."""
    if isinstance(feedback, Nothing):
        return None
    if isinstance(feedback, Corrected):
        return feedback.text
    return answer.text if feedback.right else None
