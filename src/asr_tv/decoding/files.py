"""Transcribes recordings of any length given as files or folders; unusable ones are reported and left out."""

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
from asr_tv.store.results import Record
from asr_tv.store.runtime import Runtime

_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64", ".caf"})


@dataclass(frozen=True)
class _Recording:
    path: Path
    duration: float
    pieces: tuple[tuple[Span, Utterance], ...]


def find_recordings(paths: Sequence[Path]) -> list[Path]:
    """The given files, with each folder replaced by all recordings below it, sorted by path.

    Raises:
        DataError: a folder without recordings, a name that is not UTF-8, or the same recording twice.
    """
    found: list[Path] = []
    problems: list[str] = []
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
        if path.is_dir() and not inside:
            problems.append(f"{path}: no recording in it ({', '.join(sorted(_SUFFIXES))})")
        found += inside if path.is_dir() else [path]
    for path in found:
        try:
            require_utf8_name(path)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    checked(Manifest("recordings", tuple(Utterance(str(path), "") for path in found)))
    return found


def transcribe_files(
    runtime: Runtime,
    checkpoint: Record,
    paths: Sequence[Path],
    decoding: Decoding,
    *,
    longest: float,
    at_each_pause: bool = False,
) -> tuple[list[Transcript], list[str]]:
    """Transcripts of the usable recordings, in their order, and the problems of the others.

    Args:
        longest: in seconds; longer recordings are cut at their quietest places into pieces of at most this length.
        at_each_pause: cut longer recordings in every pause, for a checkpoint that was tuned on sentences.

    Raises:
        DataError: no recording is usable.
    """
    cut = partial(cut_at_silences, sampling_rate=SAMPLING_RATE, longest=longest, at_each_pause=at_each_pause)
    recordings: list[_Recording] = []
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="asr-tv-") as folder:
        with runtime.progress("read", len(paths), "files") as advance:
            for number, path in enumerate(paths):
                try:
                    recordings.append(_read(path, cut, Path(folder) / str(number)))
                except DataError as error:
                    problems += error.problems
                advance()
        if not recordings:
            raise DataError(problems)
        pieces = tuple(u for recording in recordings for _, u in recording.pieces)
        record = transcribe(runtime, checkpoint, Manifest("recordings", pieces), decoding)
        texts = read_hypotheses(record.path / hypotheses_file())
    transcripts = []
    for recording in recordings:
        segments = tuple(Cue(span, texts[u.id].strip()) for span, u in recording.pieces)
        transcripts.append(Transcript(str(recording.path), recording.duration, segments))
    return transcripts, problems


def _read(path: Path, cut: Callable[[Wave], list[Span]], folder: Path) -> _Recording:
    # Decoded to its end, so that a truncated recording is reported by itself and does not fail the others.
    wave = read_audio(path)
    duration = len(wave) / SAMPLING_RATE
    whole = _measure(Utterance(str(path), "", audio=str(path.absolute())))
    spans = cut(wave)
    if spans == [Span(0.0, duration)]:
        return _Recording(path, duration, ((spans[0], whole),))
    return _Recording(path, duration, tuple((span, _write_piece(whole, wave, span, folder)) for span in spans))


def _write_piece(whole: Utterance, wave: Wave, span: Span, folder: Path) -> Utterance:
    start, end = (round(second * SAMPLING_RATE) for second in span)
    file = folder / f"{start}.wav"
    write_audio(file, wave[start:end], SAMPLING_RATE)
    name = f"{whole.id}@{span.start:.3f}"
    return _measure(replace(whole, id=name, audio=str(file), duration=None, audio_digest=None))


def _measure(utterance: Utterance) -> Utterance:
    """The utterance with duration and digest of its recording."""
    (measured,) = opened(Manifest("recordings", (utterance,)))
    return measured
