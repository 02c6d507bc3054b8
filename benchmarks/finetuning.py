"""Fine-tuning: utterances a second and WER, against Hugging Face's Seq2SeqTrainer as the usual recipe has it.

    python benchmarks/finetuning.py --updates 60
    python benchmarks/finetuning.py --updates 160 --at-once 4

The peer pads to 30 s, extracts features once beforehand, and trains in its default precision (fp32 on a CPU, fp16
on a GPU). Both see the same utterances as often, in batches of one size, with one learning rate and schedule. Each
trains a few batches first, since what a GPU costs once (its libraries read from disk, its kernels loaded) would
fall on whichever runs first. On a GPU the peer runs a second time, without cuDNN's attention, as this project runs.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from demo_material import Bench, arguments, load, peak_memory, show, wer

from asr_tv.audio import read_audio
from asr_tv.checkpoint.whisper import load_model, load_tokenizer, prompt_ids, save_checkpoint
from asr_tv.config import TrainingConfig
from asr_tv.decoding import Decoding
from asr_tv.devices import any_shape, choose_device, choose_precision
from asr_tv.finetune import MODEL, Job, run
from asr_tv.labels import collate, token_ids
from asr_tv.manifest import Manifest
from asr_tv.progress import Advance, silent
from asr_tv.transcribe import Recogniser

_FIRST_BATCHES = 3


@dataclass(frozen=True)
class Trained:
    """What a training took: seconds in all, seconds of its updates alone, and in what context it learnt."""

    seconds: float
    updating: float
    context: Any


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--only", choices=tuple(SYSTEMS), help="one training with the first seed, in this process")
    parser.add_argument("--seeds", type=int, nargs="+", default=[17])
    parser.add_argument("--at-once", type=int, default=1, help="so many trainings of a system side by side")
    parser.add_argument("--meet", type=Path, help="folder in which the trainings side by side wait for each other")
    options = parser.parse_args()
    if options.only:
        row = _one(options)
        options.json.write_text(json.dumps(row)) if options.json else print(row)
        return
    gpu = choose_device(options.device).type == "cuda"
    systems = [name for name in SYSTEMS if gpu or name != WITHOUT_CUDNN]
    rows = [_apart(options, seed, name) for seed in options.seeds for name in systems]
    peers = {row["seed"]: row["utterances/s"] for row in rows if row["system"] == PEER}
    for row in rows:
        row["ratio"] = row["utterances/s"] / peers[row["seed"]]
    show(rows, options.json)


def _apart(options: Any, seed: int, name: str) -> dict[str, Any]:
    """Trainings in processes of their own, for their peak memory, and since precision is accelerate's for a process."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"row-{number}.json" for number in range(options.at_once)]
        command = [sys.executable, __file__, "--config", str(options.config), "--store", str(options.store)]
        command += ["--device", options.device, "--updates", str(options.updates), "--seeds", str(seed)]
        command += ["--at-once", str(options.at_once), "--meet", folder, "--only", name, "--json"]
        _end_of([subprocess.Popen([*command, str(file)]) for file in files], name)
        rows: list[dict[str, Any]] = [json.loads(file.read_text()) for file in files]
    slowest = max(rows, key=lambda row: row["training s"])
    row = slowest | {"utterances/s": sum(row["utterances"] for row in rows) / slowest["training s"]}
    print(row, flush=True)
    return row


def _end_of(running: list[subprocess.Popen[bytes]], name: str) -> None:
    """Waits; where one fails the others would wait for it for ever, and are ended."""
    while any(process.poll() is None for process in running):
        if any(process.poll() for process in running):
            for process in running:
                process.kill()
        time.sleep(0.05)
    if any(process.returncode for process in running):
        sys.exit(f"{name}: a training failed")


