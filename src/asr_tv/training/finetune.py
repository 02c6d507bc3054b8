"""The stage that fine-tunes a checkpoint on a manifest, wholly or in part."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from asr_tv.config.run import TrainingConfig
from asr_tv.config.trainable import written
from asr_tv.data.manifest import Manifest
from asr_tv.devices import choose_device, choose_precision
from asr_tv.models.audio_context import FULL_SECONDS, context_seconds, refuse_longer
from asr_tv.models.family import empty_model, family_of
from asr_tv.store.payload import MODEL
from asr_tv.store.records import canonical_json
from asr_tv.store.results import Identity, Produced, Record
from asr_tv.store.runtime import Runtime
from asr_tv.training.data import TrainingData
from asr_tv.training.freezing import trainable_parameters
from asr_tv.training.settings import deciding, settings_for
from asr_tv.training.trainer import Job, select_trainable, sort_by_id, train

STAGE, VERSION = "finetune", 1
_CUT = "the most a Whisper hears: cut it at a pause, with its text, or leave it out (finetune --drop-longer)"


def finetune(
    runtime: Runtime,
    base: Record,
    data: Manifest | TrainingData,
    training: TrainingConfig,
    seed: int,
    language: str = "en",
) -> Record:
    """The stage: tunes `base`; the record's folder holds `model/`, with adapters merged.

    Args:
        data: a manifest alone is neither augmented nor mixed with rehearsed clips.

    Raises:
        ConfigError: settings that do not apply to this family of models, or parts that the model lacks.
        DataError: an empty manifest, a clip that cannot be read or trained on, a loss that is not finite, or too
            little memory for one clip at a time.
    """
    label = runtime.label or STAGE
    if isinstance(data, Manifest):
        data = TrainingData(data)
    ordered = sort_by_id(data.clips, label)
    rehearsal = data.rehearsal and replace(data.rehearsal, clips=sort_by_id(data.rehearsal.clips, label))
    device = choose_device(runtime.device)
    family = family_of(base.path / MODEL)
    training = settings_for(training, family)
    if family == "whisper":
        limit = context_seconds(training.audio_context, FULL_SECONDS)
        refuse_longer(
            ordered, limit, "set a longer training.audio_context, or cut it" if limit < FULL_SECONDS else _CUT
        )
    precision = choose_precision(training.precision, device)
    job = Job(
        ordered,
        training,
        precision,
        seed,
        language,
        data.augmentation,
        family,
        rehearsal=rehearsal,
        weights=data.weights,
    )

    def produce(scratch: Path) -> Produced:
        losses = train(base.path / MODEL, job, scratch, device, runtime.progress, label)
        model = empty_model(base.path / MODEL)
        select_trainable(model, job)
        details = {
            "epoch_losses": losses,
            "utterances": len(ordered),
            "seconds_of_audio": round(ordered.seconds, 1),
            "updates": job.updates,
            "audio_context": training.audio_context,
            "precision": precision,
            "trainable": written(training.trainable),
            "trainable_parameters": trainable_parameters(model),
            "clips_per_epoch": job.clips_per_epoch,
        }
        return Produced(data.refs(), details)

    return runtime.store.build(identity(base, job), produce)


def identity(base: Record, job: Job) -> Identity:
    """The key of a fine-tuning; it has the augmentation only if there is synthetic speech to augment.

    Of a rehearsal it has what is heard, who answers, and how much of it.
    """
    heard = (*job.manifest, *(job.rehearsal.clips if job.rehearsal else ()))
    augmentation = job.augmentation if any(u.origin == "synthetic" for u in heard) else None
    parameters: dict[str, Any] = {
        "training": deciding(job.training, job.family) | {"precision": job.precision},
        "augmentation": augmentation.model_dump(mode="json", exclude_none=True) if augmentation else None,
        "language": job.language,
    }
    if job.updates == 1:
        parameters["warmup"] = "none"
    inputs = {"base": base.digest, "manifest": job.manifest.digest}
    if job.weights:
        inputs["weights"] = hashlib.sha256(canonical_json(sorted(job.weights)).encode()).hexdigest()
    if (rehearsal := job.rehearsal) is not None:
        weight = {} if rehearsal.weight == 1 else {"rehearsal_weight": rehearsal.weight}
        parameters |= {"rehearsal": rehearsal.share, **weight}
        inputs |= {"rehearsal": rehearsal.clips.digest, "teacher": rehearsal.teacher.digest}
    return Identity(STAGE, VERSION, parameters, inputs, job.seed)
