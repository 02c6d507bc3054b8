"""Cost of training by size of the model: utterances per second and peak memory, on the demo's source speech.

    python benchmarks/model_sizes.py --sizes tiny base small --utterances 96

Rates do not depend on the values of the weights, so these are random, in the shapes of OpenAI's models. Each size runs
in a process of its own.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from demo_material import Bench, arguments, load, peak_memory, show

from asr_tv.config.run import TrainingConfig
from asr_tv.data.manifest import Manifest
from asr_tv.devices import choose_device, choose_precision
from asr_tv.models.directory import CONFIG, METADATA, copy_side_files, expected_layout
from asr_tv.models.tensors import WEIGHTS, read_json, write_tensors
from asr_tv.store.payload import MODEL
from asr_tv.training.trainer import Job, train

SIZES = {
    "tiny": (384, 4, 4),
    "base": (512, 6, 6),
    "small": (768, 12, 12),
    "medium": (1024, 24, 24),
    "large-v3-turbo": (1280, 32, 4),
}
"""Width, and number of blocks of encoder and decoder; all hear the demo's 80 mels, also the one that has 128."""
_HEAD = 64
"""Width of an attention head, in every size."""


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--sizes", nargs="+", choices=tuple(SIZES), default=["tiny", "base", "small"])
    parser.add_argument("--utterances", type=int, default=96)
    parser.add_argument("--only", choices=tuple(SIZES), help="one size, in this process")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(_measured(options.only, options)))
        return
    rows = []
    for size in options.sizes:
        command = [sys.executable, __file__, "--config", str(options.config), "--store", str(options.store)]
        command += ["--device", options.device, "--utterances", str(options.utterances), "--only", size]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rows.append(json.loads(found.splitlines()[-1]))
        print(rows[-1], flush=True)
    show(rows, options.json)


def _measured(size: str, options: Any) -> dict[str, Any]:
    bench, device = load(options.config, options.store), choose_device(options.device)
    speech = Manifest("sizes", bench.mixed.utterances[: options.utterances])
    training = TrainingConfig(epochs=1)
    with tempfile.TemporaryDirectory() as scratch:
        model = random_checkpoint(bench, *SIZES[size], Path(scratch) / "start")
        seconds = []
        for part in (Manifest("warm", speech.utterances[: training.batch_size]), speech):
            job = Job(part, training, choose_precision("auto", device), 17, bench.config.language)
            started = time.perf_counter()
            train(model, job, _folder(Path(scratch) / part.name), device)
            seconds.append(time.perf_counter() - started)
    # The first run loads, makes one update and writes: the fixed cost that is also part of the second run.
    rate = (len(speech) - training.batch_size) / (seconds[1] - seconds[0])
    return {
        "size": size,
        "utterances/s": rate,
        "load, one update, write: s": seconds[0],
        "peak memory GB": peak_memory(device) / 1e9,
    }


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def random_checkpoint(bench: Bench, width: int, encoder: int, decoder: int, folder: Path) -> Path:
    """A checkpoint with random weights and so many blocks on either side, otherwise like the demo's."""
    like = bench.material.base.path / MODEL
    config = read_json(like / CONFIG) | {"d_model": width}
    for side, blocks in (("encoder", encoder), ("decoder", decoder)):
        shape = {"layers": blocks, "attention_heads": width // _HEAD, "ffn_dim": 4 * width}
        config |= {f"{side}_{name}": value for name, value in shape.items()}
    copy_side_files(like, folder)
    (folder / CONFIG).write_text(json.dumps(config))
    layout = expected_layout(config)
    generator = torch.Generator().manual_seed(0)
    tensors = ((name, 0.02 * torch.randn(shape, generator=generator)) for name, (_, shape) in layout.items())
    write_tensors(folder / WEIGHTS, layout, tensors, METADATA)
    return folder


if __name__ == "__main__":
    main()
