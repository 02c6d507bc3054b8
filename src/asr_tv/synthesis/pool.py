"""Speaks the clips that the cache lacks, in this process or in several; each is kept as soon as it is spoken."""

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
from asr_tv.synthesis.voices import Cast
from asr_tv.workers import cores, open_pool

CLIPS_WORTH_A_PROCESS = 20
"""A process takes a second or two to start and load a voice, in which another speaks about so many clips; an engine
with an attribute `clips_worth_a_process` says its own number."""
_CLIPS_A_TASK = 4
_MOST_CRASHES = 5
_SILENCE = 1e-4
"""Peak below which a wave holds no speech: 3 steps of 16 bit."""


class OutOfMemory(str):
    """Why a clip is not there yet: the machine's fault and not its sentence's, so that it is asked for again."""


Outcome = Clip | str
"""The clip, or the reason why there is none."""


@dataclass(frozen=True)
class PoolResult:
    """What became of the jobs, by key.

    Attributes:
        clips: every clip that there now is.
        failures: the reason for each clip that its sentence does not allow.
        unfinished: the reason for each clip that this machine could not make.
        executed: keys of the clips spoken by this call.
        seconds: wall time of the speaking.
    """

    clips: Mapping[str, Clip]
    failures: Mapping[str, str]
    unfinished: Mapping[str, str]
    executed: frozenset[str]
    seconds: float


def speak_missing(
    jobs: Sequence[ClipJob],
    cast: Cast,
    reopen: Callable[[], Cast],
    cache: ClipCache,
    *,
    workers: int,
    progress: Progress,
    label: str,
) -> PoolResult:
    """Every job's clip, from the cache or spoken now.

    Engines that like batches speak in this process, the others in as many as `workers` allows.

    Args:
        jobs: with distinct keys.
        reopen: opens the engines in another process; must be picklable.
        workers: at most so many processes; 0: one a core.

    Raises:
        DataError: the processes end again and again; what was spoken is kept.
    """
    found = {job.key: clip for job in jobs if (clip := cache.find(job.key)) is not None}
    missing = [job for job in jobs if job.key not in found]
    outcomes: dict[str, Outcome] = {}
    start = time.perf_counter()
    with progress(label, len(jobs), "clips") as advance:
        advance(len(found), "from the cache")
        for part in _spoken(missing, cast, reopen, cache, workers):
            outcomes |= part
            advance(len(part), _pace(len(outcomes), len(missing), time.perf_counter() - start))
    new = {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, Clip)}
    reasons = {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, str)}
    unfinished = {key: reason for key, reason in reasons.items() if isinstance(reason, OutOfMemory)}
    failures = {key: reason for key, reason in reasons.items() if key not in unfinished}
    return PoolResult({**found, **new}, failures, unfinished, frozenset(new), time.perf_counter() - start)


def _pace(done: int, total: int, seconds: float) -> str:
    """Clips a second, and the time left at that pace."""
    left = round((total - done) * seconds / done)
    told = f"{left // 60} min {left % 60} s left" if left >= 60 else f"{left} s left"
    return f"{done / seconds:.1f} clips/s" + (f", {told}" if done < total else "")


def _spoken(
    jobs: Sequence[ClipJob], cast: Cast, reopen: Callable[[], Cast], cache: ClipCache, workers: int
) -> Iterator[dict[str, Outcome]]:
    alone = {name for name, engine in cast.engines.items() if engine.batch_size > 1 or getattr(engine, "alone", False)}
    single = [job for job in jobs if job.engine not in alone]
    worth = sum(1 / getattr(cast.engines[job.engine], "clips_worth_a_process", CLIPS_WORTH_A_PROCESS) for job in single)
    count = max(1, min(workers or cores(), math.floor(worth + 1e-9)))
    yield from _in_pool(single, reopen, cache, count) if count > 1 else _in_process(single, cast, cache)
    for name in alone:
        batched = sorted((job for job in jobs if job.engine == name), key=_alike)
        yield from _in_batches(batched, cast.engines[name], cache)


def _alike(job: ClipJob) -> tuple[str, int, str]:
    """Clips of one voice and of one length side by side, which a batch costs least for."""
    return job.request.voice, len(job.request.text), job.key


