"""The stage that describes clips, in processes; each clip is kept for itself, and measured once."""

import functools
import json
from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asr_tv.audio.attributes import SAMPLING_RATE, VERSION, Attributes, measure
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.data.recorded import path_of, read_wave
from asr_tv.describing.describers import classify, installed
from asr_tv.describing.description import Description, format_descriptions, parse_descriptions
from asr_tv.errors import DataError
from asr_tv.store.results import Identity, Produced, Record, Store, file_digest, write_atomically
from asr_tv.store.runtime import Runtime
from asr_tv.text.spoken_form import VERSION as SPOKEN_VERSION
from asr_tv.text.spoken_form import spoken_form
from asr_tv.workers import cores, open_pool

STAGE, CLIP_STAGE = "describe", "attributes"
DESCRIPTIONS, _CLIP = "descriptions.jsonl", "attributes.json"
CLIPS_WORTH_A_PROCESS = 20
"""Clips measured in the seconds that another process takes to start and to load librosa."""
SAMPLE = 200
"""Clips that stand for a set: their medians then vary by a few percent, at a second a clip on a busy core."""


@dataclass(frozen=True)
class _Job:
    """A clip to measure, and the key under which it is kept."""

    utterance: Utterance
    language: str
    pitch: bool

    @property
    def counts(self) -> tuple[int, int]:
        """Words and letters as they are spoken."""
        words = self.utterance.text
        if self.language == "en":
            words = spoken_form(words, self.language, reads_numbers=False)
        return sum(any(c.isalnum() for c in w) for w in words.split()), sum(c.isalnum() for c in words)

    @property
    def identity(self) -> Identity:
        u = self.utterance
        digest = u.audio_digest or file_digest(path_of(u))
        words, letters = self.counts
        part = {} if u.offset is None else {"offset": u.offset, "duration": u.duration}
        parameters = {"words": words, "letters": letters, "pitch": self.pitch, "describers": _versions(), **part}
        return Identity(CLIP_STAGE, VERSION, parameters, {"recording": digest})


@functools.cache
def _describers() -> dict[str, Any]:
    return installed()


def _versions() -> dict[str, str]:
    return {name: describer.version for name, describer in _describers().items()}


def describe(runtime: Runtime, clips: Manifest, language: str = "en", *, pitch: bool = True) -> Record:
    """Writes `descriptions.jsonl`, a row a clip in the order of the manifest; a killed call goes on where it was.

    Args:
        pitch: whether to look for it, which takes longer than all else.

    Raises:
        DataError: every clip that cannot be read.
        ConfigError: a describer of another package cannot be loaded.
    """
    parameters = {"language": language, "pitch": pitch, "describers": _versions(), "spoken_form": SPOKEN_VERSION}

    def produce(folder: Path) -> Produced:
        jobs = [_Job(u, language, pitch) for u in clips]
        with runtime.progress(runtime.label or STAGE, len(jobs), "clips") as advance:
            described: dict[str, Description] = {}
            for description in _measured(jobs, runtime):
                described[description.id] = description
                advance()
        rows = tuple(described[u.id] for u in clips)
        write_atomically(folder / DESCRIPTIONS, format_descriptions(rows))
        return Produced(clips.refs(), {"clips": len(clips)})

    inputs = {"clips": clips.digest}
    return runtime.store.build(Identity(STAGE, VERSION, parameters, inputs), produce)


def read_described(record: Record) -> tuple[Description, ...]:
    """The descriptions of a record of `describe`."""
    return parse_descriptions((record.path / DESCRIPTIONS).read_text(encoding="utf-8"))


def sampled(clips: Manifest, most: int = SAMPLE) -> Manifest:
    """At most so many clips, those with the smallest digests of their recordings, whatever their order."""
    ranked = sorted(clips, key=lambda u: (u.audio_digest or "", u.id))[:most]
    kept = {u.id for u in ranked}
    return clips.where(clips.name, lambda u: u.id in kept)


def _measured(jobs: list[_Job], runtime: Runtime) -> Iterator[Description]:
    """Descriptions as they are finished: those that are kept first, the others in processes."""
    store = runtime.store.guarded(lambda: None)  # the whole call's inputs have been checked
    missing = []
    for job in jobs:
        record = store.find(job.identity)
        if record is None:
            missing.append(job)
        else:
            yield _read(job.utterance, record)
    problems: list[str] = []
    for job, measured in _measure_all(missing, runtime.workers or cores()):
        if isinstance(measured, tuple):
            problems += measured
        else:
            yield _read(job.utterance, _keep(store, job, measured))
    if problems:
        raise DataError(sorted(problems))


_Measured = dict[str, Any] | tuple[str, ...]
"""The row of a clip, or why there is none."""


def _measure_all(jobs: list[_Job], workers: int) -> Iterator[tuple[_Job, _Measured]]:
    count = min(workers, len(jobs) // CLIPS_WORTH_A_PROCESS)
    if count < 2:
        yield from ((job, _measure(job)) for job in jobs)
        return
    pool = open_pool(count, _nothing)
    try:
        tasks = {pool.submit(_measure, job): job for job in jobs}
        for task in as_completed(tasks):
            yield tasks[task], task.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _nothing() -> None:
    """What a worker does at its start: it loads librosa with its first clip."""


def _measure(job: _Job) -> _Measured:
    try:
        wave = read_wave(job.utterance, sampling_rate=SAMPLING_RATE)
    except DataError as error:
        return error.problems
    attributes = measure(wave, *job.counts, pitch=job.pitch)
    return {"attributes": asdict(attributes), "said": classify(_describers(), wave, SAMPLING_RATE)}


def _keep(store: Store, job: _Job, row: dict[str, Any]) -> Record:
    def produce(folder: Path) -> Produced:
        write_atomically(folder / _CLIP, json.dumps(row, sort_keys=True))
        return Produced((Manifest("clip", (job.utterance,)).ref(),))

    return store.build(job.identity, produce)


def _read(utterance: Utterance, record: Record) -> Description:
    row = json.loads((record.path / _CLIP).read_text(encoding="utf-8"))
    attributes = Attributes(**row["attributes"])
    return Description(utterance.id, utterance.text, utterance.domain, attributes, row["said"])
