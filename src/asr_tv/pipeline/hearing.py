"""Models as they are decoded on one set of recordings: the target's, or a fold's to choose by."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from asr_tv.config.run import AdaptConfig
from asr_tv.data.manifest import Manifest
from asr_tv.decoding.biasing.bias import Bias
from asr_tv.decoding.transcribe import Sweep
from asr_tv.pipeline.execution.executor import Kind, Step
from asr_tv.pipeline.scoring import Hearing, decoding_of
from asr_tv.store.records import Purpose
from asr_tv.store.results import Record


@dataclass(frozen=True)
class Heard:
    """A model to be steered, as it is decoded on one set of recordings; a fold's adapted one is a sum."""

    name: str
    checkpoint: Record
    manifest: Manifest
    sweep: Sweep | None = None
    fold: str = ""


@dataclass(frozen=True)
class RowChoice:
    """How a row came to what it sets.

    Attributes:
        tried: each candidate with its errors over the words of all folds; empty where none was chosen among.
    """

    system: str
    chosen: Mapping[str, float]
    tried: tuple[tuple[Mapping[str, float], int, int], ...] = ()


def step_of(config: AdaptConfig, kind: Kind, heard: Heard, what: str) -> Step:
    """The step of a decoding; `what` is added to the model's name."""
    subject = f"{heard.name}{what}"
    purpose: Purpose = "choice" if heard.fold else "scoring"
    test = "" if heard.fold else "target"
    return Step(kind, subject, test, fold=heard.fold, purpose=purpose, options=config.run)


def hearing(config: AdaptConfig, heard: Heard, bias: Bias | None, what: str) -> Hearing:
    """A model's decoding of its recordings under a bias."""
    decoding = replace(decoding_of(config, "full", heard.checkpoint), bias=bias)
    step = step_of(config, "sweep" if heard.sweep else "transcribe", heard, what)
    return step, heard.checkpoint, heard.manifest, decoding, heard.sweep