def _one(options: Any) -> dict[str, Any]:
    bench = load(options.config, options.store)
    training = bench.config.training
    epochs = -(-options.updates * training.batch_size // len(bench.mixed))
    training = training.model_copy(update={"epochs": max(1, epochs)})
    with tempfile.TemporaryDirectory() as scratch:
        (seed,) = options.seeds
        return measured(options, bench, training, seed, Path(scratch))


def measured(options: Any, bench: Bench, training: TrainingConfig, seed: int, scratch: Path) -> dict[str, Any]:
    """One training and the WER of what it gave, decoded in the context it was tuned in."""
    name, on = options.only, choose_device(options.device)
    train = SYSTEMS[name]
    few = Manifest("first", bench.mixed.utterances[: _FIRST_BATCHES * training.batch_size])
    once = training.model_copy(update={"epochs": 1})
    first = train(bench, few, once, seed, on, scratch / "first")
    _wait_for_all(options)
    started = time.perf_counter()
    trained = train(bench, bench.mixed, training, seed, on, scratch / "whole")
    total = time.perf_counter() - started
    test = bench.material.target_test
    assert test is not None
    decoding = Decoding(trained.context, bench.config.language, precision=choose_precision("auto", on))
    texts = Recogniser(scratch / "whole" / MODEL, decoding, on).transcribe(test.utterances, 16, lambda n: None)
    utterances = training.epochs * len(bench.mixed)
    return {
        "system": name,
        "seed": seed,
        "at once": options.at_once,
        "utterances": utterances,
        "updates": training.epochs * -(-len(bench.mixed) // training.batch_size),
        "utterances/s": utterances / trained.seconds,
        "first batches s": first.seconds,
        "updates alone s": trained.updating,
        "training s": trained.seconds,
        "with preparation s": total,
        "WER %": wer(test, texts),
        "peak memory GB": peak_memory(on) / 1e9,
    }


def _wait_for_all(options: Any) -> None:
    """Until every training that is to run beside this one is as far."""
    if options.meet is None:
        return
    with tempfile.NamedTemporaryFile(dir=options.meet, prefix="ready-", delete=False):
        while len(list(options.meet.glob("ready-*"))) < options.at_once:
            time.sleep(0.01)


def ours(
    bench: Bench, manifest: Manifest, training: TrainingConfig, seed: int, device: torch.device, out: Path
) -> Trained:
    """This project's stage: its time has loading, features and kept epochs in it."""
    out.mkdir()
    job = Job(manifest, training, choose_precision("auto", device), seed, bench.config.language)
    updating = [0.0]

    @contextmanager
    def stopwatch(label: str, total: int, unit: str) -> Iterator[Advance]:
        with silent(label, total, unit) as advance:
            started = time.perf_counter()
            yield advance
            updating[0] = time.perf_counter() - started

    started = time.perf_counter()
    run(bench.material.base.path / MODEL, job, out, device, stopwatch)
    return Trained(time.perf_counter() - started, updating[0], training.audio_context)


def peer(
    bench: Bench, manifest: Manifest, training: TrainingConfig, seed: int, device: torch.device, out: Path
) -> Trained:
    """Seq2SeqTrainer; features are made beforehand and not in the time, as `datasets.map` would cache them."""
    from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, WhisperFeatureExtractor

    base = bench.material.base.path / MODEL
    model, tokenizer = load_model(base), load_tokenizer(base)
    prompt = prompt_ids(tokenizer, bench.config.language)
    extractor = WhisperFeatureExtractor.from_pretrained(base)
    items = [_item(u, tokenizer, prompt, extractor, model.config) for u in manifest]
    options = Seq2SeqTrainingArguments(
        output_dir=str(out / "trainer"),
        per_device_train_batch_size=training.batch_size,
        learning_rate=training.learning_rate,
        warmup_steps=training.warmup,
        weight_decay=training.weight_decay,
        num_train_epochs=training.epochs,
        fp16=device.type == "cuda",
        use_cpu=device.type == "cpu",
        save_strategy="no",
        report_to=[],
        seed=seed,
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    trainer = Seq2SeqTrainer(model=model, args=options, train_dataset=items, data_collator=_Collator(model.config))
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    save_checkpoint(model.float(), base, out / MODEL)
    return Trained(seconds, seconds, "full")


def peer_without_cudnn(
    bench: Bench, manifest: Manifest, training: TrainingConfig, seed: int, device: torch.device, out: Path
) -> Trained:
    """The same without cuDNN's attention, which plans anew for each shape; for what that alone is worth."""
    with any_shape(device):
        return peer(bench, manifest, training, seed, device, out)


def _item(utterance: Any, tokenizer: Any, prompt: Any, extractor: Any, config: Any) -> dict[str, Any]:
    wave = read_audio(Path(utterance.audio), utterance=utterance.id)
    features = extractor(wave, sampling_rate=16_000, return_tensors="pt").input_features[0]
    ids = token_ids(tokenizer, prompt, utterance.text, config.eos_token_id)
    return {"input_features": features, "ids": ids, "prompt": len(prompt)}


class _Collator:
    """The usual padding collator, with this project's (right) labels, so that speed alone differs."""

    def __init__(self, config: Any) -> None:
        self.pad = config.pad_token_id

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        inputs, labels = collate([item["ids"] for item in items], items[0]["prompt"], self.pad)
        features = torch.stack([item["input_features"] for item in items])
        return {"input_features": features, "decoder_input_ids": inputs, "labels": labels}


System = Callable[[Bench, Manifest, TrainingConfig, int, torch.device, Path], Trained]
PEER, WITHOUT_CUDNN = "Seq2SeqTrainer, 30 s", "Seq2SeqTrainer, 30 s, without cuDNN's attention"
SYSTEMS: dict[str, System] = {"asr-tv": ours, PEER: peer, WITHOUT_CUDNN: peer_without_cudnn}


if __name__ == "__main__":
    main()
