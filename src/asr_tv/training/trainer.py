"""The training loop: batches, optimiser, precision, and finished epochs from which an interrupted run resumes."""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from asr_tv.audio.channel import augment
from asr_tv.audio.recordings import Wave
from asr_tv.config.run import AugmentationConfig, TrainingConfig
from asr_tv.config.section import Family
from asr_tv.config.trainable import Lora
from asr_tv.data.manifest import Manifest, Utterance, without_words
from asr_tv.data.recorded import read_wave
from asr_tv.devices import Precision, shape_independent_attention
from asr_tv.errors import DataError, listed
from asr_tv.memory import ShrinkingBatches, memory_errors, named_memory_error
from asr_tv.models.audio_context import SAMPLING_RATE
from asr_tv.models.whisper import save_checkpoint
from asr_tv.progress import Progress, silent
from asr_tv.safe_text import counted
from asr_tv.seeds import generator
from asr_tv.store.payload import MODEL
from asr_tv.store.results import write_atomically
from asr_tv.training.batches import group_by_length
from asr_tv.training.data import Rehearsal, rehearsed, rehearsed_number
from asr_tv.training.freezing import low_rank_parts, make_trainable, merge_adapters, set_training_mode
from asr_tv.training.kept_epochs import LOSSES, forget_epochs, keep_epoch, last_epoch, read_losses
from asr_tv.training.objectives.ctc import CtcObjective
from asr_tv.training.objectives.rehearsal import RehearsalObjective
from asr_tv.training.objectives.short_context import ShortContextObjective
from asr_tv.training.objectives.weighted import WeightedObjective
from asr_tv.training.objectives.whisper import WhisperObjective
from asr_tv.vectors.files import write_lora_vector
from asr_tv.workers import cores, prefetch

LORA_VECTOR = "lora_vector.safetensors"
"""The change by LoRA as a task vector of a few megabytes, beside the model, into which it is merged."""
_MEMORY_ADVICE = "free some, set run.device to cpu, a shorter training.audio_context, or training.trainable to lora"
_KEPT_SECONDS = 2 * 3600.0
"""Up to this much audio stays in memory between epochs (460 MB); a larger manifest is read again in each."""


@dataclass(frozen=True)
class Job:
    """Everything that determines the result of a training, except the base checkpoint.

    Only synthetic clips are augmented. A "short context" is learnt by a Whisper's distillation from itself.

    Attributes:
        rehearsal: general clips in the order that training uses; for Whisper models.
        weights: by id, of a label's tokens; for Whisper models without rehearsal.
    """

    manifest: Manifest
    training: TrainingConfig
    precision: Precision
    seed: int
    language: str
    augmentation: AugmentationConfig | None = None
    family: Family = "whisper"
    subject: Literal["transcription", "short context"] = "transcription"
    rehearsal: Rehearsal | None = None
    weights: tuple[tuple[str, tuple[float, ...]], ...] = ()

    @property
    def updates(self) -> int:
        return self.training.epochs * len(self.batches(0))

    @property
    def clips_per_epoch(self) -> int:
        """Labelled and rehearsed."""
        return len(self.manifest) + self._rehearsed_number

    @property
    def _rehearsed_number(self) -> int:
        return rehearsed_number(self.rehearsal, len(self.manifest))

    def batches(self, epoch: int) -> list[list[Utterance]]:
        """Of an epoch, each of labelled or of rehearsed clips."""
        batches = self._grouped(self.manifest.utterances, epoch)
        if self.rehearsal is None:
            return batches
        general = rehearsed(self.rehearsal.clips.utterances, self._rehearsed_number, self.seed, epoch)
        batches += self._grouped(general, epoch)
        return [batches[i] for i in generator("order", self.seed, epoch).permutation(len(batches))]

    def _grouped(self, clips: Sequence[Utterance], epoch: int) -> list[list[Utterance]]:
        durations = [u.duration or 0.0 for u in clips]
        batches = group_by_length(durations, self.training.batch_size, seed=self.seed, epoch=epoch)
        return [[clips[i] for i in indices] for indices in batches]


def sort_by_id(manifest: Manifest, label: str) -> Manifest:
    """The manifest in the order that its training uses: batches depend on the order, a digest does not.

    Raises:
        DataError: it is empty, or texts in it hold no word.
    """
    if not len(manifest):
        raise DataError(f"{label}: the manifest {manifest.name} is empty, there is nothing to train on")
    if empty := without_words(manifest):
        what = f"{counted(len(empty), 'label')} without a word, which would teach the model to write nothing"
        raise DataError(f"{label}: {manifest.name}: {what}: {listed(empty)}")
    return Manifest(manifest.name, tuple(sorted(manifest, key=lambda u: u.id)))


def select_trainable(model: Any, job: Job) -> None:
    """Freezes, in place, what the job does not tune, and injects its adapters."""
    if job.family == "ctc" and job.training.freeze_feature_encoder:
        model.freeze_feature_encoder()
    make_trainable(model, job.training.trainable, seed=int(generator("adapters", job.seed).integers(2**31)))


