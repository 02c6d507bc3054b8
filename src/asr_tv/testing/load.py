"""Synthesizes and scores very many clips with fakes in a process of bounded memory, and measures what that takes.

`python -m asr_tv.testing.load CLIPS FOLDER` prints one JSON line; see benchmarks/load.py.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from asr_tv.config.run import ScoringConfig, SynthesisConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest
from asr_tv.progress import Advance
from asr_tv.scoring.bootstrap import interval
from asr_tv.scoring.score import read_evaluation, score_file
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.synthesize import synthesize
from asr_tv.testing.speech import FakeSynthesizer, dummy_texts

LIMIT = 2_000_000_000  # bytes of data that the process may have


@dataclass
class Watch:
    """A progress line that notes every contradiction in what it is told, and counts open files."""

    lies: list[str] = field(default_factory=list)
    open_files: list[int] = field(default_factory=list)

    @contextmanager
    def __call__(self, label: str, total: int, unit: str) -> Iterator[Advance]:  # noqa: ARG002 - the protocol's name
        count = 0

        def advance(done: int = 1, note: str = "") -> None:  # noqa: ARG001 - the names are the protocol's
            nonlocal count
            count += done
            if done < 0 or count > total:
                self.lies.append(f"{label}: {done} more make {count} of {total}")
            if count % 50 == 0:
                self.open_files.append(len([*Path("/proc/self/fd").iterdir()]))

        yield advance
        if count != total:
            self.lies.append(f"{label}: ended at {count} of {total}")


class ShortClips(FakeSynthesizer):
    """Speaks only the last letters of a text, since the number of clips loads a store, not their duration."""

    def _clip(self, request: Any) -> Any:
        return super()._clip(replace(request, text=request.text[-12:]))


@dataclass(frozen=True)
class Took:
    """What it took. Peaks are of resident memory in bytes, up to the end of each step."""

    clips: int
    start_peak: int
    speaking_peak: int
    scoring_peak: int
    speaking_seconds: float
    scoring_seconds: float
    fewest_open_files: int
    most_open_files: int
    lies: tuple[str, ...]
    wer: float


def load(clips: int, folder: Path) -> Took:
    """Synthesizes clips, makes an error in every tenth transcript, and scores that with an interval."""
    watch, start = Watch(), peak()
    began = time.monotonic()
    runtime = Runtime(Store(folder / "store"), progress=watch, workers=1)
    record = synthesize(runtime, dummy_texts(clips), SynthesisConfig(takes=1), seed=1, synthesizer=ShortClips())
    spoken, speaking = peak(), time.monotonic() - began
    began = time.monotonic()
    wer = _scored(stored_manifest(record), folder)
    scoring = time.monotonic() - began
    fewest, most = min(watch.open_files), max(watch.open_files)
    return Took(clips, start, spoken, peak(), speaking, scoring, fewest, most, tuple(watch.lies), wer)


def _scored(manifest: Manifest, folder: Path) -> float:
    heard = folder / "hyp.jsonl"
    with heard.open("w", encoding="utf-8") as file:
        for number, utterance in enumerate(manifest):
            text = utterance.text.replace("Please", "Police") if number % 10 == 0 else utterance.text
            file.write(json.dumps({"id": utterance.id, "text": text}) + "\n")
    score_file(manifest, heard, ScoringConfig(), folder / "score")
    evaluation = read_evaluation(folder / "score")
    rows = evaluation.utterances
    errors, words = [u.word_counts.errors for u in rows], [u.word_counts.words for u in rows]
    interval(errors, words, [u.sentence for u in rows], resamples=2000, confidence=0.95, seed=1)
    return evaluation.wer


def peak() -> int:
    """Peak resident memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def loaded(clips: int, folder: Path) -> Took:
    """`load` in a process of its own, limited to `LIMIT` bytes of data."""
    command = [sys.executable, "-m", __name__, str(clips), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    row = json.loads(done.stdout)
    return Took(**{**row, "lies": tuple(row["lies"])})


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    print(json.dumps(asdict(load(int(sys.argv[1]), Path(sys.argv[2])))))
