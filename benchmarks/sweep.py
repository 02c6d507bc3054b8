"""A sweep over n coefficients against n transcriptions of models that already exist.

    python benchmarks/sweep.py --coefficients 6

The sweep reads its parents once and computes features once; the transcriptions load their checkpoint each.
"""

import tempfile
import time
from pathlib import Path

import torch
from demo_material import arguments, load, show

from asr_tv.devices import choose_device, choose_precision
from asr_tv.finetune import finetune
from asr_tv.manifest import Manifest, in_domain
from asr_tv.merge import adapt_stage, vector_stage
from asr_tv.store import Record, Store
from asr_tv.transcribe import Decoding, Sweep, transcribe


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
        finetune(bench.material.base, m, short, store=bench.store, seed=17, device=options.device)
        for m in (bench.material.source_train, bench.source_clips)
    ]
    vector = vector_stage(trained[0], trained[1], store=bench.store)
    test = Manifest("sweep", (bench.material.source_dev.utterances)[: options.utterances])
    decoding = Decoding("dynamic", bench.config.language, precision=choose_precision("auto", device))
    ratios = []
    rows = []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as scratch:
            store = Store(Path(scratch))
            models = [
                adapt_stage(trained[1], vector, bench.material.base, scaling_coef=c, pretrained_weight=0.0, store=store)
                for c in coefs
            ]
            one_by_one = _timed(lambda: [_transcribe(m, test, decoding, store, options.device) for m in models])
            sweep = Sweep(vector, coefs, bench.material.base)
            swept = _timed(lambda: [_transcribe(trained[1], test, decoding, store, options.device, sweep=sweep)])
        ratios.append(swept / one_by_one)
        rows.append({"coefficients": len(coefs), "n decodes s": one_by_one, "sweep s": swept, "ratio": ratios[-1]})
    show(rows, options.json)
    print(f"\nmedian ratio {sorted(ratios)[len(ratios) // 2]:.2f}")


def _transcribe(model: Record, test: Manifest, decoding: Decoding, store: Store, device: str, **more: object) -> Record:
    return transcribe(model, test, decoding, batch_size=16, device=device, label="bench", store=store, **more)  # type: ignore[arg-type]


def _timed(action: object) -> float:
    assert callable(action)
    started = time.perf_counter()
    action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
