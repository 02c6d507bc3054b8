"""How a stage runs: where results are kept, on which device, and who is told of its progress."""

from dataclasses import dataclass

from asr_tv.progress import Progress, silent
from asr_tv.store.results import Store


@dataclass(frozen=True)
class Runtime:
    """The first argument of every stage. None of it changes what a stage makes, so none of it enters a key.

    Attributes:
        label: title of the progress line; each stage has a default.
        device: "auto" or a torch device name.
        batch_size: utterances decoded at once.
        workers: processes for speech synthesis; 0: one per core.
    """

    store: Store
    progress: Progress = silent
    label: str = ""
    device: str = "auto"
    batch_size: int = 16
    workers: int = 0
