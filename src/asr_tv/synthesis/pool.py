"""Speaks the clips that are not in the cache, in this process or in several; each is saved as soon as it is spoken."""

import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np

from asr_tv.audio.recordings import Wave
from asr_tv.errors import DataError, UserError
from asr_tv.memory import free_memory, memory_errors
from asr_tv.progress import Progress
from asr_tv.synthesis.clips import Clip, ClipCache, ClipJob
from asr_tv.synthesis.engines import Synthesizer
from asr_tv.synthesis.voices import Engines
from asr_tv.workers import cores, open_pool

CLIPS_WORTH_A_PROCESS = 20
"""Clips spoken in the second or two that another process takes to start and load a voice. An engine may state its own
number in an attribute `clips_worth_a_process`."""
_CLIPS_PER_TASK = 4
_MAX_CRASHES = 5
_SILENCE = 1e-4
"""Peak below which a wave contains no speech: about 3 steps of 16-bit audio."""


class OutOfMemory(str):
    """Why a clip is missing: a fault of the machine and not of the text, so another attempt may succeed."""


Outcome = Clip | str
"""The clip, or why there is none."""


@dataclass(frozen=True)
class PoolResult:
    """The outcome of the jobs, by key: `executed` are the clips spoken by this call, in `seconds` of wall time.

    `failures` are reasons for clips whose text the engine cannot speak, `unfinished` for those memory ran out on.
    """

    clips: Mapping[str, Clip]
    failures: Mapping[str, str]
    unfinished: Mapping[str, str]
    executed: frozenset[str]
    seconds: float


def speak_missing(
    jobs: Sequence[ClipJob],
    engines: Engines,
    reopen: Callable[[], Engines],
    cache: ClipCache,
    *,
    workers: int,
    progress: Progress,
    label: str,
) -> PoolResult:
    """Takes every job's clip from the cache, or speaks it.

    Engines that speak in batches run in this process, the others in up to `workers` processes.

    Args:
        jobs: with distinct keys.
        reopen: opens the engines in another process; must be picklable.
        workers: maximum number of processes; 0 means one per core.

    Raises:
        DataError: worker processes crash repeatedly; clips spoken so far are kept.
    """
    found = {job.key: clip for job in jobs if (clip := cache.find(job.key)) is not None}
    missing = [job for job in jobs if job.key not in found]
    outcomes: dict[str, Outcome] = {}
    start = time.perf_counter()
    with progress(label, len(jobs), "clips") as advance:
        advance(len(found), f"from the cache{_cost(missing, engines, workers or cores())}")
        for part in _speak_all(missing, engines, reopen, cache, workers):
            outcomes |= part
            advance(len(part), _pace(len(outcomes), len(missing), time.perf_counter() - start))
    new = {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, Clip)}
    reasons = {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, str)}
    unfinished = {key: reason for key, reason in reasons.items() if isinstance(reason, OutOfMemory)}
    failures = {key: reason for key, reason in reasons.items() if key not in unfinished}
    return PoolResult({**found, **new}, failures, unfinished, frozenset(new), time.perf_counter() - start)


def uses_device(engine: Synthesizer) -> bool:
    """Whether it uses the whole device, and so runs in one process."""
    return engine.batch_size > 1 or bool(getattr(engine, "alone", False))


def _cost(jobs: Sequence[ClipJob], engines: Engines, processes: int) -> str:
    """What the clips of slow engines will take, told before the first is spoken; "" for less than a minute.

    A slow engine states its seconds of one core a word in an attribute `seconds_per_word`.
    """
    rates = {name: float(getattr(engine, "seconds_per_word", 0.0)) for name, engine in engines.items()}
    seconds = sum(rates[job.engine] * len(job.request.text.split()) for job in jobs) / processes
    slow = ", ".join(sorted({job.engine for job in jobs if rates[job.engine]}))
    return f"; {slow}: about {round(seconds / 60)} min in {processes} processes" if seconds >= 60 else ""


def _pace(done: int, total: int, seconds: float) -> str:
    """Clips per second, and the remaining time at that rate."""
    left = round((total - done) * seconds / done)
    remaining = f"{left // 60} min {left % 60} s left" if left >= 60 else f"{left} s left"
    return f"{done / seconds:.1f} clips/s" + (f", {remaining}" if done < total else "")


def _speak_all(
    jobs: Sequence[ClipJob], engines: Engines, reopen: Callable[[], Engines], cache: ClipCache, workers: int
) -> Iterator[dict[str, Outcome]]:
    alone = {name for name, engine in engines.items() if uses_device(engine)}
    single = [job for job in jobs if job.engine not in alone]
    worth = sum(1 / getattr(engines[job.engine], "clips_worth_a_process", CLIPS_WORTH_A_PROCESS) for job in single)
    count = max(1, min(workers or cores(), math.floor(worth + 1e-9)))
    yield from _in_pool(single, reopen, cache, count) if count > 1 else _in_process(single, engines, cache)
    for name in alone:
        own = [job for job in jobs if job.engine == name]
        # Clips of one voice and similar length need the least padding in a batch.
        own.sort(key=lambda job: (job.request.voice, len(job.request.text), job.key))
        yield from _in_batches(own, engines[name], cache)


