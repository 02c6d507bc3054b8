"""Fine-tuning: utterances per second and WER, against Hugging Face's Seq2SeqTrainer as usually set up.

    python benchmarks/finetuning.py --updates 60
    python benchmarks/finetuning.py --updates 160 --at-once 4

The peer pads to 30 s, extracts features once beforehand, and trains in its default precision (fp32 on a CPU, fp16
on a GPU). Both see the same utterances equally often, with the same batch size, learning rate and schedule. Each trains
a few batches first, because the first use of a GPU has costs of its own (libraries are read from disk, kernels loaded).
On a GPU the peer runs a second time, without cuDNN's attention, as asr-tv always runs.

With --at-once the rate is that of all trainings of a system together, from the first start to the last end; the other
columns are those of the slowest training.
"""

import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from demo_material import Bench, arguments, forget_peak, load, peak_memory, show, wer
from training_systems import PEER, SYSTEMS, WITHOUT_CUDNN, Task, lasting

from asr_tv.config.run import TrainingConfig
from asr_tv.data.manifest import Manifest
from asr_tv.decoding.options import Decoding
from asr_tv.decoding.recogniser import WhisperRecogniser
from asr_tv.devices import choose_device, choose_precision
from asr_tv.store.payload import MODEL
from asr_tv.workers import cores

_FIRST_BATCHES = 3


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[17])
    parser.add_argument("--systems", choices=tuple(SYSTEMS), nargs="+", help="these, in place of all")
    parser.add_argument(
        "--at-once", type=int, default=1, help="so many trainings of a system side by side, of one seed"
    )
    parser.add_argument("--only", choices=tuple(SYSTEMS), help="one training with the first seed, in this process")
    parser.add_argument("--meet", type=Path, help="folder in which the trainings side by side wait for each other")
    options = parser.parse_args()
    if options.only:
        row = _one(options)
        options.json.write_text(json.dumps(row)) if options.json else print(row)
        return
    load(options.config, options.store)  # made now, so that no row includes it
    gpu = choose_device(options.device).type == "cuda"
    systems = options.systems or [name for name in SYSTEMS if gpu or name != WITHOUT_CUDNN]
    rows = [_apart(options, seed, name) for seed in options.seeds for name in systems]
    peers = {row["seed"]: row["utterances/s"] for row in rows if row["system"] == PEER}
    for row in rows:
        row["ratio"] = row["utterances/s"] / peers[row["seed"]] if peers else None
    show(rows, options.json)


def _apart(options: Any, seed: int, name: str) -> dict[str, Any]:
    """Trains in separate processes, to measure peak memory and because accelerate fixes precision per process."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"row-{number}.json" for number in range(options.at_once)]
        command = [sys.executable, __file__, "--config", str(options.config), "--store", str(options.store)]
        command += ["--device", options.device, "--updates", str(options.updates), "--seeds", str(seed)]
        command += ["--at-once", str(options.at_once), "--meet", folder, "--only", name, "--json"]
        _end_of([subprocess.Popen([*command, str(file)]) for file in files], name)
        found: list[dict[str, Any]] = [json.loads(file.read_text()) for file in files]
    clocks = [row.pop("clock") for row in found]
    seconds = max(end for _, end in clocks) - min(start for start, _ in clocks)
    row = max(found, key=lambda row: row["training s"])
    row["utterances/s"] = sum(row["utterances"] for row in found) / seconds
    print(row, flush=True)
    return row


def _end_of(running: list[subprocess.Popen[bytes]], name: str) -> None:
    """Waits for all; if one fails, ends the others, which would wait for it forever."""
    while any(process.poll() is None for process in running):
        if any(process.poll() for process in running):
            for process in running:
                process.kill()
        time.sleep(0.05)
    if any(process.returncode for process in running):
        sys.exit(f"{name}: a training failed")


def _one(options: Any) -> dict[str, Any]:
    if options.at_once > 1:
        torch.set_num_threads(max(1, cores() // options.at_once))
    bench = load(options.config, options.store)
    training = lasting(bench, options.updates)
    with tempfile.TemporaryDirectory() as scratch:
        return measured(options, bench, training, Path(scratch))


def measured(options: Any, bench: Bench, training: TrainingConfig, scratch: Path) -> dict[str, Any]:
    """Trains once, and scores the result in the context in which it was tuned."""
    name, on, (seed,) = options.only, choose_device(options.device), options.seeds
    few = Manifest("first", bench.mixed.utterances[: _FIRST_BATCHES * training.batch_size])
    once = training.model_copy(update={"epochs": 1})
    start = bench.material.base.path / MODEL
    first, _ = SYSTEMS[name](Task(bench, few, once, seed, on, start, scratch / "first"))
    forget_peak(on)
    prepared = time.perf_counter()
    meet = partial(_wait_for_all, options.meet, options.at_once)
    clock, context = SYSTEMS[name](Task(bench, bench.mixed, training, seed, on, start, scratch / "whole", begin=meet))
    peak = peak_memory(on)
    test = bench.material.target_test
    assert test is not None
    decoding = Decoding(context, bench.config.language, precision=choose_precision("auto", on))
    texts = WhisperRecogniser(scratch / "whole" / MODEL, decoding, on).transcribe(test.utterances, 16, lambda n: None)
    utterances = training.epochs * len(bench.mixed)
    return {
        "system": name,
        "seed": seed,
        "at once": options.at_once,
        "utterances": utterances,
        "updates": len(clock.updates),
        "utterances/s": utterances / clock.seconds,
        "first batches s": first.seconds,
        "training s": clock.seconds,
        "with preparation s": clock.ended - prepared,
        "ms/update, last epoch": 1e3 * clock.last_epoch,
        "WER %": wer(test, texts),
        "peak memory GB": peak / 1e9,
        "clock": (clock.started, clock.ended),
    }


def _wait_for_all(folder: Path | None, count: int) -> None:
    """Waits until every training that is to run beside this one is ready."""
    if folder is None:
        return
    with tempfile.NamedTemporaryFile(dir=folder, prefix="ready-", delete=False):
        while len(list(folder.glob("ready-*"))) < count:
            time.sleep(0.01)


if __name__ == "__main__":
    main()
