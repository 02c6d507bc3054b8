"""Transcripts as plain text, SRT and WebVTT."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from asr_tv.audio.silences import Span
from asr_tv.safe_text import printable


@dataclass(frozen=True, slots=True)
class Cue:
    """The text recognised in one span; empty if there was none."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """One recording, called by its path as given: its duration in seconds and its segments in order."""

    name: str
    duration: float
    segments: tuple[Cue, ...]

    @property
    def text(self) -> str:
        return " ".join(s.text.strip() for s in self.segments if s.text.strip())

    def row(self) -> dict[str, object]:
        """As JSON: file, duration, text, and segments with start and end in seconds."""
        rows = [{"start": round(s.span.start, 3), "end": round(s.span.end, 3), "text": s.text} for s in self.segments]
        return {"file": self.name, "duration": round(self.duration, 3), "text": self.text, "segments": rows}


def as_text(transcript: Transcript) -> str:
    """One line per segment."""
    return "".join(f"{segment.text}\n" for segment in _spoken(transcript.segments))


def as_srt(transcript: Transcript) -> str:
    """SubRip."""
    cues = enumerate(_spoken(transcript.segments), 1)
    return "\n".join(f"{n}\n{_times(cue.span, ',')}\n{cue.text.replace('-->', '->')}\n" for n, cue in cues)


def as_vtt(transcript: Transcript) -> str:
    """WebVTT, special characters escaped."""
    cues = [(_times(cue.span, "."), escape(cue.text, quote=False)) for cue in _spoken(transcript.segments)]
    return "WEBVTT\n" + "".join(f"\n{times}\n{text}\n" for times, text in cues)


def _spoken(segments: Sequence[Cue]) -> list[Cue]:
    """Segments with text, on one line since a blank line would end a cue, without control characters."""
    return [Cue(s.span, text) for s in segments if (text := printable(" ".join(s.text.split()), keep=""))]


def _times(span: Span, mark: str) -> str:
    times = [divmod(round(seconds * 1000), 1000) for seconds in span]
    return " --> ".join(f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}{mark}{ms:03}" for s, ms in times)
