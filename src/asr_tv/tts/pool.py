"""Speaks the clips that the cache lacks, in this process or in several; each is kept as soon as it is spoken."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np

from asr_tv.audio import Wave
from asr_tv.errors import UserError
from asr_tv.progress import Progress
from asr_tv.tts import SpeechRequest, Synthesizer
from asr_tv.tts.clips import Clip, ClipCache
from asr_tv.workers import cores, open_pool

CLIPS_WORTH_A_PROCESS = 20
"""A process takes a second or two to start and load a voice, in which another speaks about so many clips."""
_CLIPS_A_TASK = 4
_SILENCE = 1e-4
"""Peak below which a wave holds no speech: 3 steps of 16 bit."""


@dataclass(frozen=True)
class ClipJob:
    """A clip to speak: `parts` are of its key, `sampling_rate` is the voice's."""

    key: str
    parts: Mapping[str, Any]
    request: SpeechRequest
    sampling_rate: int


@dataclass(frozen=True)
class Spoken:
    """What became of the jobs, by key.

    Attributes:
        clips: every clip that there now is.
        failures: the reason for each clip that there is not.
        executed: keys of the clips spoken by this call.
        seconds: wall time of the speaking.
    """

    clips: Mapping[str, Clip]
    failures: Mapping[str, str]
    executed: frozenset[str]
    seconds: float


def speak_missing(
    jobs: Sequence[ClipJob],
    engine: Synthesizer,
    reopen: Callable[[], Synthesizer],
    cache: ClipCache,
    *,
    workers: int,
    progress: Progress,
    label: str,
) -> Spoken:
    """Every job's clip, from the cache or spoken now.

    Args:
        jobs: with distinct keys.
        reopen: opens the engine in another process; must be picklable.
        workers: at most so many processes; 0: one a core.
    """
    found = {job.key: clip for job in jobs if (clip := cache.find(job.key)) is not None}
    missing = [job for job in jobs if job.key not in found]
    count = _processes(workers, len(missing), engine.batch_size)
    outcomes: dict[str, Clip | str] = {}
    start = time.perf_counter()
    with progress(label, len(jobs), "clips") as advance:
        advance(len(found), "from the cache")
        spoken = _in_pool(missing, reopen, cache, count) if count > 1 else _in_process(missing, engine, cache)
        for part in spoken:
            outcomes |= part
            advance(len(part), f"{len(outcomes) / (time.perf_counter() - start):.1f} clips/s")
    new = {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, Clip)}
    failures = {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, str)}
    return Spoken({**found, **new}, failures, frozenset(new), time.perf_counter() - start)


def _processes(workers: int, missing: int, batch_size: int) -> int:
    return 1 if batch_size > 1 else max(1, min(workers or cores(), missing // CLIPS_WORTH_A_PROCESS))


def _in_process(jobs: Sequence[ClipJob], engine: Synthesizer, cache: ClipCache) -> Iterator[dict[str, Clip | str]]:
    for batch in _batches(jobs, engine.batch_size):
        yield _speak(batch, engine, cache)


def _in_pool(
    jobs: Sequence[ClipJob], reopen: Callable[[], Synthesizer], cache: ClipCache, count: int
) -> Iterator[dict[str, Clip | str]]:
    pool = open_pool(count, _start_worker, reopen, cache)
    try:
        tasks = [pool.submit(_work, batch) for batch in _batches(jobs, _CLIPS_A_TASK)]
        for task in as_completed(tasks):
            yield task.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _batches(jobs: Sequence[ClipJob], size: int) -> Iterator[Sequence[ClipJob]]:
    return (jobs[start : start + size] for start in range(0, len(jobs), size))


@dataclass
class _Worker:
    reopen: Callable[[], Synthesizer]
    cache: ClipCache
    engine: Synthesizer | None = None


_worker: _Worker
"""A worker process's own; set when it starts."""


def _start_worker(reopen: Callable[[], Synthesizer], cache: ClipCache) -> None:
    global _worker
    _worker = _Worker(reopen, cache)


def _work(jobs: Sequence[ClipJob]) -> dict[str, Clip | str]:
    # Opened here and not in the initialiser, so that its error reaches the parent as it is.
    if _worker.engine is None:
        _worker.engine = _worker.reopen()
    done = [_speak([job], _worker.engine, _worker.cache) for job in jobs]
    return {key: outcome for part in done for key, outcome in part.items()}


def _speak(jobs: Sequence[ClipJob], engine: Synthesizer, cache: ClipCache) -> dict[str, Clip | str]:
    """By key, the saved clip or the reason why there is none. A batch that fails is spoken one by one."""
    try:
        waves = engine.speak([job.request for job in jobs])
    except (UserError, OSError, MemoryError):
        raise  # of the engine or the machine, not of a sentence
    except Exception as error:
        if len(jobs) == 1:
            return {jobs[0].key: f"{engine.name} failed: {type(error).__name__}: {error}"}
        return {key: outcome for job in jobs for key, outcome in _speak([job], engine, cache).items()}
    return {job.key: _saved(job, wave, engine.name, cache) for job, wave in zip(jobs, waves, strict=True)}


def _saved(job: ClipJob, wave: Wave, engine: str, cache: ClipCache) -> Clip | str:
    if not np.isfinite(wave).all():
        return f"{engine} made samples that are no numbers"
    if float(np.abs(wave).max(initial=0)) < _SILENCE:
        return f"{engine} made no sound of it"
    return cache.save(job.parts, wave, job.sampling_rate)
