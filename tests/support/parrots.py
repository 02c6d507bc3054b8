"""Models for tests of the page that hear one sentence each, whatever is said."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asr_tv.data.manifest import Utterance
from asr_tv.runs.trial.keeping import Keeper
from asr_tv.runs.trial.listeners import Listeners, SideListener
from asr_tv.runs.trial.sides import Side
from asr_tv.runs.trial.trial import Trial

SENTENCES = {"pretrained": "press bound", "adapted": "press pound"}


class Parrot:
    """A recogniser that hears one sentence."""

    cut = 0

    def __init__(self, says: str) -> None:
        self.says, self.own_state = says, {}

    def transcribe(self, utterances: Sequence[Utterance], batch_size: int, advance: Any) -> dict[str, str]:  # noqa: ARG002
        return {u.id: self.says for u in utterances}

    def load(self, state: Any) -> None: ...

    def keep_features(self) -> None: ...


def parrots(keep: Path | None = None, says: Mapping[str, str] = SENTENCES, prompt: str = "Press pound.") -> Trial:
    """A page's models, and one that was collected."""
    listeners = [SideListener(Side(name, name, {}), Parrot(text), name[0]) for name, text in says.items()]
    gone = SideListener(Side("gone", "gone", {}), problem="this model cannot be loaded: collected")
    return Trial("menu", Listeners([*listeners, gone]), (prompt,), Keeper(keep) if keep else None)
