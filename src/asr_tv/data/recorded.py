"""The sound of an utterance: its recording, or the part of it that the utterance is."""

from pathlib import Path

from asr_tv.audio.recordings import Wave, read_audio, read_recording
from asr_tv.data.manifest import Utterance
from asr_tv.errors import DataError

_OVERSHOOT_SECONDS = 0.5
"""Kaldi's own tolerance: a part may be said to end this much after its recording."""


def read_wave(utterance: Utterance, *, sampling_rate: int = 16_000) -> Wave:
    """The utterance's samples, channels averaged, at `sampling_rate`.

    Raises:
        DataError: it has no recording, as `read_audio`, or the part is not in it.
    """
    wave = read_audio(path_of(utterance), sampling_rate=sampling_rate, utterance=utterance.id)
    return part_of(wave, sampling_rate, utterance)


def read_original(utterance: Utterance) -> tuple[Wave, int]:
    """The utterance's samples at the recording's own sampling rate, and that rate.

    Raises:
        DataError: as `read_wave`.
    """
    wave, rate = read_recording(path_of(utterance), utterance=utterance.id)
    return part_of(wave, rate, utterance), rate


def path_of(utterance: Utterance) -> Path:
    """The recording that the utterance is, or is in; a DataError if it has none."""
    if utterance.audio is None:
        raise DataError(f"utterance {utterance.id!r}: no recording")
    return Path(utterance.audio)


def part_of(wave: Wave, rate: int, utterance: Utterance) -> Wave:
    """The part of a recording [samples] at `rate` Hz that the utterance is; the whole where it has no offset."""
    if utterance.offset is None:
        return wave
    first = round(utterance.offset * rate)
    last = len(wave) if utterance.duration is None else first + round(utterance.duration * rate)
    require_inside(utterance, len(wave) / rate)
    return wave[first : min(last, len(wave))]


def require_inside(utterance: Utterance, seconds: float) -> float:
    """By how much the utterance ends after its recording of so many seconds: 0, or little.

    Raises:
        DataError: it begins or ends outside the recording, or holds nothing of it.
    """
    start = utterance.offset or 0.0
    end = seconds if utterance.duration is None else start + utterance.duration
    if start >= min(end, seconds) or end > seconds + _OVERSHOOT_SECONDS:
        said = "its end" if utterance.duration is None else f"{end:g} s"
        where = f"utterance {utterance.id!r}: {utterance.audio}"
        raise DataError(f"{where}: {start:g} s to {said} is not in it, {seconds:.2f} s")
    return max(0.0, end - seconds)
