"""Cost against the number of utterances: features, training, and scoring with a stub in the decoder's place.

    python benchmarks/growth.py --utterances 100 1000 10000

The clips are the demo's, repeated under new names, so that each is read from disk like a different one. Linear time
shows as a constant cost per utterance, flat memory as a constant peak. Each size runs in a process of its own.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from demo_material import Bench, arguments, load, peak_memory, show

from asr_tv.config.run import TrainingConfig
from asr_tv.data.manifest import Manifest
from asr_tv.devices import choose_device, choose_precision
from asr_tv.models.audio_context import context_seconds, log_mel
from asr_tv.scoring.evaluation import compare
from asr_tv.scoring.score import evaluate
from asr_tv.training.trainer import Job, train


def main() -> None:
    """Prints cost per utterance and peak memory by size."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--utterances", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--part", choices=PARTS, help="one part at the first size, in this process")
    options = parser.parse_args()
    if options.part:
        print(json.dumps(_measured(options.part, load(options.config, options.store), options.utterances[0])))
        return
    load(options.config, options.store)  # made now, so that no row includes it
    rows = []
    for part in options.parts:
        for count in options.utterances:
            command = [sys.executable, __file__, "--config", str(options.config), "--store", str(options.store)]
            command += ["--part", part, "--utterances", str(count)]
            found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rows.append(json.loads(found.splitlines()[-1]))
            print(rows[-1], flush=True)
    show(rows, options.json)


def _many(bench: Bench, count: int) -> Manifest:
    """`count` utterances of at most 3 s."""
    short = [u for u in bench.mixed if (u.duration or 9.0) <= 3.0]
    return Manifest("growth", tuple(replace(short[n % len(short)], id=f"u{n:06d}") for n in range(count)))


def _measured(part: str, bench: Bench, count: int) -> dict[str, Any]:
    manifest = _many(bench, count)
    started = time.perf_counter()
    PARTS[part](bench, manifest)
    seconds = time.perf_counter() - started
    peak = peak_memory(choose_device("cpu")) / 1e6
    return {"part": part, "utterances": count, "ms/utterance": 1e3 * seconds / count, "peak memory MB": peak}


def _features(bench: Bench, manifest: Manifest) -> None:
    from asr_tv.audio.recordings import read_audio

    for u in manifest:
        wave = read_audio(Path(u.audio or ""), utterance=u.id)
        log_mel([wave], context_seconds("dynamic", len(wave) / 16_000), 80)


def _training(bench: Bench, manifest: Manifest) -> None:
    training = TrainingConfig(epochs=1)
    device = choose_device("auto")
    job = Job(manifest, training, choose_precision("auto", device), 17, bench.config.language)
    with tempfile.TemporaryDirectory() as scratch:
        train(bench.material.base.path / "model", job, Path(scratch), device)


def _scoring(bench: Bench, manifest: Manifest) -> None:
    """Everything after the decoder: errors, normalisers, and the paired bootstrap of a difference."""
    heard = [evaluate(manifest, {u.id: u.text + extra for u in manifest}, "english") for extra in ("", " uh")]
    compare(*heard, resamples=1_000, confidence=0.95, seed=17)


PARTS: dict[str, Callable[[Bench, Manifest], None]] = {
    "features": _features,
    "training": _training,
    "scoring": _scoring,
}


if __name__ == "__main__":
    main()
