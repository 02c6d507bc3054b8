"""MPEG audio, frame by frame (ISO 11172-3): an MP3 file's header, if it has one, only promises how long it is."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from asr_tv.audio.tags import end_of_tag

_KBITS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_LOST_BYTES = 1440
"""As much as one frame; a longer stretch without frames is lost sound, not padding."""


class FrameForm(NamedTuple):
    """What all frames of one recording have in common."""

    version: int  # 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
    layer: int
    rate: int
    mono: bool


class Frame(NamedTuple):
    """One frame: its place and length in bytes, and its form."""

    start: int
    length: int
    form: FrameForm


@dataclass(frozen=True)
class Run:
    """Consecutive frames of one recording; `tag` is its Xing or Info frame and `promised` the count of frames there."""

    tag: Frame | None
    promised: int | None
    frames: tuple[Frame, ...]

    def pieces(self, data: bytes) -> list[bytes]:
        """The recording as an MP3 file of its own whose tag counts its frames."""
        whole = [data[frame.start : frame.start + frame.length] for frame in self.frames]
        if self.tag is not None and (self.promised is None or self.promised >= len(whole)):
            return [data[self.tag.start : self.tag.start + self.tag.length], *whole]
        return [_tag(whole[0], self.frames[0].form, len(whole)), *whole] if self.frames[0].form.layer == 3 else whole


@dataclass(frozen=True)
class Scan:
    """The recordings in an MPEG audio file; how many bytes at the end are less than a frame; how many are no sound."""

    runs: tuple[Run, ...]
    cut: int
    lost: int


def scan(data: bytes) -> Scan | None:
    """Finds all frames; None where there are none, as in a file of another kind or in free format."""
    frames, lost, cut = [], 0, 0
    place = 0
    while place < len(data):
        if (after := end_of_tag(data, place)) is not None:
            place = after
        elif (frame := _frame(data, place)) is None:
            following = _next_frame(data, place + 1)
            stretch = data[place : len(data) if following is None else following]
            lost += len(stretch) if stretch.strip(b"\0") and len(stretch) > _LOST_BYTES else 0
            place += len(stretch)
        elif place + frame.length > len(data):
            cut = len(data) - place
            break
        else:
            frames.append(frame)
            place += frame.length
    return Scan(tuple(_runs(data, frames)), cut, lost) if len(frames) > 1 else None


def _frame(data: bytes, place: int) -> Frame | None:
    """The frame whose header is at this place."""
    head = data[place : place + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bits, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or bits in (0, 15) or rate == 3:
        return None
    hertz = _HZ[version][rate]
    kbits = _KBITS[1 if version == 3 else 2, layer if version == 3 else min(layer, 2)][bits - 1]
    if layer == 1:
        length = (12_000 * kbits // hertz + padding) * 4
    else:
        length = (72_000 if layer == 3 and version != 3 else 144_000) * kbits // hertz + padding
    return Frame(place, length, FrameForm(version, layer, hertz, head[3] >> 6 == 3))


def _next_frame(data: bytes, place: int) -> int | None:
    """Where the next frame begins that is followed by another one, by a tag or by the end."""
    while (place := data.find(b"\xff", place)) >= 0:
        if (frame := _frame(data, place)) is not None:
            after = place + frame.length
            following = _frame(data, after)
            if after == len(data) or end_of_tag(data, after) or (following and following.form == frame.form):
                return place
        place += 1
    return None


def _runs(data: bytes, frames: list[Frame]) -> Iterator[Run]:
    """Cuts where a tag stands, with which a recording begins, and where the form changes."""
    tag, promised = None, None
    run: list[Frame] = []
    for frame in frames:
        is_tag, count = _read_tag(data, frame)
        if run and (is_tag or frame.form != run[0].form):
            yield Run(tag, promised, tuple(run))
            tag, promised, run = None, None, []
        if is_tag:
            tag, promised = frame, count
        else:
            run.append(frame)
    if run:
        yield Run(tag, promised, tuple(run))


def _read_tag(data: bytes, frame: Frame) -> tuple[bool, int | None]:
    """Whether a frame is a Xing, Info or VBRI tag, and the count of frames in it."""
    content = data[frame.start : frame.start + frame.length]
    if frame.form.layer != 3:
        return False, None
    if content[36:40] == b"VBRI":
        return True, int.from_bytes(content[50:54], "big")
    place = 4 + _side_information(frame.form)
    if content[place : place + 4] not in (b"Xing", b"Info"):
        return False, None
    has_count = content[place + 7] & 1
    return True, int.from_bytes(content[place + 8 : place + 12], "big") if has_count else None


def _side_information(form: FrameForm) -> int:
    """Bytes between a frame's header and its data."""
    if form.version == 3:
        return 17 if form.mono else 32
    return 9 if form.mono else 17


def _tag(first: bytes, form: FrameForm, count: int) -> bytes:
    """An Info frame that counts frames like `first`."""
    head = bytes((first[0], first[1] | 1, 9 << 4 | first[2] & 0x0C, first[3]))  # 128 or 80 kbit/s, no checksum
    frame = _frame(head, 0)
    assert frame is not None
    content = head + bytes(_side_information(form)) + b"Info" + struct.pack(">II", 1, count)
    return content.ljust(frame.length, b"\0")
