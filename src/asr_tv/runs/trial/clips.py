"""What a visitor said or chose: one recording, checked before any model hears it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from asr_tv.audio.recordings import Wave, audio_duration, read_audio, to_pcm16
from asr_tv.audio.silences import is_heard
from asr_tv.errors import DataError
from asr_tv.models.audio_context import FULL_SECONDS, SAMPLING_RATE

MOST_BYTES = 12_000_000
"""Of an upload: 30 s of 48 kHz stereo in 32-bit samples."""


@dataclass(frozen=True, eq=False)
class VisitorClip:
    """A usable recording.

    Attributes:
        path: the file as it came, which is not kept.
        name: of the file, for people.
        wave: samples at 16 kHz.
    """

    path: Path
    name: str
    wave: Wave

    @property
    def seconds(self) -> float:
        return len(self.wave) / SAMPLING_RATE

    @property
    def digest(self) -> str:
        """sha256 of the 16-bit samples at 16 kHz."""
        return hashlib.sha256(to_pcm16(self.wave).tobytes()).hexdigest()


def read_clip(path: Path) -> VisitorClip:
    """Reads a recording of at most 30 s in which something can be heard.

    Raises:
        DataError: in one line without the file's folder: too large, not audio, too long, or silent.
    """
    name = path.name
    try:
        if path.exists() and path.stat().st_size > MOST_BYTES:
            raise DataError(
                f"{name}: over {MOST_BYTES // 1_000_000} MB; give a recording of at most {FULL_SECONDS:g} s"
            )
        _refuse_longer(name, audio_duration(path))
        wave = read_audio(path)
    except DataError as error:
        raise DataError(problem.replace(str(path), name) for problem in error.problems) from None
    _refuse_longer(name, len(wave) / SAMPLING_RATE)
    if not is_heard(wave):
        raise DataError(f"{name}: silence, there is nothing to hear: is the microphone muted?")
    return VisitorClip(path, name, wave)


def _refuse_longer(name: str, seconds: float) -> None:
    if seconds > FULL_SECONDS:
        told = f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"
        raise DataError(f"{name}: lasts {told}; at most {FULL_SECONDS:g} s can be heard at once")
