"""Reads what libsndfile cannot, by PyAV where it is installed: MP4, WebM, AAC, WMA, AMR and their like."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr_tv.audio.channels import Power
from asr_tv.errors import DataError

_MAGIC = {
    b"\x1aE\xdf\xa3": "WebM or Matroska",
    b"\x30\x26\xb2\x75": "WMA",
    b"#!AMR": "AMR",
    b"FLV\x01": "FLV",
    b"\x0b\x77": "AC-3",
}
_ROUNDING_SECONDS = 0.25
"""A container's duration counts the encoder's padding, which is not decoded."""


def kind_of(path: Path) -> str:
    """The format of a file that libsndfile does not read, from its first bytes; "" for any other."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp":
        return "MP4 or M4A"
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xF6 == 0xF0:
        return "AAC"
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")


def read(path: Path, kind: str, where: str, most: int) -> tuple[NDArray[np.float32], int]:
    """The only audio track, channels averaged, and its sampling rate in Hz.

    Raises:
        DataError: PyAV is not installed; damaged or cut, no track or several, more than `most` samples.
    """
    if find_spec("av") is None:
        raise DataError(f'{where}: {kind}, which needs the extra "media": pip install -e ".[media]"')
    import av

    try:
        with av.open(str(path)) as container:
            if (count := len(container.streams.audio)) != 1:
                raise DataError(f"{where}: {kind} with {count} audio tracks; one is needed")
            wave, rate = _decoded(container, where, most)
            promised = _promised_seconds(container)
    except av.FFmpegError as error:
        raise DataError(f"{where}: {kind}, truncated or damaged ({error.strerror})") from None
    if promised and wave.size / rate < promised - _ROUNDING_SECONDS:
        raise DataError(f"{where}: truncated: {wave.size / rate:.2f} of {promised:.2f} s")
    return wave, rate


def _decoded(container: Any, where: str, most: int) -> tuple[NDArray[np.float32], int]:
    from av import AudioResampler

    blocks, samples, rate, power = [], 0, 0, Power()
    resampler = None
    for frame in container.decode(audio=0):
        if resampler is None:
            rate = frame.sample_rate
            resampler = AudioResampler(format="fltp", layout=frame.layout, rate=rate)
        for planes in resampler.resample(frame):
            blocks.append(power.averaged(planes.to_ndarray().T.astype(np.float32, copy=False)))
            samples += len(blocks[-1])
        if samples > most:
            raise DataError(f"{where}: more than {most} samples")
    power.require_heard(where)
    if not blocks:
        raise DataError(f"{where}: empty: no samples")
    return np.concatenate(blocks), rate


def _promised_seconds(container: Any) -> float:
    """The track's length in its header, or the container's if it has but this track; 0 where it is only estimated."""
    stream = container.streams.audio[0]
    if container.format.name in ("aac", "amr", "ac3"):
        return 0.0
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    alone = len(container.streams) == 1 and container.duration
    return container.duration / 1e6 if alone else 0.0
