"""Transcribes recordings that a user has at hand: any length, many at once, the unusable ones named and left out."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from asr_tv.audio.recordings import Wave, read_audio, write_audio
from asr_tv.audio.silences import Span, cut_at_silences
from asr_tv.data.corpora.local import opened
from asr_tv.data.manifest import Manifest, Utterance, checked
from asr_tv.data.text_files import require_utf8_name
from asr_tv.decoding.hypotheses import hypotheses_file, read_hypotheses
from asr_tv.decoding.options import Decoding
from asr_tv.decoding.subtitles import Cue, Transcript
from asr_tv.decoding.transcribe import transcribe
from asr_tv.errors import DataError
from asr_tv.models.audio_context import SAMPLING_RATE
from asr_tv.progress import Progress
from asr_tv.store.results import Record
from asr_tv.store.runtime import Runtime

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64", ".caf"})
"""What is taken for a recording in a folder."""


Cut = Callable[[Wave], list[Span]]


@dataclass(frozen=True)
class _Recording:
    path: Path
    duration: float
    pieces: tuple[tuple[Span, Utterance], ...]


def find_recordings(paths: Sequence[Path]) -> list[Path]:
    """The files themselves, and in the place of a folder every recording below it, by name.

    Raises:
        DataError: a folder without a recording, or one recording twice.
    """
    found: list[Path] = []
    problems: list[str] = []
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if path.is_dir() and not inside:
            problems.append(f"{path}: no recording in it ({', '.join(sorted(SUFFIXES))})")
        found += inside if path.is_dir() else [path]
    problems += [problem for path in found for problem in _name_problems(path)]
    if problems:
        raise DataError(problems)
    checked(Manifest("recordings", tuple(Utterance(str(path), "") for path in found)))
    return found


def _name_problems(path: Path) -> tuple[str, ...]:
    try:
        require_utf8_name(path)
    except DataError as error:
        return error.problems
    return ()


def transcribe_files(
    runtime: Runtime,
    checkpoint: Record,
    paths: Sequence[Path],
    decoding: Decoding,
    *,
    longest: float,
    at_each_pause: bool = False,
) -> tuple[list[Transcript], list[str]]:
    """Transcripts of the usable recordings, in their order, and what is wrong with the others.

    Args:
        longest: seconds; what lasts longer is cut into pieces of at most that at its quietest places.
        at_each_pause: what lasts longer is cut in every pause, for a checkpoint that was tuned on sentences.

    Raises:
        DataError: no recording is usable.
    """
    with tempfile.TemporaryDirectory(prefix="asr-tv-") as folder:
        recordings, problems = _prepared(paths, partial(_spans, longest, at_each_pause), Path(folder), runtime.progress)
        pieces = tuple(u for recording in recordings for _, u in recording.pieces)
        if not recordings:
            raise DataError(problems)
        manifest = Manifest("recordings", pieces)
        record = transcribe(runtime, checkpoint, manifest, decoding)
        heard = read_hypotheses(record.path / hypotheses_file())
    return [_transcript(recording, heard) for recording in recordings], problems


def _prepared(paths: Sequence[Path], cut: Cut, folder: Path, progress: Progress) -> tuple[list[_Recording], list[str]]:
    recordings: list[_Recording] = []
    problems: list[str] = []
    with progress("read", len(paths), "files") as advance:
        for number, path in enumerate(paths):
            try:
                recordings.append(_opened(path, cut, folder / str(number)))
            except DataError as error:
                problems += error.problems
            advance()
    return recordings, problems


def _opened(path: Path, cut: Cut, folder: Path) -> _Recording:
    # Decoded as a whole: a recording that breaks off must be found here and not among the others.
    wave = read_audio(path)
    duration = len(wave) / SAMPLING_RATE
    (whole,) = opened(Manifest("recordings", (Utterance(str(path), "", audio=str(path.absolute())),)))
    spans = cut(wave)
    if spans == [Span(0.0, duration)]:
        return _Recording(path, duration, ((spans[0], whole),))
    return _Recording(path, duration, tuple((span, _written(whole, wave, span, folder)) for span in spans))


def _spans(longest: float, at_each_pause: bool, wave: Wave) -> list[Span]:
    return cut_at_silences(wave, SAMPLING_RATE, longest, at_each_pause=at_each_pause)


def _written(whole: Utterance, wave: Wave, span: Span, folder: Path) -> Utterance:
    start, end = (round(second * SAMPLING_RATE) for second in span)
    file = folder / f"{start}.wav"
    write_audio(file, wave[start:end], SAMPLING_RATE)
    piece = replace(whole, id=f"{whole.id}@{span.start:.3f}", audio=str(file), duration=None, audio_digest=None)
    (utterance,) = opened(Manifest("recordings", (piece,)))
    return utterance


def _transcript(recording: _Recording, heard: dict[str, str]) -> Transcript:
    segments = tuple(Cue(span, heard[u.id].strip()) for span, u in recording.pieces)
    return Transcript(str(recording.path), recording.duration, segments)
