"""A sweep over n coefficients, against n transcriptions of models that already exist.

    python benchmarks/sweep.py --coefficients 6

The sweep reads its inputs and computes features once; each transcription loads its own checkpoint.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from demo_material import arguments, load, show

from asr_tv.data.manifest import Manifest
from asr_tv.decoding.options import Decoding
from asr_tv.decoding.transcribe import Sweep, transcribe
from asr_tv.devices import choose_device, choose_precision
from asr_tv.store.results import Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.training.finetune import finetune
from asr_tv.vectors.stages import adapt_stage, vector_stage


def main() -> None:
    """Times both, alternating, and prints the median ratio."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--coefficients", type=int, default=6)
    parser.add_argument("--utterances", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    bench = load(options.config, options.store)
    device = choose_device(options.device)
    coefs = tuple(round(n / (options.coefficients - 1), 3) for n in range(options.coefficients))
    short = bench.config.training.model_copy(update={"epochs": 3})
    trained = [
        finetune(Runtime(bench.store, device=options.device), bench.material.base, m, short, seed=17)
        for m in (bench.material.source_train, bench.source_clips)
    ]
    vector = vector_stage(Runtime(bench.store), trained[0], trained[1])
    test = Manifest("sweep", (bench.material.source_dev.utterances)[: options.utterances])
    decoding = Decoding("dynamic", bench.config.language, precision=choose_precision("auto", device))
    rows = []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as scratch:
            rows.append(_round(trained[1], vector, bench.material.base, coefs, test, decoding, options.device, scratch))
    show(rows, options.json)
    print(f"\nmedian ratio {statistics.median(row['ratio'] for row in rows):.2f}")


def _round(
    start: Record,
    vector: Record,
    base: Record,
    coefs: Sequence[float],
    test: Manifest,
    decoding: Decoding,
    device: str,
    scratch: str,
) -> dict[str, float]:
    store = Store(Path(scratch))
    models = [adapt_stage(Runtime(store), start, vector, base, scaling_coef=c, pretrained_weight=0.0) for c in coefs]
    begun = time.perf_counter()
    for model in models:
        _transcribe(model, test, decoding, store, device)
    one_by_one = time.perf_counter() - begun
    begun = time.perf_counter()
    _transcribe(start, test, decoding, store, device, sweep=Sweep(vector, tuple(coefs), base))
    swept = time.perf_counter() - begun
    return {"coefficients": len(coefs), "n decodes s": one_by_one, "sweep s": swept, "ratio": swept / one_by_one}


def _transcribe(
    model: Record, test: Manifest, decoding: Decoding, store: Store, device: str, sweep: Sweep | None = None
) -> Record:
    return transcribe(Runtime(store, label="bench", device=device), model, test, decoding, sweep)


if __name__ == "__main__":
    main()
