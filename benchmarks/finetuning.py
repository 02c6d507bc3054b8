"""Fine-tuning: utterances a second and WER, against Hugging Face's Seq2SeqTrainer as the usual recipe has it.

    python benchmarks/finetuning.py --updates 60

The peer pads to 30 s, extracts features once beforehand, and trains in its default precision (fp32 on a CPU, fp16
on a GPU). Both see the same utterances as often, in batches of one size, with one learning rate and schedule.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from demo_material import Bench, arguments, load, peak_memory, show, wer

from asr_tv.audio import read_audio
from asr_tv.checkpoint.whisper import load_model, load_tokenizer, prompt_ids, save_checkpoint
from asr_tv.config import TrainingConfig
from asr_tv.decoding import Decoding
from asr_tv.devices import choose_device, choose_precision
from asr_tv.finetune import MODEL, Job, run
from asr_tv.labels import collate, token_ids
from asr_tv.manifest import Manifest
from asr_tv.transcribe import Recogniser


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--only", choices=tuple(SYSTEMS), help="one training with the first seed, in this process")
    parser.add_argument("--seeds", type=int, nargs="+", default=[17])
    options = parser.parse_args()
    if options.only:
        row = _one(options)
        options.json.write_text(json.dumps(row)) if options.json else print(row)
        return
    rows = [_apart(options, seed, name) for seed in options.seeds for name in SYSTEMS]
    peers = {row["seed"]: row["utterances/s"] for row in rows if row["system"] != OURS}
    for row in rows:
        row["ratio"] = row["utterances/s"] / peers[row["seed"]]
    show(rows, options.json)


def _apart(options: Any, seed: int, name: str) -> dict[str, Any]:
    """One training in a process of its own, for its peak memory, and since precision is accelerate's for a process."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [sys.executable, __file__]
        command += ["--config", str(options.config), "--store", str(options.store), "--device", options.device]
        command += ["--updates", str(options.updates), "--seeds", str(seed), "--only", name, "--json", out.name]
        subprocess.run(command, check=True)
        row: dict[str, Any] = json.loads(Path(out.name).read_text())
    print(row, flush=True)
    return row


def _one(options: Any) -> dict[str, Any]:
    bench = load(options.config, options.store)
    training = bench.config.training
    epochs = -(-options.updates * training.batch_size // len(bench.mixed))
    training = training.model_copy(update={"epochs": max(1, epochs)})
    with tempfile.TemporaryDirectory() as scratch:
        (seed,) = options.seeds
        return measured(options.only, SYSTEMS[options.only], bench, training, seed, options.device, Path(scratch))


def measured(
    name: str, train: Any, bench: Bench, training: TrainingConfig, seed: int, device: str, scratch: Path
) -> dict[str, Any]:
    """One training and the WER of what it gave, decoded in the context it was tuned in."""
    on = choose_device(device)
    out = scratch / f"{name}-{seed}".replace(" ", "-").replace(",", "")
    started = time.perf_counter()
    context, seconds, updates = train(bench, training, seed, on, out)
    total = time.perf_counter() - started
    test = bench.material.target_test
    assert test is not None
    decoding = Decoding(context, bench.config.language, precision=choose_precision("auto", on))
    texts = Recogniser(out / MODEL, decoding, on).transcribe(test.utterances, 16, lambda n: None)
    utterances = training.epochs * len(bench.mixed)
    return {
        "system": name,
        "seed": seed,
        "updates": updates,
        "utterances/s": utterances / seconds,
        "training s": seconds,
        "with preparation s": total,
        "WER %": wer(test, texts),
        "peak memory GB": peak_memory(on) / 1e9,
    }


def ours(bench: Bench, training: TrainingConfig, seed: int, device: torch.device, out: Path) -> tuple[Any, float, int]:
    """This project's stage, features included in the time."""
    out.mkdir()
    job = Job(bench.mixed, training, choose_precision("auto", device), seed, bench.config.language)
    started = time.perf_counter()
    run(bench.material.base.path / MODEL, job, out, device)
    return training.audio_context, time.perf_counter() - started, updates_of(bench.mixed, training)


def updates_of(manifest: Manifest, training: TrainingConfig) -> int:
    return training.epochs * -(-len(manifest) // training.batch_size)


def peer(bench: Bench, training: TrainingConfig, seed: int, device: torch.device, out: Path) -> tuple[Any, float, int]:
    """Seq2SeqTrainer; features are made beforehand and not in the time, as `datasets.map` would cache them."""
    from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, WhisperFeatureExtractor

    base = bench.material.base.path / MODEL
    model, tokenizer = load_model(base), load_tokenizer(base)
    prompt = prompt_ids(tokenizer, bench.config.language)
    extractor = WhisperFeatureExtractor.from_pretrained(base)
    items = [_item(u, tokenizer, prompt, extractor, model.config) for u in bench.mixed]
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
    return "full", seconds, trainer.state.global_step


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


OURS = "asr-tv"
SYSTEMS = {OURS: ours, "Seq2SeqTrainer, 30 s": peer}


if __name__ == "__main__":
    main()
