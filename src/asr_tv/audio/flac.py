"""The last frame of a FLAC file (RFC 9639): its header says how many samples there are, not where their bytes end."""

import struct
from functools import cache

import numpy as np
from numpy.typing import NDArray

_INFO = 8
"""Where the block of stream information begins, behind `fLaC` and the head of the block."""
_SYNC = (b"\xff\xf8", b"\xff\xf9")
_HEADER_CRC, _FRAME_CRC = 0x107, 0x18005
_PERIOD = 32_767
"""Of the powers of x modulo the polynomial of the frame's checksum."""


def last_frame(data: bytes, start: int) -> int | None:
    """Where the frame of the last samples begins, of the recording that begins at `start`; None if it is not there."""
    block_size = struct.unpack_from(">H", data, start + _INFO)[0]
    samples = int.from_bytes(data[start + _INFO + 13 : start + _INFO + 18], "big") & (1 << 36) - 1
    place = len(data)
    while samples and (place := max(data.rfind(sync, start, place) for sync in _SYNC)) > 0:
        if _end_sample(data, place, block_size) == samples:
            return place
    return None


def ends_at(data: bytes, frame: int, end: int) -> bool:
    """Whether the frame's checksum, its last two bytes, stands before this place."""
    bits = np.unpackbits(np.frombuffer(data[frame:end], np.uint8))[::-1]
    return not np.bitwise_xor.reduce(_powers()[np.flatnonzero(bits) % _PERIOD], initial=0)


def _end_sample(data: bytes, place: int, fixed_size: int) -> int | None:
    """The count of samples up to the end of the frame whose header is at this place; None for no header."""
    head = data[place : place + 16]
    length = next((n for n in range(8) if not head[4:5] or not head[4] << n & 0x80), 8) or 1
    sizes = {6: 1, 7: 2}.get(head[2] >> 4 if len(head) > 2 else 0, 0)
    rates = {12: 1, 13: 2, 14: 2}.get(head[2] & 15 if len(head) > 2 else 0, 0)
    end = 4 + length + sizes + rates + 1
    if len(head) < end or length == 8 or _remainder(head[:end], _HEADER_CRC):
        return None
    number = head[4] & (0x7F if length == 1 else 0x7F >> length)
    for byte in head[5 : 4 + length]:
        number = number << 6 | byte & 0x3F
    code = head[2] >> 4
    if sizes:
        size = int.from_bytes(head[4 + length : 4 + length + sizes], "big") + 1
    else:
        size = 192 if code == 1 else 576 << code - 2 if code < 6 else 256 << code - 8
    return (number if head[1] & 1 else number * fixed_size) + size


def _remainder(message: bytes, polynomial: int) -> int:
    """Of the message as a polynomial over bits, by another one."""
    rest = int.from_bytes(message, "big")
    while (excess := rest.bit_length() - polynomial.bit_length()) >= 0:
        rest ^= polynomial << excess
    return rest


@cache
def _powers() -> NDArray[np.uint16]:
    """The powers of x modulo the polynomial of the frame's checksum, x^16 + x^15 + x^2 + 1."""
    powers = [1]
    while len(powers) < _PERIOD:
        following = powers[-1] << 1
        powers.append(following ^ _FRAME_CRC if following >> 16 else following)
    return np.array(powers, np.uint16)
