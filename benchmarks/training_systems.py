"""The trainings that benchmarks compare: asr-tv's stage, and Seq2SeqTrainer as usually set up."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from demo_material import Bench

from asr_tv.audio.recordings import read_audio
from asr_tv.config.run import AudioContext, TrainingConfig
from asr_tv.data.manifest import Manifest
from asr_tv.devices import choose_precision, shape_independent_attention
from asr_tv.models.whisper import load_model, load_tokenizer, prompt_ids, save_checkpoint
from asr_tv.progress import Advance
from asr_tv.store.payload import MODEL
from asr_tv.training.labels import collate, token_ids
from asr_tv.training.trainer import Job, train


@dataclass(frozen=True)
class Task:
    """What a system is to train, and on which device.

    Attributes:
        base: folder of the checkpoint it starts from.
        bf16: use bf16 autocast in both systems, instead of each one's default.
        begin: called right before the clock starts.
        on_update: called after each update.
    """

    bench: Bench
    manifest: Manifest
    training: TrainingConfig
    seed: int
    device: torch.device
    base: Path
    out: Path
    bf16: bool = False
    begin: Callable[[], None] = lambda: None
    on_update: Callable[[], None] = lambda: None


def lasting(bench: Bench, updates: int) -> TrainingConfig:
    """The configuration's training, with the fewest epochs on the mixed speech that give at least `updates` updates."""
    training = bench.config.training
    epochs = -(-updates * training.batch_size // len(bench.mixed))
    return training.model_copy(update={"epochs": max(1, epochs)})


@dataclass
class Clock:
    """When a training began and ended and when each update was done, in seconds of `time.perf_counter`."""

    task: Task
    started: float = 0.0
    ended: float = 0.0
    updates: list[float] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Times everything inside."""
        self.task.begin()
        self.started = time.perf_counter()
        yield
        self.ended = time.perf_counter()

    def update(self) -> None:
        """Notes that an update is done."""
        self.updates.append(time.perf_counter())
        self.task.on_update()

    @property
    def seconds(self) -> float:
        return self.ended - self.started

    @property
    def last_epoch(self) -> float:
        """Seconds per update in the last epoch, without the cost of first batches and of writing epochs."""
        count = len(self.updates) // self.task.training.epochs
        last = self.updates[-count:]
        return (last[-1] - last[0]) / (count - 1)


def ours(task: Task) -> tuple[Clock, AudioContext]:
    """asr-tv's stage; its time includes loading, features, keeping epochs and writing the tuned model."""
    task.out.mkdir()
    precision = "bf16" if task.bf16 else choose_precision("auto", task.device)
    job = Job(task.manifest, task.training, precision, task.seed, task.bench.config.language)
    clock = Clock(task)

    @contextmanager
    def watched(label: str, total: int, unit: str) -> Iterator[Advance]:
        def advance(done: int = 1, note: str = "") -> None:
            if done:
                clock.update()

        yield advance

    with clock.running():
        train(task.base, job, task.out, task.device, watched)
    return clock, task.training.audio_context


def peer(task: Task) -> tuple[Clock, AudioContext]:
    """Seq2SeqTrainer; its time excludes the features, which `datasets.map` would cache beforehand."""
    from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, WhisperFeatureExtractor

    model, tokenizer, training = load_model(task.base), load_tokenizer(task.base), task.training
    prompt = prompt_ids(tokenizer, task.bench.config.language)
    extractor = WhisperFeatureExtractor.from_pretrained(task.base)
    items = [_item(u, tokenizer, prompt, extractor, model.config) for u in task.manifest]
    options = Seq2SeqTrainingArguments(
        output_dir=str(task.out / "trainer"),
        per_device_train_batch_size=training.batch_size,
        learning_rate=training.learning_rate,
        warmup_steps=training.warmup,
        weight_decay=training.weight_decay,
        num_train_epochs=training.epochs,
        fp16=task.device.type == "cuda" and not task.bf16,
        bf16=task.bf16,
        use_cpu=task.device.type == "cpu",
        save_strategy="no",
        report_to=[],
        seed=task.seed,
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    clock, collator = Clock(task), _Collator(model.config)
    trainer = Seq2SeqTrainer(model=model, args=options, train_dataset=items, data_collator=collator)
    trainer.add_callback(_after_updates(clock.update))
    with clock.running():
        trainer.train()
    save_checkpoint(model.float(), task.base, task.out / MODEL)
    return clock, "full"


def peer_without_cudnn(task: Task) -> tuple[Clock, AudioContext]:
    """The same without cuDNN's attention, which makes a plan for each shape; isolates the effect of that."""
    with shape_independent_attention(task.device):
        return peer(task)


def _after_updates(call: Callable[[], None]) -> Any:
    from transformers import TrainerCallback

    class AfterUpdates(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            call()

    return AfterUpdates()


def _item(utterance: Any, tokenizer: Any, prompt: Any, extractor: Any, config: Any) -> dict[str, Any]:
    wave = read_audio(Path(utterance.audio), utterance=utterance.id)
    features = extractor(wave, sampling_rate=16_000, return_tensors="pt").input_features[0]
    ids = token_ids(tokenizer, prompt, utterance.text, config.eos_token_id)
    return {"input_features": features, "ids": ids, "prompt": len(prompt)}


class _Collator:
    """The usual padding collator, with asr-tv's labels, so that only speed differs."""

    def __init__(self, config: Any) -> None:
        self.pad = config.pad_token_id

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        inputs, labels = collate([item["ids"] for item in items], items[0]["prompt"], self.pad)
        features = torch.stack([item["input_features"] for item in items])
        return {"input_features": features, "decoder_input_ids": inputs, "labels": labels}


System = Callable[[Task], tuple[Clock, AudioContext]]
OURS, PEER = "asr-tv", "Seq2SeqTrainer, 30 s"
WITHOUT_CUDNN = f"{PEER}, without cuDNN's attention"
SYSTEMS: dict[str, System] = {OURS: ours, PEER: peer, WITHOUT_CUDNN: peer_without_cudnn}
