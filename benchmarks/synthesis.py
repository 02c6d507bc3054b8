"""Speech synthesis by engine and number of processes, against a plain loop over each library in the same run.

    python benchmarks/synthesis.py --sentences 100 --workers 1 2 4 [--pocket english#alba] [--most 8]

Kokoro and Pocket TTS speak --most sentences only. The plain loop has one process and writes nothing. The stage's time
includes resampling to 16 kHz, writing FLAC files with their digests, and starting its processes; it begins with an
empty store.
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
from asr_tv.synthesis.engines.adapter import package_folders
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
    parser.add_argument("--kokoro", default="af_heart", help="a Kokoro voice")
    parser.add_argument("--hibari", default="heart", help="a hibari voice")
    parser.add_argument("--pocket", help="a Pocket TTS voice, where its weights can be had, or DIRECTORY#VOICE")
    parser.add_argument("--most", type=int, default=8, help="sentences of the slow engines, Kokoro and Pocket TTS")
    parser.add_argument("--only", nargs="+", choices=LOOPS, default=list(LOOPS), help="engines")
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement; the fastest counts")
    options = parser.parse_args()
    print("| engine | how | seconds of audio | seconds | real-time factor | against the plain loop |")
    print("|---|---|--:|--:|--:|--:|")
    for engine in options.only:
        if (voice := getattr(options, engine)) is None:
            continue
        texts = dummy_texts(min(options.sentences, options.most) if engine in SLOW else options.sentences)
        config = SynthesisConfig(engine=engine, voices=(voice,), takes=1)
        requests = [job.request for job in plan_speech(texts_alone(texts), open_engines(config), config, SEED).jobs]
        audio, plain = best([timed_loop(LOOPS[engine], voice, requests) for _ in range(options.repeats)])
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
        identifier = espeak._find(library.catalogue(), voice).identifier
        for request in requests:
            samples = library.speak(request, identifier)
            yield len(samples) / ctypes.sizeof(ctypes.c_short) / library.sampling_rate


def hibari_loop(voice: str, requests: list[SpeechRequest]) -> Iterator[float]:
    """Speaks with hibari-tts alone; yields seconds of audio."""
    from hibari import Hibari

    tts = Hibari(voice=voice)
    for request in requests:
        yield len(tts(request.text, speed=request.settings["speed"], seed=request.seed)) / tts.sample_rate


def kokoro_loop(voice: str, requests: list[SpeechRequest]) -> Iterator[float]:
    """Speaks with kokoro-onnx alone, in as many threads as onnxruntime takes; yields seconds of audio."""
    import numpy as np
    from kokoro_onnx import Kokoro

    from asr_tv.synthesis.engines.kokoro import PARTS
    from asr_tv.synthesis.engines.kokoro_voices import language_of, voice_files

    with tempfile.TemporaryDirectory() as folder:
        model, voices = Path(folder) / "model.onnx", Path(folder) / "voices.npz"
        packages = (package_folders(name.replace("-", "_"))[0] for name in PARTS)
        model.write_bytes(b"".join((package / "part.bin").read_bytes() for package in packages))
        (styles,) = voice_files([voice], None).values()
        np.savez(voices, **{voice: np.fromfile(styles, np.float32).reshape(510, 1, 256)})
        tts = Kokoro(str(model), str(voices))
        for request in requests:
            wave, rate = tts.create(request.text, voice, request.settings["speed"], language_of(voice))
            yield len(wave) / rate


def pocket_loop(voice: str, requests: list[SpeechRequest]) -> Iterator[float]:
    """Speaks with the loaded adapter in this process: pocket-tts loads from the hub only; yields seconds of audio."""
    engine = open_synthesizer(SynthesisConfig(engine="pocket", voices=(voice,)))
    for request in requests:
        yield len(engine.speak([request])[0]) / engine.voices[0].sampling_rate


LOOPS: dict[str, Loop] = {
    "piper": piper_loop,
    "espeak": espeak_loop,
    "hibari": hibari_loop,
    "kokoro": kokoro_loop,
    "pocket": pocket_loop,
}
SLOW = ("kokoro", "pocket")


if __name__ == "__main__":
    main()
