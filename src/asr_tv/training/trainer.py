"""The training loop: batches, optimiser, precision, epochs kept to resume from."""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr_tv.audio.channel import augment
from asr_tv.audio.recordings import read_audio
from asr_tv.config.run import AugmentationConfig, TrainingConfig
from asr_tv.config.section import Family
from asr_tv.config.trainable import Lora
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.devices import Precision, shape_independent_attention
from asr_tv.errors import DataError
from asr_tv.memory import ShrinkingBatches, memory_errors, named_memory_error
from asr_tv.models.audio_context import SAMPLING_RATE
from asr_tv.models.whisper import save_checkpoint
from asr_tv.progress import Progress, silent
from asr_tv.seeds import generator
from asr_tv.store.payload import MODEL
from asr_tv.store.results import write_atomically
from asr_tv.training.batches import length_grouped
from asr_tv.training.freezing import low_rank_parts, make_trainable, merge_adapters, set_training_mode
from asr_tv.training.kept_epochs import LOSSES, forget_epochs, keep_epoch, last_epoch, read_losses
from asr_tv.training.objectives.ctc import CtcLessons
from asr_tv.training.objectives.short_context import ShortContextLessons
from asr_tv.training.objectives.whisper import WhisperLessons
from asr_tv.vectors.files import write_lora_vector
from asr_tv.workers import cores, prefetch

STAGE, VERSION = "finetune", 1


LORA_VECTOR = "lora_vector.safetensors"
"""What LoRA changed, as a task vector of a few megabytes; beside the model, which has it merged in."""


_MEMORY_ADVICE = "free some, set run.device to cpu, a shorter training.audio_context, or training.trainable to lora"


_KEPT_SECONDS = 2 * 3600.0
"""Up to so much audio stays decoded in memory between epochs (460 MB); more is read anew each time."""


@dataclass(frozen=True)
class Job:
    """Everything that decides a fine-tuning's result, but for the base checkpoint.

    Attributes:
        augmentation: applied to synthetic clips only; None leaves them as they are.
        subject: what is learnt; "short context" is a Whisper's distillation from itself.
    """

    manifest: Manifest
    training: TrainingConfig
    precision: Precision
    seed: int
    language: str
    augmentation: AugmentationConfig | None = None
    family: Family = "whisper"
    subject: Literal["transcription", "short context"] = "transcription"


def _restrict(model: Any, job: Job) -> None:
    """Leaves only what the job is to tune, and puts its adapters in."""
    if job.family == "ctc" and job.training.freeze_feature_encoder:
        model.freeze_feature_encoder()
    make_trainable(model, job.training.trainable, seed=int(generator("adapters", job.seed).integers(2**31)))


def total_updates(job: Job) -> int:
    """Optimiser steps of the whole fine-tuning."""
    durations = [u.duration or 0.0 for u in job.manifest]
    return job.training.epochs * len(length_grouped(durations, job.training.batch_size, seed=job.seed, epoch=0))


def run(
    base: Path, job: Job, scratch: Path, device: torch.device, progress: Progress = silent, label: str = "finetune"
) -> list[float]:
    """Trains in `scratch`, resuming there, and leaves the tuned checkpoint in `scratch/model`.

    Returns:
        The mean loss of each epoch.
    """
    finished = scratch / LOSSES
    if finished.exists():
        return read_losses(scratch)
    with named_memory_error(f"{label}, one clip at a time", _MEMORY_ADVICE), shape_independent_attention(device):
        trainer = _Trainer(base, job, device, total_updates(job), label)
        losses = _trained(trainer, job, scratch, progress, label)
    trainer.save_result(base, scratch)
    forget_epochs(scratch)
    write_atomically(finished, json.dumps(losses))
    return losses


def _trained(trainer: "_Trainer", job: Job, scratch: Path, progress: Progress, label: str) -> list[float]:
    losses = trainer.resume(scratch)
    with progress(label, job.training.epochs * len(job.manifest), "utterances") as advance:
        advance(len(losses) * len(job.manifest))
        for epoch in range(len(losses), job.training.epochs):
            losses.append(trainer.train_epoch(epoch, advance))
            if epoch + 1 < job.training.epochs:
                trainer.save(scratch, losses)
    return losses