def train(
    base: Path, job: Job, scratch: Path, device: torch.device, progress: Progress = silent, label: str = "finetune"
) -> list[float]:
    """Trains in `scratch`, resuming from what is there, and writes the tuned checkpoint to `scratch/model`.

    Returns:
        The mean loss of each epoch.

    Raises:
        DataError: a text or recording that cannot be trained on, a loss that is not finite, or too little memory.
    """
    finished = scratch / LOSSES
    if finished.exists():
        return read_losses(scratch)
    with named_memory_error(f"{label}, one clip at a time", _MEMORY_ADVICE), shape_independent_attention(device):
        trainer = _Trainer(base, job, device, label)
        losses = trainer.resume(scratch)
        with progress(label, job.training.epochs * job.clips_per_epoch, "utterances") as advance:
            advance(len(losses) * job.clips_per_epoch)
            for epoch in range(len(losses), job.training.epochs):
                losses.append(trainer.train_epoch(epoch, advance))
                if epoch + 1 < job.training.epochs:
                    trainer.save(scratch, losses)
    trainer.save_result(base, scratch)
    forget_epochs(scratch)
    write_atomically(finished, json.dumps(losses))
    return losses


class _Trainer:
    """One model with its optimiser and schedule on one device; its batches depend on job and epoch only."""

    def __init__(self, base: Path, job: Job, device: torch.device, label: str) -> None:
        from accelerate import Accelerator
        from transformers import get_linear_schedule_with_warmup

        self._job, self._label, self._fits = job, label, ShrinkingBatches()
        # Accelerate sets its precision once per process, but two trainings in one process may differ.
        self._accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no")
        training, updates = job.training, job.updates
        self._objective = _make_objective(base, job)
        self._model = self._objective.model
        select_trainable(self._model, job)
        set_training_mode(self._model)
        if training.gradient_checkpointing:
            # Part of the key: gradients are summed in another order, which changes their last bits.
            self._model.activation_checkpointing_enable()
        optimizer = torch.optim.AdamW(
            # Frozen parameters must be left out: weight decay would change them even without a gradient.
            [p for p in self._model.parameters() if p.requires_grad],
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            fused=True,
        )
        # Warm-up starts at 0, so a training of one update has none.
        warmup = min(math.ceil(training.warmup * updates), updates - 1)
        schedule = get_linear_schedule_with_warmup(optimizer, warmup, updates)  # type: ignore[no-untyped-call]
        self._loss: Any = self._objective.loss()
        self._prepared, self._optimizer, self._schedule = self._accelerator.prepare(self._loss, optimizer, schedule)
        self._waves: dict[str, Wave] = {}
        # When the CPU trains, no core is left for loader threads, and reading each loss costs nothing.
        self._threads, self._check_every = (0, 1) if device.type == "cpu" else (min(8, cores()), 16)

    def train_epoch(self, epoch: int, advance: Any) -> float:
        """One pass over the manifest; returns the mean loss of its batches."""
        seed = self._job.seed
        torch.manual_seed(int(generator("torch", seed, epoch).integers(2**31)))
        np.random.seed(int(generator("numpy", seed, epoch).integers(2**31)))  # transformers' SpecAugment
        batches = self._job.batches(epoch)
        loaded = prefetch(lambda n: self._load_batch(batches[n], epoch, n), range(len(batches)), self._threads)
        losses: list[float] = []
        pending: list[Tensor] = []
        for number, tensors in enumerate(loaded):
            pending.append(self._update(tensors))
            if len(pending) == self._check_every or number + 1 == len(batches):
                losses += self._read_losses(pending, epoch, len(losses), batches)
                pending = []
            advance(len(batches[number]), f"loss {losses[-1]:.2f}" if losses else "")
        return float(np.mean(losses))

    def _read_losses(
        self, pending: Sequence[Tensor], epoch: int, first: int, batches: Sequence[Sequence[Utterance]]
    ) -> list[float]:
        """Losses of several updates as numbers, together, since reading one makes the CPU wait for the GPU."""
        values: list[list[float]] = torch.stack(list(pending)).tolist()
        for number, (loss, norm) in enumerate(values, first):
            for what, value in (("loss", loss), ("gradient's norm", norm)):
                if not math.isfinite(value):
                    ids = ", ".join(u.id for u in batches[number][:3])
                    raise DataError(self._describe_divergence(what, value, epoch, number, len(batches), ids))
        return [loss for loss, _ in values]

    def _describe_divergence(self, what: str, value: float, epoch: int, number: int, batches: int, ids: str) -> str:
        training = self._job.training
        update = epoch * batches + number + 1
        kept = f"epoch {epoch} of {training.epochs} is kept" if epoch else "no epoch was finished"
        advice = [f"lower training.learning_rate ({training.learning_rate:g})"]
        advice += ["set training.precision to fp32"] if self._job.precision != "fp32" else []
        advice += ["look for NaN or infinite values in the checkpoint that it starts from"] if update == 1 else []
        return (
            f"{self._label}: the {what} became {value} in epoch {epoch + 1}, batch {number + 1} "
            f"(update {update} of {batches * training.epochs}; {ids}, ...), so training stopped; {kept}; "
            f"finished stages are kept. To go on: {', or '.join(advice)}"
        )

    def _update(self, tensors: Sequence[Tensor]) -> Tensor:
        """One optimiser step; returns loss and gradient norm, shape (2,)."""
        loss = self._compute_gradients(tensors)
        norm = self._accelerator.clip_grad_norm_(self._prepared.parameters(), self._job.training.gradient_clip)
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()
        return torch.stack([loss, norm.detach().to(loss)])

    def _compute_gradients(self, tensors: Sequence[Tensor]) -> Tensor:
        """The batch's loss, with gradients accumulated over ever smaller parts where memory runs out."""
        while True:
            rows = self._fits.parts(range(len(tensors[0])))
            try:
                with memory_errors():
                    return self._accumulate([[t[r[0] : r[-1] + 1] for t in tensors] for r in rows], tensors)
            except MemoryError:
                if len(rows[0]) == 1:
                    raise
            self._optimizer.zero_grad()
            self._fits.halve(len(rows[0]))

    def _accumulate(self, parts: Sequence[Sequence[Tensor]], batch: Sequence[Tensor]) -> Tensor:
        losses: list[Tensor] = []
        whole: Any = None
        for part in parts:
            with torch.autocast(self._accelerator.device.type, torch.bfloat16, enabled=self._job.precision == "bf16"):
                if len(parts) > 1 and whole is None:
                    whole = self._loss.whole(*batch)
                loss = self._prepared(*part, whole)
            self._accelerator.backward(loss)
            losses.append(loss.detach())
        return torch.stack(losses).sum() if len(losses) > 1 else losses[0]

    def _load_batch(self, utterances: Sequence[Utterance], epoch: int, number: int) -> list[Tensor]:
        waves = [self._load_wave(u, epoch) for u in utterances]
        full = generator("context", self._job.seed, epoch, number).random() < self._job.training.full_context_share
        tensors = self._objective.batch([u.id for u in utterances], waves, full=full)
        return [tensor.to(self._accelerator.device) for tensor in tensors]

    def _load_wave(self, utterance: Utterance, epoch: int) -> Wave:
        if (wave := self._waves.get(utterance.id)) is None:
            wave = read_wave(utterance)
            if self._job.manifest.seconds < _KEPT_SECONDS:
                self._waves[utterance.id] = wave
        if utterance.origin != "synthetic" or self._job.augmentation is None:
            return wave
        rng = generator("augment", self._job.seed, epoch, utterance.id)
        augmented = augment(wave, SAMPLING_RATE, self._job.augmentation, rng)
        return augmented if self._objective.fits(utterance.id, augmented) else wave

    def save(self, scratch: Path, losses: Sequence[float]) -> None:
        self._require_finite_weights()
        # It warns about tied tensors, which safetensors rightly stores once.
        logging.getLogger("accelerate.utils.other").setLevel(logging.ERROR)
        keep_epoch(scratch, losses, lambda folder: self._accelerator.save_state(str(folder)))

    def _require_finite_weights(self) -> None:
        """Checks what no loss shows: the weights after the last update of an epoch."""
        if not all(bool(torch.isfinite(p).all()) for p in self._model.parameters()):
            raise DataError(f"{self._label}: weights became infinite or NaN: lower training.learning_rate")

    def resume(self, scratch: Path) -> list[float]:
        """Loads the last kept epoch, if any; returns the losses of the epochs up to it."""
        folder, losses = last_epoch(scratch) or (None, [])
        if folder is not None:
            self._accelerator.load_state(str(folder))
        return losses

    def save_result(self, base: Path, scratch: Path) -> None:
        """Merges the adapters, then writes the tuned model, and beside it the vector of LoRA."""
        self._require_finite_weights()
        factors = low_rank_parts(self._model)
        merge_adapters(self._model)
        save_checkpoint(self._model, base, scratch / MODEL)
        if isinstance(lora := self._job.training.trainable, Lora):
            write_lora_vector(factors, lora.scale, scratch / MODEL, base, scratch / LORA_VECTOR)


def _make_objective(base: Path, job: Job) -> WhisperObjective | CtcObjective:
    rehearsal = job.rehearsal
    if job.family == "ctc":
        return CtcObjective(base, job.manifest)
    if job.subject == "short context":
        return ShortContextObjective(base, job.manifest, job.language)
    if rehearsal is not None:
        teacher = rehearsal.teacher.path / MODEL
        context = job.training.audio_context
        return RehearsalObjective(base, teacher, job.manifest, rehearsal, context, job.language)
    if job.weights:
        context = job.training.audio_context
        return WeightedObjective(base, job.manifest, context, job.language, dict(job.weights))
    return WhisperObjective(base, job.manifest, job.training.audio_context, job.language)