def _in_process(jobs: Sequence[ClipJob], engines: Engines, cache: ClipCache) -> Iterator[dict[str, Outcome]]:
    for job in jobs:
        yield from _in_batches([job], engines[job.engine], cache)


def _in_batches(jobs: Sequence[ClipJob], engine: Synthesizer, cache: ClipCache) -> Iterator[dict[str, Outcome]]:
    """In batches of the engine's size, halved whenever memory runs out."""
    size, waiting = engine.batch_size, list(jobs)
    while waiting:
        batch = waiting[:size]
        try:
            outcomes = _speak(batch, engine, cache)
        except MemoryError as error:
            reason = f"{engine.name} ran out of memory on this text alone{f': {error}' if str(error) else ''}"
            outcomes = {batch[0].key: OutOfMemory(reason)} if len(batch) == 1 else {}
        if not outcomes:
            size = len(batch) // 2
            free_memory()
            continue
        waiting = waiting[len(batch) :]
        yield outcomes


def _in_pool(
    jobs: Sequence[ClipJob], reopen: Callable[[], Engines], cache: ClipCache, count: int
) -> Iterator[dict[str, Outcome]]:
    """In `count` processes. If one dies, retries with half as many; if the only one dies, without the clip at fault."""
    waiting, crashes = {job.key: job for job in jobs}, 0
    while waiting:
        try:
            for part in _round(list(waiting.values()), reopen, cache, count):
                for key in part:
                    del waiting[key]
                yield part
        except BrokenProcessPool:
            saved: dict[str, Outcome] = {key: clip for key in waiting if (clip := cache.find(key)) is not None}
            crashed = {} if count > 1 else _find_crashed(waiting, saved)
            for key in (*saved, *crashed):
                del waiting[key]
            if saved or crashed:
                yield saved | crashed
            count, crashes = max(1, count // 2), crashes + len(crashed)
            if crashes >= _MAX_CRASHES:
                raise DataError(
                    "speech synthesis: worker processes crash again and again, perhaps because memory runs out; "
                    "finished clips are kept. Try fewer processes with run.workers"
                ) from None


def _find_crashed(waiting: Mapping[str, ClipJob], saved: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """A single process speaks its clips in order, so the first one missing is the one that crashed it."""
    job = next((job for key, job in waiting.items() if key not in saved), None)
    return {} if job is None else {job.key: f"{job.engine} ended the process that spoke it"}


def _round(
    jobs: Sequence[ClipJob], reopen: Callable[[], Engines], cache: ClipCache, count: int
) -> Iterator[dict[str, Outcome]]:
    size = _CLIPS_PER_TASK if count > 1 else 1
    pool = open_pool(count, _start_worker, reopen, cache)
    try:
        tasks = [pool.submit(_work, jobs[start : start + size]) for start in range(0, len(jobs), size)]
        for task in as_completed(tasks):
            yield task.result()
    finally:
        pool.shutdown(cancel_futures=True)


_worker: tuple[Callable[[], Engines], ClipCache]
"""State of a worker process. Its engines are opened at first use: at the start, an error would only break the pool."""


def _start_worker(reopen: Callable[[], Engines], cache: ClipCache) -> None:
    global _worker
    _worker = functools.cache(reopen), cache


def _work(jobs: Sequence[ClipJob]) -> dict[str, Outcome]:
    open_once, cache = _worker
    done = _in_process(jobs, open_once(), cache)
    return {key: outcome for part in done for key, outcome in part.items()}


def _speak(jobs: Sequence[ClipJob], engine: Synthesizer, cache: ClipCache) -> dict[str, Outcome]:
    """The outcome by key. The clips of a batch that fails are spoken one by one."""
    try:
        with memory_errors():
            waves = engine.speak([job.request for job in jobs])
    except (UserError, OSError, MemoryError):
        raise  # the engine or the machine is at fault, not the text
    except Exception as error:
        if len(jobs) == 1:
            return {jobs[0].key: f"{engine.name} failed: {type(error).__name__}: {error}"}
        return {key: outcome for job in jobs for key, outcome in _speak([job], engine, cache).items()}
    return {job.key: _save(job, wave, engine.name, cache) for job, wave in zip(jobs, waves, strict=True)}


def _save(job: ClipJob, wave: Wave, engine: str, cache: ClipCache) -> Outcome:
    if not np.isfinite(wave).all():
        return f"{engine} made samples that are no numbers"
    if float(np.abs(wave).max(initial=0)) < _SILENCE:
        return f"{engine} made no sound of it"
    return cache.save(job.parts, wave, job.sampling_rate)
