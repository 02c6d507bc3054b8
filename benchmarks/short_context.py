"""WER and decoding seconds of a pretrained Whisper in several audio contexts, before and after its context start.

    python benchmarks/short_context.py

The context start learns from the clips of the source sentences alone. Sets: the target's recordings on the simulated
line, and studio recordings of other domains (the demo's general set). Clips longer than a context are not scored in it.
"""

import time
from typing import Any

from demo_material import arguments, load, show, wer

from asr_tv.config.run import ContextStartConfig
from asr_tv.data.manifest import Manifest
from asr_tv.decoding.options import Decoding
from asr_tv.decoding.recogniser import WhisperRecogniser
from asr_tv.devices import choose_device, choose_precision
from asr_tv.store.payload import MODEL
from asr_tv.store.runtime import Runtime
from asr_tv.training.context_start import context_start

CONTEXTS: tuple[Any, ...] = ("dynamic", 5.0, 8.0, 10.0, 15.0, "full")


def main() -> None:
    """Trains the context start and prints the table."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--epochs", type=int, default=ContextStartConfig().epochs)
    parser.add_argument("--learning-rate", type=float, default=ContextStartConfig().learning_rate)
    parser.add_argument("--mixed", action="store_true", help="learn from the source recordings, too")
    options = parser.parse_args()
    bench = load(options.config, options.store)
    device = choose_device(options.device)
    settings = ContextStartConfig(epochs=options.epochs, learning_rate=options.learning_rate)
    speech = bench.mixed if options.mixed else bench.source_clips
    started = time.perf_counter()
    record = context_start(
        Runtime(bench.store, device=options.device), bench.material.base, speech, settings, seed=bench.config.seed
    )
    seconds = time.perf_counter() - started
    print(f"{record.details['updates']} updates on {len(speech)} clips, {seconds:.0f} s if not from the store")
    sets = {"simulated line": bench.material.target_test, "studio": bench.material.general}
    rows = []
    for context in CONTEXTS:
        row: dict[str, Any] = {"context": context if isinstance(context, str) else f"{context:g} s"}
        for name, manifest in sets.items():
            assert manifest is not None
            fitting = _fitting(manifest, context)
            for when, checkpoint in (("before", bench.material.base), ("after", record)):
                decoding = Decoding(context, bench.config.language, precision=choose_precision("auto", device))
                recogniser = WhisperRecogniser(checkpoint.path / MODEL, decoding, device)
                begun = time.perf_counter()
                texts = recogniser.transcribe(fitting.utterances, 16, lambda n: None)
                row[f"{name}: {when} WER %"] = wer(fitting, texts)
                row[f"{name}: {when} s/utterance"] = (time.perf_counter() - begun) / len(fitting)
        rows.append(row)
    show(rows, options.json)


def _fitting(manifest: Manifest, context: Any) -> Manifest:
    longest = context if isinstance(context, float) else 30.0
    return manifest.where(manifest.name, lambda u: (u.duration or 0.0) < longest)


if __name__ == "__main__":
    main()
