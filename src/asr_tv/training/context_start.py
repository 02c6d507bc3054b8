"""The stage that adapts a pretrained Whisper to short audio contexts, where it loops, by distillation from itself.

Little training is enough, as FUTO's fine-tuning of Whisper for `audio_ctx` showed.
"""

from pathlib import Path

from asr_tv.config.run import ContextStartConfig, TrainingConfig
from asr_tv.data.manifest import Manifest
from asr_tv.devices import choose_device, choose_precision
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Identity, Produced, Record
from asr_tv.store.runtime import Runtime
from asr_tv.training.trainer import Job, sort_by_id, train

STAGE, VERSION = "context_start", 1


def context_start(
    runtime: Runtime, base: Record, manifest: Manifest, config: ContextStartConfig, seed: int, language: str = "en"
) -> Record:
    """The stage: distils `base` from itself on `manifest`, any speech; the record's folder holds `model/`.

    The texts of the manifest are the contexts in which the outputs of teacher and student are compared.

    Raises:
        DataError: an empty manifest, or a clip that cannot be read.
    """
    label = runtime.label or STAGE
    ordered = sort_by_id(manifest, label)
    device = choose_device(runtime.device)
    training = TrainingConfig(**config.model_dump(), weight_decay=0.0)
    job = Job(ordered, training, choose_precision("auto", device), seed, language, subject="short context")
    parameters = config.model_dump(mode="json") | {"precision": job.precision, "language": language}

    def produce(scratch: Path) -> Produced:
        losses = train(base.path / MODEL, job, scratch, device, runtime.progress, label)
        details = {"epoch_losses": losses, "utterances": len(manifest), "updates": job.updates}
        return Produced((manifest.ref(),), details)

    identity = Identity(STAGE, VERSION, parameters, {"base": base.digest, "manifest": ordered.digest}, seed)
    return runtime.store.build(identity, produce)