def _in_process(jobs: Sequence[ClipJob], cast: Cast, cache: ClipCache) -> Iterator[dict[str, Outcome]]:
    for job in jobs:
        yield from _in_batches([job], cast.engines[job.engine], cache)


def _in_batches(jobs: Sequence[ClipJob], engine: Synthesizer, cache: ClipCache) -> Iterator[dict[str, Outcome]]:
    """In the engine's batches, in half ones from where memory ran out."""
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
    jobs: Sequence[ClipJob], reopen: Callable[[], Cast], cache: ClipCache, count: int
) -> Iterator[dict[str, Outcome]]:
    """In `count` processes. Where one of them dies, in half as many; where the only one does, without that clip."""
    waiting, crashes = {job.key: job for job in jobs}, 0
    while waiting:
        try:
            for part in _round(list(waiting.values()), reopen, cache, count):
                for key in part:
                    del waiting[key]
                yield part
        except BrokenProcessPool:
            saved: dict[str, Outcome] = {key: clip for key in waiting if (clip := cache.find(key)) is not None}
            crashed = {} if count > 1 else _crashed(waiting, saved)
            for key in (*saved, *crashed):
                del waiting[key]
            if saved or crashed:
                yield saved | crashed
            count, crashes = max(1, count // 2), crashes + len(crashed)
            if crashes >= _MOST_CRASHES:
                raise DataError(
                    "speech synthesis: the processes that speak end again and again, as they do where memory runs "
                    "out; what is spoken is kept. Try fewer with run.workers"
                ) from None


def _crashed(waiting: Mapping[str, ClipJob], saved: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """One process takes its clips in their order, so the first that is not there is the one that ended it."""
    job = next((job for key, job in waiting.items() if key not in saved), None)
    return {} if job is None else {job.key: f"{job.engine} ended the process that spoke it"}


def _round(
    jobs: Sequence[ClipJob], reopen: Callable[[], Cast], cache: ClipCache, count: int
) -> Iterator[dict[str, Outcome]]:
    size = _CLIPS_A_TASK if count > 1 else 1
    pool = open_pool(count, _start_worker, reopen, cache)
    try:
        tasks = [pool.submit(_work, jobs[start : start + size]) for start in range(0, len(jobs), size)]
        for task in as_completed(tasks):
            yield task.result()
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass
class _Worker:
    reopen: Callable[[], Cast]
    cache: ClipCache
    cast: Cast | None = None


_worker: _Worker
"""A worker process's own; set when it starts."""


def _start_worker(reopen: Callable[[], Cast], cache: ClipCache) -> None:
    global _worker
    _worker = _Worker(reopen, cache)


def _work(jobs: Sequence[ClipJob]) -> dict[str, Outcome]:
    # Opened here and not in the initialiser, so that its error reaches the parent as it is.
    if _worker.cast is None:
        _worker.cast = _worker.reopen()
    done = _in_process(jobs, _worker.cast, _worker.cache)
    return {key: outcome for part in done for key, outcome in part.items()}


def _speak(jobs: Sequence[ClipJob], engine: Synthesizer, cache: ClipCache) -> dict[str, Outcome]:
    """By key, the saved clip or the reason why there is none. A batch that fails is spoken one by one."""
    try:
        with memory_errors():
            waves = engine.speak([job.request for job in jobs])
    except (UserError, OSError, MemoryError):
        raise  # of the engine or the machine, not of a sentence
    except Exception as error:
        if len(jobs) == 1:
            return {jobs[0].key: f"{engine.name} failed: {type(error).__name__}: {error}"}
        return {key: outcome for job in jobs for key, outcome in _speak([job], engine, cache).items()}
    return {job.key: _saved(job, wave, engine.name, cache) for job, wave in zip(jobs, waves, strict=True)}


def _saved(job: ClipJob, wave: Wave, engine: str, cache: ClipCache) -> Outcome:
    if not np.isfinite(wave).all():
        return f"{engine} made samples that are no numbers"
    if float(np.abs(wave).max(initial=0)) < _SILENCE:
        return f"{engine} made no sound of it"
    return cache.save(job.parts, wave, job.sampling_rate)
