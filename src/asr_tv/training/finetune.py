"""Fine-tunes a checkpoint, whole or in part, on a manifest; an interrupted run goes on from its last whole epoch."""

from pathlib import Path
from typing import Any

from asr_tv.config.run import AugmentationConfig, TrainingConfig
from asr_tv.config.trainable import written
from asr_tv.data.manifest import Manifest
from asr_tv.devices import choose_device, choose_precision
from asr_tv.errors import DataError
from asr_tv.models.audio_context import FULL_SECONDS, context_seconds, refuse_longer
from asr_tv.models.family import empty_model, family_of
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Identity, Produced, Record
from asr_tv.store.runtime import Runtime
from asr_tv.training.freezing import (
    trainable_parameters,
)
from asr_tv.training.settings import deciding, settings_for
from asr_tv.training.trainer import STAGE, VERSION, Job, _restrict, run, total_updates


def finetune(
    runtime: Runtime,
    base: Record,
    manifest: Manifest,
    training: TrainingConfig,
    seed: int,
    language: str = "en",
    augmentation: AugmentationConfig | None = None,
) -> Record:
    """The stage: `base` tuned on `manifest`, as a record whose folder holds `model/`, adapters merged in.

    Raises:
        ConfigError: settings that this kind of model does not know, or parts that it does not have.
        DataError: nothing to train on, a clip that cannot be read, a loss that is not a number, or too little memory
            for one clip at a time.
    """
    label = runtime.label or STAGE
    if not len(manifest):
        raise DataError(f"{label}: the manifest {manifest.name} is empty, there is nothing to train on")
    on = choose_device(runtime.device)
    family = family_of(base.path / MODEL)
    training = settings_for(training, family)
    ordered = Manifest(manifest.name, tuple(sorted(manifest, key=lambda u: u.id)))  # a digest knows no order
    if family == "whisper":
        limit = context_seconds(training.audio_context, FULL_SECONDS)
        refuse_longer(ordered, limit, "cut it, or set a longer training.audio_context")
    job = Job(ordered, training, choose_precision(training.precision, on), seed, language, augmentation, family)

    def produce(scratch: Path) -> Produced:
        losses = run(base.path / MODEL, job, scratch, on, runtime.progress, label)
        return Produced(manifest.refs(), {"epoch_losses": losses, **_counts(job, base.path / MODEL)})

    return runtime.store.build(identity(base, job), produce)


def identity(base: Record, job: Job) -> Identity:
    """The key of a fine-tuning. Augmentation counts only where there is synthetic speech to augment."""
    augmented = job.augmentation is not None and any(u.origin == "synthetic" for u in job.manifest)
    parameters = {
        "training": deciding(job.training, job.family) | {"precision": job.precision},
        "augmentation": job.augmentation.model_dump(mode="json", exclude_none=True)
        if augmented and job.augmentation
        else None,
        "language": job.language,
    }
    return Identity(STAGE, VERSION, parameters, {"base": base.digest, "manifest": job.manifest.digest}, job.seed)


def _counts(job: Job, base: Path) -> dict[str, Any]:
    model = empty_model(base)
    _restrict(model, job)
    return {
        "utterances": len(job.manifest),
        "seconds_of_audio": round(job.manifest.seconds, 1),
        "updates": total_updates(job),
        "audio_context": job.training.audio_context,
        "precision": job.precision,
        "trainable": written(job.training.trainable),
        "trainable_parameters": trainable_parameters(model),
    }
