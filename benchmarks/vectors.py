"""Speed and memory of task vectors, as ratios to `cp` of the same bytes and to mergekit on the same arithmetic.

python benchmarks/vectors.py --folder /tmp/bench [--mergekit ENV/bin/mergekit-yaml]   # 20 GB of disk, 8 minutes
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_tv.models.tensors import WEIGHTS, Layout, layout_of, open_tensors, write_tensors

LARGE_V3 = {
    **{"model_type": "whisper", "d_model": 1280, "vocab_size": 51866, "num_mel_bins": 128, "tie_word_embeddings": True},
    **{f"{side}_layers": 32 for side in ("encoder", "decoder")},
    **{f"{side}_attention_heads": 20 for side in ("encoder", "decoder")},
    **{f"{side}_ffn_dim": 5120 for side in ("encoder", "decoder")},
}
LLAMA = {
    **{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": False},
    **{"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 16, "vocab_size": 32000},
    **{"num_attention_heads": 32, "num_key_value_heads": 4, "dtype": "bfloat16"},
}
ROUNDS = 5

_MEASURED = """
import json, os, re, time
from pathlib import Path
{imports}

def memory(key):
    return int(re.search(key + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

Path("/proc/self/clear_refs").write_text("5")
before, start, worked = memory("VmRSS"), time.perf_counter(), sum(os.times()[:2])
{call}
seconds, processor = time.perf_counter() - start, sum(os.times()[:2]) - worked
print(json.dumps({{"seconds": seconds, "processor": processor, "peak": memory("VmHWM") - before}}))
"""


def main() -> None:
    """Prints one JSON object per line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where to work, on the disk to measure")
    parser.add_argument("--mergekit", type=Path, help="the program mergekit-yaml of an environment of its own")
    arguments = parser.parse_args()
    folder = arguments.folder / "vectors-benchmark"
    folder.mkdir(parents=True)
    try:
        against_cp(folder)
        if arguments.mergekit:
            against_mergekit(folder, arguments.mergekit)
    finally:
        shutil.rmtree(folder)


def against_cp(folder: Path) -> None:
    """Times create and apply on Whisper large-v3's shapes in fp16, and `cp` of the same bytes; both sync."""
    from asr_tv.models.directory import expected_layout

    layout = {name: (torch.float16, shape) for name, (_, shape) in expected_layout(LARGE_V3).items()}
    base, tuned, vector, out = (folder / name for name in ("base", "tuned", "v.safetensors", "out"))
    write_pair(base, tuned, layout, LARGE_V3)
    largest = max(2 * torch.Size(shape).numel() for _, shape in layout.values())
    create = f"create_vector(Path({str(tuned)!r}), Path({str(base)!r}), Path({str(vector)!r}), {{}})"
    apply = f"apply_vector(Path({str(base)!r}), Path({str(vector)!r}), 0.4, Path({str(out)!r}))"
    ours: dict[str, list[dict[str, float]]] = {"create": [], "apply": []}
    theirs: dict[str, list[dict[str, float]]] = {"create": [], "apply": []}
    for _ in range(ROUNDS):
        ours["create"].append(measured("from asr_tv.vectors.files import create_vector", create))
        ours["apply"].append(measured("from asr_tv.vectors.apply import apply_vector", apply))
        shutil.rmtree(out)
        # create reads both models and writes as many bytes; apply reads model and vector and writes a model.
        pairs = [(base / WEIGHTS, folder / "copy1"), (tuned / WEIGHTS, folder / "copy2")]
        theirs["create"].append(timed(partial(copy_all, *pairs)))
        theirs["apply"].append(timed(partial(copy_and_read, *pairs[0], vector)))
        for _, copied in pairs:
            copied.unlink()
    for name in ours:
        for key in ("seconds", "processor"):
            say(operation=name, **ratios(ours[name], theirs[name], key))
        say(operation=name, peak_over_largest_tensor=max(row["peak"] for row in ours[name]) / largest)
    vector.unlink()
    shutil.rmtree(base)
    shutil.rmtree(tuned)


def against_mergekit(folder: Path, program: Path) -> None:
    """Times base + 0.5 · (tuned − base) of a Llama in bf16, summed in fp32, as whole commands with their start."""
    base, tuned, ours, theirs = (folder / name for name in ("base", "tuned", "ours", "theirs"))
    write_pair(base, tuned, dict(llama_layout()), LLAMA)
    recipe = folder / "recipe.yaml"
    models = [{"model": str(tuned), "parameters": {"weight": 0.5}}]
    types = {"dtype": "float32", "out_dtype": "bfloat16", "merge_method": "task_arithmetic"}
    recipe.write_text(json.dumps({"models": models, "base_model": str(base), **types}))  # JSON is YAML, too
    mine = [sys.executable, "-c", "from asr_tv.cli import main; main()", "vector", "analogy", base, tuned, base]
    commands: dict[str, Callable[[], object]] = {
        "asr-tv": lambda: command(*mine, "--coef", "0.5", "--out", ours),
        "mergekit": lambda: command(program, recipe, theirs, "--no-copy-tokenizer", "--allow-crimes"),
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, run in commands.items():
            times[name].append(timed(run)["seconds"])
    a, b = open_tensors(ours), open_tensors(theirs)
    differing = sum(int((a[name] != b[name]).sum()) for name in a)
    say(
        operation="base + 0.5 (tuned - base), Llama in bf16",
        bytes=(base / WEIGHTS).stat().st_size,
        seconds=times["asr-tv"],
        mergekit_seconds=times["mergekit"],
        ratio_of_medians=statistics.median(times["asr-tv"]) / statistics.median(times["mergekit"]),
        same_names=list(a) == list(b),
        share_of_numbers_that_differ=differing / sum(tensor.numel() for tensor in a.values()),
        largest_difference=max(float((a[name].float() - b[name].float()).abs().max()) for name in a),
    )


def llama_layout() -> Iterator[tuple[str, tuple[torch.dtype, tuple[int, ...]]]]:
    """Names, types and shapes of the Llama's tensors."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(LlamaConfig(**LLAMA))
    for name, (_, shape) in layout_of(model.state_dict()).items():
        yield name, (torch.bfloat16, shape)


def write_pair(base: Path, tuned: Path, layout: Layout, config: Mapping[str, Any]) -> None:
    """Writes two models with random weights."""
    for folder, seed in ((base, 0), (tuned, 1)):
        write_tensors(folder / WEIGHTS, layout, random_tensors(layout, seed), {"format": "pt"})
        (folder / "config.json").write_text(json.dumps(config))


def random_tensors(layout: Layout, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Tensors of the layout's shapes and types."""
    generator = torch.Generator().manual_seed(seed)
    for name, (dtype, shape) in layout.items():
        yield name, (torch.randn(shape, generator=generator) * 0.02).to(dtype)


def measured(imports: str, call: str) -> dict[str, float]:
    """Wall and CPU seconds, and peak resident memory above the start, of a call in a process of its own."""
    program = _MEASURED.format(imports=imports, call=call)
    os.sync()  # so that earlier writes are not part of this time
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    row: dict[str, float] = json.loads(done.stdout)
    return row


def copy_all(*pairs: tuple[Path, Path]) -> None:
    """Copies with `cp`, and waits until the copies are on disk, as asr-tv does."""
    for source, target in pairs:
        command("cp", source, target)
        descriptor = os.open(target, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def read(path: Path) -> None:
    """Reads a file once."""
    with path.open("rb", buffering=0) as file:
        block = memoryview(bytearray(1 << 18))
        while file.readinto(block):
            pass


def command(*words: object) -> None:
    """Runs a program to its end."""
    done = subprocess.run([str(word) for word in words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])


def copy_and_read(source: Path, target: Path, other: Path) -> None:
    """Copies one file with `cp`, and reads another once."""
    copy_all((source, target))
    read(other)


def timed(run: Callable[[], object]) -> dict[str, float]:
    """Wall and CPU seconds, children included; other work on the machine lengthens the former."""
    os.sync()  # so that earlier writes are not part of this time
    start, before = time.perf_counter(), sum(os.times()[:4])
    run()
    return {"seconds": time.perf_counter() - start, "processor": sum(os.times()[:4]) - before}


def ratios(ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]], key: str) -> dict[str, Any]:
    """Both sides' figures, and the ratio of their medians."""
    sides = [[row[key] for row in side] for side in (ours, theirs)]
    return {
        key: sides[0],
        f"cp_{key}": sides[1],
        "ratio": statistics.median(sides[0]) / statistics.median(sides[1]),
    }


def say(**row: object) -> None:
    """Prints one row."""
    print(json.dumps({key: rounded(value) for key, value in row.items()}), flush=True)


def rounded(value: Any) -> Any:
    """Numbers with three significant digits."""
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.3g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
