"""Where the recordings in a file begin and end, from its structure: libsndfile reads the first and ignores the rest."""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from asr_tv.audio.flac import ends_at, last_frame
from asr_tv.audio.mpeg import scan
from asr_tv.audio.tags import end_of_tag
from asr_tv.errors import DataError

STREAMED = 0x7FFF0000
"""Programs that write a WAV file into a pipe put a length of at least this into its header."""
_WAV_START = re.compile(rb"(?:RIFF|RIFX)....WAVEfmt ", re.DOTALL)
_FLAC_START = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
_MATROSKA_START = re.compile(rb"\x1a\x45\xdf\xa3.{0,64}?(?:webm|matroska)", re.DOTALL)
_TAG_START = re.compile(rb"ID3|TAG|APETAGEX|LYRICSBEGIN")
_FEW = 8
"""Fewer bytes than this are no sound."""
_CHUNK_NAME = re.compile(rb"[\x20-\x7e]{4}")


@dataclass(frozen=True)
class Layout:
    """The recordings in a file, each as the bytes of a file of its own; None where the file is just one.

    Attributes:
        missing: what a cut file lacks, or "".
        exact: a decoder's claim of more samples than it decodes means that some are missing.
    """

    parts: tuple[bytes, ...] | None = None
    missing: str = ""
    exact: bool = True


def layout_of(data: bytes) -> Layout:
    """The layout of a file's content, which may be a memory map.

    Raises:
        DataError: it holds bytes that belong to no recording, or recordings side by side.
    """
    head = bytes(data[:4])
    for magic, read in _READERS.items():
        if head.startswith(magic):
            return read(data)
    if data[4:8] == b"ftyp":
        return _mp4(data)
    if head[:1] == b"\xff" or head[:3] == b"ID3":
        return _mpeg(data)
    return Layout()


def _mpeg(data: bytes) -> Layout:
    if _FLAC_START.match(data, end_of_tag(data, 0) or 0):
        return _flac(data)
    if data[:1] == b"\xff" and data[1] & 0xF6 == 0xF0:
        return _adts(data)
    if (found := scan(data)) is None:
        return Layout(exact=False)
    if found.lost:
        raise DataError(f"{found.lost} bytes in it are no sound: damaged, or joined with something else")
    missing = f"its last frame ends after {found.cut} bytes" if found.cut else ""
    (first, *more) = found.runs
    counted = first.promised is not None and first.promised >= len(first.frames)
    if not more and (counted or first.frames[0].form.layer != 3):
        return Layout(None, missing, exact=counted)
    exact = all(run.frames[0].form.layer == 3 for run in found.runs)
    return Layout(tuple(b"".join(run.pieces(data)) for run in found.runs), missing, exact)


def _adts(data: bytes) -> Layout:
    """AAC in ADTS frames (ISO 14496-3), which any reader joins."""
    place = 0
    while place + 7 <= len(data) and data[place] == 0xFF and data[place + 1] & 0xF6 == 0xF0:
        place += (data[place + 3] & 3) << 11 | data[place + 4] << 3 | data[place + 5] >> 5
    if place > len(data):
        return Layout(missing=f"its last frame lacks {place - len(data)} bytes", exact=False)
    _require_nothing(data, place)
    return Layout(exact=False)


def _ogg(data: bytes) -> Layout:
    """Chained streams (RFC 3533, section 4): each begins with pages that are marked so and ends with a marked one."""
    starts, place, last, began = [0], 0, 0, True
    while data[place : place + 4] == b"OggS" and len(data) >= place + 27:
        last, first_page = data[place + 5], bool(data[place + 5] & 2)
        if first_page and not began:
            starts.append(place)
        began = first_page
        segments = data[place + 27 : place + 27 + data[place + 26]]
        place += 27 + data[place + 26] + sum(segments)
    if place > len(data) or data[place : place + 4] == b"OggS":
        return Layout(missing="the last page of the Ogg stream is cut")
    _require_nothing(data, place)
    missing = "" if last & 4 else _UNCLOSED
    return Layout(_split(data, starts), missing)


_UNCLOSED = (
    "the last page of the Ogg stream is missing, the one that is marked as its end; if its writer only forgot the "
    "mark, `ffmpeg -i OLD -c copy NEW` sets it"
)


def _flac(data: bytes) -> Layout:
    starts = [match.start() for match in _FLAC_START.finditer(data)]
    parts = _split(data, starts)
    for part, start in zip(parts or (data,), [*starts[:1], *[0] * (len(starts) - 1)], strict=False):
        # Without its last frame a recording is short, which decoding finds.
        if (frame := last_frame(part, start)) is not None and not _is_flac_end(part, frame):
            return Layout(missing=_UNCLEAR_END)
    return Layout(parts)


_UNCLEAR_END = "its last frame is cut, or bytes behind its last frame would not be read; encode it once more"


def _is_flac_end(data: bytes, frame: int) -> bool:
    """Whether nothing but tags and padding stands behind the last frame."""
    tags = (match.start() for match in _TAG_START.finditer(data, frame))
    few = range(len(data), max(frame, len(data) - _FEW), -1)
    # Zeros do not change a checksum.
    return any(ends_at(data, frame, place) for place in (*few, *(tag for tag in tags if _only_tags(data, tag))))


