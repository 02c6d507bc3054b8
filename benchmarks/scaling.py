"""A Ray cluster of one and of two nodes with a core each, on this machine: speech, trainings, and the cost of a stage.

    python benchmarks/scaling.py --clips 400 --trainings 8

The clips are spoken from an empty store by the configured engine; the trainings differ in their seed, and each sees
so many clips of the demo's corpus once. The cost of a stage is that of one that writes a single file, on the cluster,
less the same in this process. Each node first speaks and trains a little, since loading libraries costs it seconds.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from demo_material import Bench, arguments, load, show

from asr_tv.data.manifest import Manifest
from asr_tv.pipeline.execution.cluster import AT_ONCE, Cluster
from asr_tv.pipeline.execution.executor import Call, Executor, InProcess, Step, call
from asr_tv.pipeline.speech import divided, synthesis_call
from asr_tv.store.results import Identity, Produced, Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.testing.nodes import started
from asr_tv.testing.speech import dummy_texts
from asr_tv.training.finetune import finetune

_SMALL_STAGES = 20


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--trainings", type=int, default=8)
    parser.add_argument("--utterances", type=int, default=64, help="clips that each training sees")
    options = parser.parse_args()
    bench = load(options.config, options.store)
    torch.set_num_threads(1)
    rows = [_row(options, bench, nodes) for nodes in (1, 2)]
    for row in rows:
        for what in ("speech", "trainings"):
            row[f"{what}, times"] = rows[0][f"{what} s"] / row[f"{what} s"]
    show(rows, options.json)


def _row(options: Any, bench: Bench, nodes: int) -> dict[str, Any]:
    with started(nodes), tempfile.TemporaryDirectory() as scratch:
        store = Store(Path(scratch))
        with Cluster(store, AT_ONCE, divide=divided) as execute:
            few = {f"first {n}": dummy_texts(4, f"first {n}", first=10_000 + 100 * n) for n in range(2 * nodes)}
            execute([synthesis_call(bench.config, name, texts, _once(bench)) for name, texts in few.items()])
            execute(_trainings(bench, 2 * nodes, 8, first=100))
            texts = dummy_texts(options.clips)
            speech = _seconds(lambda: execute([synthesis_call(bench.config, "clips", texts, _once(bench))]))
            trainings = _seconds(lambda: execute(_trainings(bench, options.trainings, options.utterances)))
            small = _seconds(lambda: _one_by_one(execute, "there"))
        alone = _seconds(lambda: _one_by_one(InProcess(store), "here"))
    return {
        "nodes": nodes,
        "speech s": speech,
        "trainings s": trainings,
        "overhead a stage s": (small - alone) / _SMALL_STAGES,
    }


def _once(bench: Bench) -> Any:
    config = bench.config.synthesis
    return config.model_copy(update={"takes": 1, "voices": config.voices[:1]})


def _trainings(bench: Bench, count: int, utterances: int, first: int = 0) -> list[Call]:
    clips = Manifest("clips", bench.material.source_train.utterances[:utterances])
    once = bench.config.training.model_copy(update={"epochs": 1})
    return [
        call(Step("finetune", str(seed)), finetune, bench.material.base, clips, once, seed)
        for seed in range(first, first + count)
    ]


def _one_by_one(execute: Executor, where: str) -> None:
    for number in range(_SMALL_STAGES):
        execute([Call(Step("compare", f"{where} {number}"), _write, {"name": f"{where} {number}"})])


def _write(runtime: Runtime, name: str) -> Record:
    def produce(folder: Path) -> Produced:
        (folder / "out").write_text(name)
        return Produced()

    return runtime.store.build(Identity("written", 1, {"name": name}), produce)


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
