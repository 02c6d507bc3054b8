"""Transcribes recordings of any length given as files or folders; unusable ones are reported and left out."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from asr_tv.audio.recordings import Wave, looks_like_recording, read_audio, write_audio
from asr_tv.audio.silences import Span, cut_at_silences, is_heard
from asr_tv.data.corpora.local import opened
from asr_tv.data.manifest import Manifest, Utterance, checked
from asr_tv.data.text_files import require_utf8_name
from asr_tv.decoding.hypotheses import hypotheses_file, read_hypotheses
from asr_tv.decoding.options import Decoding
from asr_tv.decoding.subtitles import Cue, Transcript
from asr_tv.decoding.transcribe import transcribe
from asr_tv.errors import DataError, tell_left_out
from asr_tv.models.audio_context import SAMPLING_RATE
from asr_tv.store.results import Record
from asr_tv.store.runtime import Runtime


@dataclass(frozen=True)
class _Recording:
    """A recording and its pieces; none where there is nothing to hear."""

    path: Path
    duration: float
    pieces: tuple[tuple[Span, Utterance], ...]


def find_recordings(paths: Sequence[Path]) -> list[Path]:
    """The given files, with each folder replaced by all recordings below it, sorted by path.

    A recording in a folder is told by its first bytes or its suffix. Other files are left out and named, and so are
    hidden ones, such as those that a Mac puts beside each file.

    Raises:
        DataError: a folder without recordings, a name that is not UTF-8, or the same recording twice.
    """
    found: list[Path] = []
    problems: list[str] = []
    for path in paths:
        inside = _inside(path) if path.is_dir() else [path]
        problems += [] if inside else [f"{path}: no recording in it"]
        found += inside
    for path in found:
        try:
            require_utf8_name(path)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    checked(Manifest("recordings", tuple(Utterance(str(path), "") for path in found)))
    return found


def _inside(folder: Path) -> list[Path]:
    """The recordings below a folder, once the other files there are named."""
    groups: dict[str, list[Path]] = {"recordings": [], "hidden": [], "not recordings": []}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") or part == "__MACOSX" for part in parts):
            groups["hidden"].append(path)
        else:
            groups["recordings" if looks_like_recording(path) else "not recordings"].append(path)
    for reason in ("hidden", "not recordings"):
        tell_left_out(str(folder), reason, [str(path.relative_to(folder)) for path in groups[reason]])
    return groups["recordings"]


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
        tell_left_out("recordings", "nothing to hear in them", [str(r.path) for r in recordings if not r.pieces])
        pieces = tuple(u for recording in recordings for _, u in recording.pieces)
        texts: dict[str, str] = {}
        if pieces:
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
    if not is_heard(wave):
        return _Recording(path, duration, ())
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