def _only_tags(data: bytes, place: int) -> bool:
    while (after := end_of_tag(data, place)) is not None:
        place = after
    return not bytes(data[place:]).strip(b"\0")


def _split(data: bytes, starts: list[int]) -> tuple[bytes, ...] | None:
    """The parts that begin at these places; None for one."""
    if len(starts) < 2:
        return None
    ends = [*starts[1:], len(data)]
    return tuple(bytes(data[start:end]) for start, end in zip([0, *starts[1:]], ends, strict=True))


def _wav(data: bytes) -> Layout:
    order = ">" if data[:4] == b"RIFX" else "<"
    parts: list[bytes] = []
    start, patched = 0, False
    while start < len(data):
        end, size_at = _wav_end(data, start, order)
        part = bytes(data[start:end]) if end < len(data) or start or size_at else b""
        if size_at is not None:  # the length was never filled in
            patched = True
            place = size_at - start
            part = part[:place] + struct.pack(order + "I", end - size_at - 4) + part[place + 4 :]
        parts.append(part)
        start = end
        if start < len(data) and data[start : start + 4] not in (b"RIFF", b"RIFX"):
            _require_nothing(data, start)
            break
    return Layout(tuple(parts)) if len(parts) > 1 or patched else Layout()


def _wav_end(data: bytes, start: int, order: str) -> tuple[int, int | None]:
    """Where a WAV file that begins at `start` ends, and the place of a length of samples that is to be filled in."""
    place = start + 12
    for name, size, after in _chunks(data, place, order):
        if name in (b"RIFF", b"RIFX"):
            return place, None
        if name == b"data" and size >= STREAMED:
            return _until_next_wav(data, place), None
        if name == b"data" and size == 0 and not _chunks_reach_end(data, after, order):
            return _until_next_wav(data, place), place + 4
        place = min(after, len(data))
    return place, None


def _until_next_wav(data: bytes, place: int) -> int:
    following = _WAV_START.search(data, place)
    return following.start() if following else len(data)


def _chunks(data: bytes, place: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, length and end of each chunk; an odd one is padded, though not by every program."""
    while place + 8 <= len(data) and _CHUNK_NAME.match(data, place):
        name, size = bytes(data[place : place + 4]), struct.unpack_from(order + "I", data, place + 4)[0]
        after = place + 8 + size
        padded = size % 2 and not (data[after : after + 1] != b"\0" and _CHUNK_NAME.match(data, after))
        place = after + bool(padded)
        yield name, size, place


def _chunks_reach_end(data: bytes, place: int, order: str) -> bool:
    for _, _, after in _chunks(data, place, order):
        place = after
    return place >= len(data)


def _aiff(data: bytes) -> Layout:
    return _sized(data, b"FORM", lambda start: start + 8 + struct.unpack_from(">I", data, start + 4)[0])


def _au(data: bytes) -> Layout:
    def end(start: int) -> int:
        offset, size = struct.unpack_from(">II", data, start + 4)
        return len(data) if size == 0xFFFFFFFF else start + int(offset) + int(size)

    return _sized(data, b".snd", end) if len(data) >= 12 else Layout()


def _sized(data: bytes, magic: bytes, end_of: Callable[[int], int]) -> Layout:
    """Files whose header says where they end, one behind the other."""
    starts, place = [0], 0
    while len(data) - place >= 12 and data[place : place + 4] == magic:
        starts += [place] if place else []
        place = end_of(place)
        place += data[place : place + 1] == b"\0" and data[place + 1 : place + 5] == magic
    _require_nothing(data, place)
    return Layout(_split(data, starts))


def _mp4(data: bytes) -> Layout:
    place, films = 0, 0
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        if size == 1 and place + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, place + 8)
        films += kind == b"moov"
        place = place + size if size >= 8 else len(data)
    if films > 1:
        raise DataError(f"{films} recordings in one file, of which only the first would be read: split it")
    return Layout(missing=f"{place - len(data)} bytes are missing" if place > len(data) else "")


def _matroska(data: bytes) -> Layout:
    if _MATROSKA_START.search(data, 4):
        raise DataError("several recordings in one file, of which only the first would be read: split it")
    return Layout()


def _require_nothing(data: bytes, place: int) -> None:
    """Refuses bytes from this place on, unless they are tags or padding."""
    while (after := end_of_tag(data, place)) is not None:
        place = after
    rest = bytes(data[place:])
    if len(rest) >= _FEW and rest.strip(b"\0"):
        raise DataError(
            f"{len(rest)} bytes behind the end that its header gives would not be read: joined with another file, "
            "or its header was never completed; encode it once more"
        )


_READERS: dict[bytes, Callable[[bytes], Layout]] = {
    b"RIFF": _wav,
    b"RIFX": _wav,
    b"OggS": _ogg,
    b"fLaC": _flac,
    b"FORM": _aiff,
    b".snd": _au,
    b"\x1aE\xdf\xa3": _matroska,
}
