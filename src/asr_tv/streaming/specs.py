"""The agents of a stream by name: what each hears besides the recording, for which models it is, and how it is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from asr_tv.config.section import Family
from asr_tv.config.test_time import Adaptation
from asr_tv.decoding.biasing.bias import SAFE_BOOST
from asr_tv.devices import choose_device
from asr_tv.errors import ConfigError
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Record
from asr_tv.store.runtime import Runtime
from asr_tv.streaming.agents import Corrections, Frozen, Remembering
from asr_tv.streaming.ears import CtcEar, WhisperEar
from asr_tv.streaming.learners import Adapting, Retrained, Retraining
from asr_tv.streaming.memory import MOST_TERMS
from asr_tv.streaming.turns import Ear, Listener, Mode, Normalize

FROZEN = "frozen"
_ADAPTATIONS: Mapping[str, Adaptation] = {
    "suta": Adaptation(method="suta"),
    "continual": Adaptation(method="continual"),
    "fast-slow": Adaptation(method="fast_slow"),
}


@dataclass(frozen=True)
class Kind:
    """What an agent is.

    Attributes:
        hears: besides the recording that it answers; the column of that name.
        family: of models that it works on; None for any.
        feedback: modes in which it learns something; empty for one that needs none.
    """

    hears: str
    family: Family | None = "whisper"
    feedback: tuple[Mode, ...] = ()


_TOLD: tuple[Mode, ...] = ("right-wrong", "corrected")
KINDS: Mapping[str, Kind] = {
    FROZEN: Kind("nothing", None),
    "glossary": Kind("text"),
    "glossary-prompt": Kind("text"),
    "suta": Kind("the recording itself", "ctc"),
    "continual": Kind("earlier recordings", "ctc"),
    "fast-slow": Kind("earlier recordings", "ctc"),
    "remember-right": Kind("earlier recordings, feedback", feedback=_TOLD),
    "remember-all": Kind("earlier recordings, feedback", feedback=_TOLD),
    "remember-wrong": Kind("earlier recordings, feedback", feedback=_TOLD),
    "corrections": Kind("feedback", feedback=("corrected",)),
    "corrections-prompt": Kind("feedback", feedback=("corrected",)),
    "retrain": Kind("earlier recordings, feedback", None, _TOLD),
}


@dataclass(frozen=True)
class Setup:
    """What agents are made with.

    Attributes:
        glossary: terms from the target's text, for the agents of that name.
        boost: weight of boosted terms.
    """

    language: str = "en"
    glossary: tuple[str, ...] = ()
    boost: float = SAFE_BOOST
    retraining: Retraining = field(default_factory=Retraining)

    def deciding(self, agent: str) -> dict[str, Any]:
        """What of it decides an agent's answers, for its key."""
        rows: dict[str, Any] = {"agent": agent, "language": self.language}
        if agent.startswith("glossary"):
            rows["glossary"] = list(self.glossary)
        if agent in ("glossary", "corrections"):
            rows["boost"] = self.boost
        if agent.startswith("corrections"):
            rows["terms"] = {"most": MOST_TERMS, "of": "words with a letter or digit"}
        if agent == "retrain":
            rows["retraining"] = self.retraining.told
        return rows | ({"adaptation": _ADAPTATIONS[agent].told} if agent in _ADAPTATIONS else {})


def check_agents(agents: tuple[str, ...], family: Family, mode: Mode, setup: Setup) -> None:
    """Refuses agents that cannot be made, or would learn nothing.

    Raises:
        ConfigError: every one of them, and why.
    """
    problems = [f"--agents: there is no {name!r}; agents: {', '.join(KINDS)}" for name in agents if name not in KINDS]
    for name in (name for name in agents if name in KINDS):
        kind = KINDS[name]
        if kind.family not in (None, family):
            other = (
                "a CTC model; for a Whisper, corrections, remember-right or retrain"
                if kind.family == "ctc"
                else "a Whisper"
            )
            problems.append(f"--agents {name}: is for {other}")
        elif kind.feedback and mode not in kind.feedback:
            problems.append(f"--agents {name}: learns from --feedback {' or '.join(kind.feedback)}, not from {mode}")
        elif name.startswith("glossary") and not setup.glossary:
            problems.append(f"--agents {name}: needs --glossary FILE, the target's terms, one a line")
    if problems:
        raise ConfigError(problems)


def make_agent(
    agent: str,
    runtime: Runtime,
    base: Record,
    family: Family,
    setup: Setup,
    normalize: Normalize,
    ear: Ear,
    clips: Path,
) -> Listener:
    """An agent that has heard nothing.

    Args:
        ear: the model's own, which several agents may share.
        clips: folder for recordings that it keeps.
    """
    device = choose_device(runtime.device)
    if agent in _ADAPTATIONS:
        return Adapting(base.path / MODEL, _ADAPTATIONS[agent], device)
    if agent == "retrain":
        load = loader(family, setup, device)
        return Retrained(runtime, base, setup.retraining, setup.language, clips, ear, load)
    made: Mapping[str, Callable[[], Listener]] = {
        FROZEN: lambda: Frozen(ear),
        "glossary": lambda: Frozen(ear, terms=setup.glossary),
        "glossary-prompt": lambda: Frozen(ear, prompt=", ".join(setup.glossary)),
        "corrections": lambda: Corrections(ear, normalize),
        "corrections-prompt": lambda: Corrections(ear, normalize, "prompt"),
        "remember-right": lambda: Remembering(ear, "right"),
        "remember-all": lambda: Remembering(ear, "all"),
        "remember-wrong": lambda: Remembering(ear, "wrong"),
    }
    return made[agent]()


def loader(family: Family, setup: Setup, device: torch.device) -> Callable[[Path], Ear]:
    """What loads a model folder of a family as an ear."""
    if family == "ctc":
        return lambda folder: CtcEar(folder, device)
    return lambda folder: WhisperEar(folder, setup.language, device, setup.boost)
