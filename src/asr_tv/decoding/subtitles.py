"""Transcripts as text, SRT and WebVTT."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from asr_tv.audio.silences import Span
from asr_tv.safe_text import printable


@dataclass(frozen=True, slots=True)
class Cue:
    """What was heard in one span; empty text when nothing was."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """One recording's segments, in order.

    Attributes:
        name: the recording's path as it was given.
        duration: seconds.
    """

    name: str
    duration: float
    segments: tuple[Cue, ...]

    @property
    def text(self) -> str:
        """All of it on one line."""
        return " ".join(s.text.strip() for s in self.segments if s.text.strip())

    def row(self) -> dict[str, object]:
        """For JSON: file, duration, text and segments with start and end in seconds."""
        rows = [{"start": round(s.span.start, 3), "end": round(s.span.end, 3), "text": s.text} for s in self.segments]
        return {"file": self.name, "duration": round(self.duration, 3), "text": self.text, "segments": rows}


def as_text(transcript: Transcript) -> str:
    """A line a segment."""
    return "".join(f"{segment.text}\n" for segment in _heard(transcript.segments))


def as_srt(transcript: Transcript) -> str:
    """SubRip: numbered cues, commas before the milliseconds."""
    cues = (
        f"{number}\n{_time(s.span.start, ',')} --> {_time(s.span.end, ',')}\n{s.text.replace('-->', '->')}\n"
        for number, s in enumerate(_heard(transcript.segments), 1)
    )
    return "\n".join(cues)


def as_vtt(transcript: Transcript) -> str:
    """WebVTT, with what its text may not hold escaped."""
    cues = (
        f"\n{_time(s.span.start, '.')} --> {_time(s.span.end, '.')}\n{_escaped(s.text)}\n"
        for s in _heard(transcript.segments)
    )
    return "WEBVTT\n" + "".join(cues)


def _heard(segments: Sequence[Cue]) -> Iterable[Cue]:
    """Those with text, each on one line, since a blank line would end a cue, without what a terminal obeys."""
    return [Cue(s.span, text) for s in segments if (text := printable(" ".join(s.text.split()), keep=""))]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(seconds: float, mark: str) -> str:
    thousandths = round(seconds * 1000)
    minutes, thousandths = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{thousandths // 1000:02}{mark}{thousandths % 1000:03}"
