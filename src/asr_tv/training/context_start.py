"""Makes a pretrained Whisper safe on a short audio context before anything is tuned: it loops there as it comes.

FUTO's fine-tuning of Whisper for `audio_ctx` showed that little training is enough. Here the model is its own teacher:
no label moves it.
"""

from pathlib import Path

from asr_tv.config.run import ContextStartConfig, TrainingConfig
from asr_tv.data.manifest import Manifest
from asr_tv.devices import choose_device, choose_precision
from asr_tv.errors import DataError
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Identity, Produced, Record
from asr_tv.store.runtime import Runtime
from asr_tv.training.trainer import Job, run, total_updates

STAGE, VERSION = "context_start", 1


def context_start(
    runtime: Runtime,
    base: Record,
    manifest: Manifest,
    config: ContextStartConfig,
    seed: int,
    language: str = "en",
) -> Record:
    """The stage: `base` distilled from itself on `manifest`, as a record whose folder holds `model/`.

    Args:
        manifest: speech of any kind; its texts only say where in the transcript the two are compared.

    Raises:
        DataError: nothing to learn from, or a clip that cannot be read.
    """
    label = runtime.label or STAGE
    if not len(manifest):
        raise DataError(f"{label}: the manifest {manifest.name} is empty")
    on = choose_device(runtime.device)
    ordered = Manifest(manifest.name, tuple(sorted(manifest, key=lambda u: u.id)))
    training = TrainingConfig(**config.model_dump(), weight_decay=0.0)
    job = Job(ordered, training, choose_precision("auto", on), seed, language, subject="short context")
    parameters = config.model_dump(mode="json") | {"precision": job.precision, "language": language}

    def produce(scratch: Path) -> Produced:
        losses = run(base.path / MODEL, job, scratch, on, runtime.progress, label)
        details = {"epoch_losses": losses, "utterances": len(manifest), "updates": total_updates(job)}
        return Produced((manifest.ref(),), details)

    identity = Identity(STAGE, VERSION, parameters, {"base": base.digest, "manifest": ordered.digest}, seed)
    return runtime.store.build(identity, produce)