class _Trainer:
    """One model with its optimiser and schedule on one device; a batch is a pure function of job and epoch."""

    def __init__(self, base: Path, job: Job, device: torch.device, updates: int, label: str) -> None:
        from accelerate import Accelerator
        from transformers import get_linear_schedule_with_warmup

        self.job, self._label, self._fits = job, label, ShrinkingBatches()
        # Precision stays out of accelerate, whose choice is the process's and cannot differ between two trainings.
        self._accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no")
        training = job.training
        self._lessons = _lessons(base, job)
        self._model = self._lessons.model
        _restrict(self._model, job)
        set_training_mode(self._model)
        if training.gradient_checkpointing:
            # Not kept from the key: sums of gradients come in another order, and so with other last bits.
            self._model.activation_checkpointing_enable()
        optimizer = torch.optim.AdamW(
            # What is frozen must stay out: weight decay would move it without any gradient.
            [p for p in self._model.parameters() if p.requires_grad],
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            fused=True,
        )
        schedule = get_linear_schedule_with_warmup(  # type: ignore[no-untyped-call]
            optimizer, math.ceil(training.warmup * updates), updates
        )
        self._loss: Any = self._lessons.loss()
        self._prepared, self._optimizer, self._schedule = self._accelerator.prepare(self._loss, optimizer, schedule)
        self._waves: dict[str, NDArray[np.float32]] = {}
        # A CPU that trains has no core left for threads, and knows each loss at once.
        self._threads, self._check_every = (0, 1) if device.type == "cpu" else (min(8, cores()), 16)

    def train_epoch(self, epoch: int, advance: Any) -> float:
        """One pass over the manifest; returns the mean loss over its batches."""
        job = self.job
        torch.manual_seed(int(generator("torch", job.seed, epoch).integers(2**31)))
        np.random.seed(int(generator("numpy", job.seed, epoch).integers(2**31)))  # transformers' SpecAugment
        durations = [u.duration or 0.0 for u in job.manifest]
        batches = length_grouped(durations, job.training.batch_size, seed=job.seed, epoch=epoch)
        grouped = [[job.manifest.utterances[i] for i in indices] for indices in batches]
        made = prefetch(lambda n: self._batch(grouped[n], epoch, n), range(len(grouped)), self._threads)
        losses: list[float] = []
        pending: list[Tensor] = []
        for number, tensors in enumerate(made):
            pending.append(self._update(tensors))
            if len(pending) == self._check_every or number + 1 == len(grouped):
                losses += self._checked(pending, epoch, len(losses), grouped)
                pending = []
            advance(len(grouped[number]), f"loss {losses[-1]:.2f}" if losses else "")
        return float(np.mean(losses))

    def _checked(
        self, pending: Sequence[Tensor], epoch: int, first: int, batches: Sequence[Sequence[Utterance]]
    ) -> list[float]:
        """The losses as numbers: all at once, since asking a GPU for one makes it wait for everything before.

        Raises:
            DataError: a loss or a gradient is none; a gradient that is none has spoilt the weights.
        """
        values: list[list[float]] = torch.stack(list(pending)).tolist()
        for number, (loss, norm) in enumerate(values, first):
            for what, value in (("loss", loss), ("gradient's norm", norm)):
                if not math.isfinite(value):
                    ids = ", ".join(u.id for u in batches[number][:3])
                    raise DataError(self._diverged(what, value, epoch, number, len(batches), ids))
        return [loss for loss, _ in values]

    def _diverged(self, what: str, value: float, epoch: int, number: int, batches: int, ids: str) -> str:
        training = self.job.training
        update = epoch * batches + number + 1
        kept = f"epoch {epoch} of {training.epochs} is kept" if epoch else "no epoch was finished"
        advice = [f"lower training.learning_rate ({training.learning_rate:g})"]
        advice += ["set training.precision to fp32"] if self.job.precision != "fp32" else []
        advice += ["look for values that are no numbers in the checkpoint it starts from"] if update == 1 else []
        return (
            f"{self._label}: the {what} became {value} in epoch {epoch + 1}, batch {number + 1} "
            f"(update {update} of {batches * training.epochs}; {ids}, ...) and was stopped there; {kept}, "
            f"and every stage finished before. To go on: {', or '.join(advice)}"
        )

    def _update(self, tensors: Sequence[Tensor]) -> Tensor:
        """One step; loss and gradient norm, shape (2,)."""
        loss = self._gradients(tensors)
        norm = self._accelerator.clip_grad_norm_(self._prepared.parameters(), self.job.training.gradient_clip)
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()
        return torch.stack([loss, norm.detach().to(loss)])

    def _gradients(self, tensors: Sequence[Tensor]) -> Tensor:
        """The batch's loss, its gradients accumulated: at once, or in ever smaller parts where memory runs out.

        Raises:
            MemoryError: it does not suffice for one clip.
        """
        while True:
            rows = self._fits.parts(range(len(tensors[0])))
            try:
                with memory_errors():
                    return self._accumulated([[t[r[0] : r[-1] + 1] for t in tensors] for r in rows], tensors)
            except MemoryError:
                if len(rows[0]) == 1:
                    raise
            self._optimizer.zero_grad()
            self._fits.halve(len(rows[0]))

    def _accumulated(self, parts: Sequence[Sequence[Tensor]], batch: Sequence[Tensor]) -> Tensor:
        losses: list[Tensor] = []
        shared: dict[str, Any] = {}
        for part in parts:
            with torch.autocast(self._accelerator.device.type, torch.bfloat16, enabled=self.job.precision == "bf16"):
                if len(parts) > 1 and not shared:
                    shared["whole"] = self._loss.whole(*batch)
                loss = self._prepared(*part, **shared)
            self._accelerator.backward(loss)
            losses.append(loss.detach())
        return torch.stack(losses).sum() if len(losses) > 1 else losses[0]

    def _batch(self, utterances: Sequence[Utterance], epoch: int, number: int) -> list[Tensor]:
        waves = [self._wave(u, epoch) for u in utterances]
        full = generator("context", self.job.seed, epoch, number).random() < self.job.training.full_context_share
        tensors = self._lessons.batch([u.id for u in utterances], waves, full=full)
        return [tensor.to(self._accelerator.device) for tensor in tensors]

    def _wave(self, utterance: Utterance, epoch: int) -> NDArray[np.float32]:
        if (wave := self._waves.get(utterance.id)) is None:
            if utterance.audio is None:
                raise DataError(f"{utterance.id}: has no recording to train on")
            wave = read_audio(Path(utterance.audio), utterance=utterance.id)
            if self.job.manifest.seconds < _KEPT_SECONDS:
                self._waves[utterance.id] = wave
        if utterance.origin != "synthetic" or self.job.augmentation is None:
            return wave
        rng = generator("augment", self.job.seed, epoch, utterance.id)
        augmented = augment(wave, SAMPLING_RATE, self.job.augmentation, rng)
        return augmented if self._lessons.fits(utterance.id, augmented) else wave

    def save(self, scratch: Path, losses: Sequence[float]) -> None:
        """Keeps the finished epoch."""
        self._require_numbers()
        # It warns of each tied tensor that safetensors holds once, which is as it should be.
        logging.getLogger("accelerate.utils.other").setLevel(logging.ERROR)
        keep_epoch(scratch, losses, lambda folder: self._accelerator.save_state(str(folder)))

    def _require_numbers(self) -> None:
        """What is kept must be good to go on from; the last update of an epoch has no loss after it."""
        if not all(bool(torch.isfinite(p).all()) for p in self._model.parameters()):
            raise DataError(f"{self._label}: weights became infinite or NaN: lower training.learning_rate")

    def resume(self, scratch: Path) -> list[float]:
        """Takes up the last kept epoch; returns the losses of the epochs done so far."""
        if (kept := last_epoch(scratch)) is None:
            return []
        folder, losses = kept
        self._accelerator.load_state(str(folder))
        return losses

    def save_result(self, base: Path, scratch: Path) -> None:
        """Writes the tuned model, and what LoRA learnt beside it; the adapters are weights afterwards."""
        self._require_numbers()
        factors = low_rank_parts(self._model)
        merge_adapters(self._model)
        save_checkpoint(self._model, base, scratch / MODEL)
        if isinstance(lora := self.job.training.trainable, Lora):
            write_lora_vector(factors, lora.scale, scratch / MODEL, base, scratch / LORA_VECTOR)


def _lessons(base: Path, job: Job) -> WhisperLessons | CtcLessons:
    if job.family == "ctc":
        return CtcLessons(base, job.manifest)
    if job.subject == "short context":
        return ShortContextLessons(base, job.manifest, job.language)
    return WhisperLessons(base, job.manifest, job.training.audio_context, job.language)
