"""Speech synthesis by engine and number of processes, against a plain loop over each library in the same run.

    python benchmarks/synthesis.py --sentences 100 --workers 1 2 4

The plain loop has one process and writes nothing. The stage's time includes resampling to 16 kHz, writing FLAC files
with their digests, and starting its processes; it begins with an empty store.
"""

import argparse
import ctypes
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from asr_tv.config.run import SynthesisConfig
from asr_tv.data.manifest import Manifest
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.engines import SpeechRequest, open_synthesizer
from asr_tv.synthesis.plan import plan_speech
from asr_tv.synthesis.synthesize import synthesize, texts_alone
from asr_tv.synthesis.voices import open_engines
from asr_tv.testing.speech import dummy_texts

SEED = 17
Loop = Callable[[str, list[SpeechRequest]], Iterator[float]]


def main() -> None:
    """Prints a table of real-time factors: seconds of wall time per second of audio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=100)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--piper", default="en_US-joe-medium", help="a Piper voice")
    parser.add_argument("--espeak", default="en-us", help="an espeak-ng voice")
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement; the fastest counts")
    options = parser.parse_args()
    texts = dummy_texts(options.sentences)
    print("| engine | how | seconds of audio | seconds | real-time factor | against the plain loop |")
    print("|---|---|--:|--:|--:|--:|")
    for engine, voice, loop in (("piper", options.piper, piper_loop), ("espeak", options.espeak, espeak_loop)):
        config = SynthesisConfig(engine=engine, voices=(voice,), takes=1)
        requests = [job.request for job in plan_speech(texts_alone(texts), open_engines(config), config, SEED).jobs]
        audio, plain = best([timed_loop(loop, voice, requests) for _ in range(options.repeats)])
        row(engine, "plain loop, 1 process", audio, plain, 1.0)
        for workers in options.workers:
            audio, seconds = best([timed_stage(texts, config, workers) for _ in range(options.repeats)])
            row(engine, f"stage, {workers} worker{'s' * (workers > 1)}", audio, seconds, plain / seconds)


def best(runs: list[tuple[float, float]]) -> tuple[float, float]:
    """The fastest run, since other work on the machine can only slow one down."""
    return min(runs, key=lambda run: run[1] / run[0])


def row(engine: str, how: str, audio: float, seconds: float, speed: float) -> None:
    """Prints one row of the table."""
    print(f"| {engine} | {how} | {audio:.0f} | {seconds:.2f} | {seconds / audio:.4f} | {speed:.2f} x |", flush=True)


def timed_loop(loop: Loop, voice: str, requests: list[SpeechRequest]) -> tuple[float, float]:
    """Seconds of audio and of wall time, including loading, as in the stage's time."""
    started = time.perf_counter()
    audio = sum(loop(voice, requests))
    return audio, time.perf_counter() - started


def timed_stage(texts: Manifest, config: SynthesisConfig, workers: int) -> tuple[float, float]:
    """Seconds of audio and of wall time with an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        record = synthesize(Runtime(Store(Path(folder)), workers=workers), texts, config, seed=SEED)
        return float(record.details["audio_seconds"]), time.perf_counter() - started


def piper_loop(voice: str, requests: list[SpeechRequest]) -> Iterator[float]:
    """Speaks with piper-tts alone, with the scales of each take; yields seconds of audio."""
    from piper import PiperVoice
    from piper import SynthesisConfig as Scales

    opened = open_synthesizer(SynthesisConfig(engine="piper", voices=(voice,)))
    loaded = PiperVoice.load(next(iter(opened._voices.values())).model)  # type: ignore[attr-defined]
    for request in requests:
        for chunk in loaded.synthesize(request.text, Scales(**request.settings)):
            yield len(chunk.audio_float_array) / chunk.sample_rate


def espeak_loop(voice: str, requests: list[SpeechRequest]) -> Iterator[float]:
    """Speaks with the C library loaded once, so that its state carries over between clips; yields seconds of audio."""
    from asr_tv.synthesis.engines import espeak

    place = espeak._find_library()
    with espeak._Library(place) as library:
        name = espeak._checked([voice], library.catalogue())[voice]
        for request in requests:
            samples = library.speak(request.text, name, request.settings, request.seed)
            yield len(samples) / ctypes.sizeof(ctypes.c_short) / library.sampling_rate


if __name__ == "__main__":
    main()
