"""What the benchmarks share: the demo's model and corpus, from the demo's own stages."""

import argparse
import gc
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from asr_tv.config.file import load_config
from asr_tv.config.run import AdaptConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest, concatenate
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.pipeline.material import Material, prepare
from asr_tv.scoring.wer import count_words
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.synthesize import synthesize
from asr_tv.text.normalize import get_normalizer


@dataclass(frozen=True)
class Bench:
    """The demo's configuration and material, and the synthetic clips of the source sentences."""

    config: AdaptConfig
    store: Store
    material: Material
    source_clips: Manifest

    @property
    def mixed(self) -> Manifest:
        """Real and synthetic source speech together."""
        return concatenate("source mixed", [self.material.source_train, self.source_clips])


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", type=Path, default=Path("configs/demo.yaml"))
    parser.add_argument("--store", type=Path, default=Path(".store"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    return parser


def load(config: Path, store: Path) -> Bench:
    """The material of `config`, from the store if it is there."""
    settings, place = load_config(config), Store(store)
    material = prepare(settings, InProcess(place))
    once = settings.synthesis.model_copy(update={"takes": 1, "voices": settings.synthesis.voices[:1]})
    record = synthesize(
        Runtime(place, workers=0, label="source clips"), material.source_train, once, seed=settings.seed
    )
    return Bench(settings, place, material, stored_manifest(record))


def wer(manifest: Manifest, texts: dict[str, str]) -> float:
    """Pooled WER in percent, both sides through the English normaliser."""
    normalize = get_normalizer("english")
    counts = [count_words(normalize(u.text), normalize(texts[u.id])) for u in manifest]
    return 100 * sum(c.errors for c in counts) / sum(c.words for c in counts)


def machine() -> str:
    """The machine in one line, for the head of a table."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{_cpu()}, {torch.get_num_threads()} threads, {gpu}, torch {torch.__version__}"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def show(rows: list[dict[str, Any]], file: Path | None) -> None:
    """Prints rows as a Markdown table, and writes them to `file` as JSON if given."""
    print(f"\n{machine()}\n")
    print("| " + " | ".join(rows[0]) + " |\n|" + " --- |" * len(rows[0]))
    for row in rows:
        print(
            "| " + " | ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()) + " |", flush=True
        )
    if file is not None:
        file.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


def peak_memory(device: torch.device) -> int:
    """Peak memory in bytes since the last reset: allocated by torch on a GPU, else resident in this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # Not from getrusage, whose peak a process inherits from its parent.
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def forget_peak(device: torch.device) -> None:
    """Resets the peak to what is in use now."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5")
