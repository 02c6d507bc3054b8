"""How a stage runs: where its results are kept, on which device, and what is told of its progress."""

from dataclasses import dataclass

from asr_tv.progress import Progress, silent
from asr_tv.store.results import Store


@dataclass(frozen=True)
class Runtime:
    """What every stage is given first. None of it changes what a stage makes, so none of it enters a key.

    Attributes:
        store: where results are looked for and kept.
        progress: draws the stage's progress.
        label: what that progress is called; each stage has a default.
        device: "auto", or as torch names devices.
        batch_size: utterances decoded at once.
        workers: processes for speech synthesis; 0: one a core.
    """

    store: Store
    progress: Progress = silent
    label: str = ""
    device: str = "auto"
    batch_size: int = 16
    workers: int = 0
