"""Agents whose weights stay: the plain recogniser, a fixed glossary, a list of corrected terms, remembered answers."""

from typing import Literal

from asr_tv.streaming.memory import Answers, TermList
from asr_tv.streaming.turns import (
    Answer,
    Corrected,
    Ear,
    Feedback,
    HeardTurn,
    Judged,
    Normalize,
    Nothing,
    second_hearing,
)

NEAREST = 4
"""Remembered answers in a prompt."""


class Frozen:
    """The recogniser as it is, or with a glossary from the target's text: terms to boost, or a prompt."""

    def __init__(self, ear: Ear, terms: tuple[str, ...] = (), prompt: str = "") -> None:
        self._ear, self._terms, self._prompt = ear, terms, prompt

    def answer(self, heard: HeardTurn) -> Answer:
        text, how = second_hearing(self._ear(heard.wave), self._terms, self._prompt)
        return Answer(text, {"memory": how})

    def learn(self, heard: HeardTurn, answer: Answer, feedback: Feedback) -> None:
        """Learns nothing."""

    def catch_up(self, heard: HeardTurn) -> None:
        """Answering changes nothing."""


class Corrections:
    """Counts the words that corrections put right, and expects them: boosted, or in a prompt, the first last."""

    def __init__(self, ear: Ear, normalize: Normalize, channel: Literal["boost", "prompt"] = "boost") -> None:
        self._ear, self._normalize, self._channel = ear, normalize, channel
        self.memory = TermList()

    def answer(self, heard: HeardTurn) -> Answer:
        listed, sound = self.memory.listed, self._ear(heard.wave)
        if self._channel == "boost":
            text, how = second_hearing(sound, listed)
        else:
            text, how = second_hearing(sound, prompt=", ".join(reversed(listed)))
        return Answer(text, {"memory": how, "terms": len(listed)})

    def learn(self, heard: HeardTurn, answer: Answer, feedback: Feedback) -> None:
        if isinstance(feedback, Corrected):
            said, written = self._normalize(feedback.text), self._normalize(answer.text)
            self.memory = self.memory.after(said, written, heard.number)

    def catch_up(self, heard: HeardTurn) -> None:
        """Answering changes nothing."""


Kept = Literal["right", "all", "wrong"]


class Remembering:
    """Prompts with its answers to similar recordings: those that were right (Self-StreamICL), all, or wrong ones."""

    def __init__(self, ear: Ear, kept: Kept) -> None:
        self._ear, self._kept = ear, kept
        self.memory = Answers()

    def answer(self, heard: HeardTurn) -> Answer:
        sound = self._ear(heard.wave)
        texts = self.memory.nearest(sound.key, NEAREST) if self.memory.texts else ()
        text, how = second_hearing(sound, prompt=" ".join(texts))
        return Answer(text, {"memory": how, "remembered": len(self.memory.texts)})

    def learn(self, heard: HeardTurn, answer: Answer, feedback: Feedback) -> None:
        if self._keeps(feedback) and answer.text.strip():
            self.memory.add(self._ear(heard.wave).key, answer.text.strip())

    def catch_up(self, heard: HeardTurn) -> None:
        """Answering changes nothing."""

    def _keeps(self, feedback: Feedback) -> bool:
        if isinstance(feedback, Nothing):
            return False
        assert isinstance(feedback, Judged | Corrected)  # nosec B101 - for the type checker
        return self._kept == "all" or feedback.right == (self._kept == "right")
