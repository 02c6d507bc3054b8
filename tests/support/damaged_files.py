"""Files of weights written byte by byte, for tests that damage them."""

import io
import json
import struct
from typing import Any

import torch

MARKER = "executed"


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, (f"open({MARKER!r}, 'w')",))


def text(value: str) -> bytes:
    data = value.encode() + b"\0"
    return struct.pack("<H", len(data)) + data


def variable(name: str, shape: tuple[int, ...], data: bytes, code: int = 0, size: int | None = None) -> bytes:
    form = struct.pack("<B", len(shape)) + b"".join(struct.pack("<I", n) for n in shape) + struct.pack("<B", code)
    return text(name) + form + struct.pack("<I", len(data) if size is None else size) + data


def binary(
    *variables: bytes, count: int | None = None, aliases: bytes = b"\0\0\0\0", spec: str = "WhisperSpec"
) -> bytes:
    head = struct.pack("<I", 6) + text(spec) + struct.pack("<II", 3, len(variables) if count is None else count)
    return head + b"".join(variables) + aliases


def saved(value: Any, **how: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, **how)
    return out.getvalue()


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data
