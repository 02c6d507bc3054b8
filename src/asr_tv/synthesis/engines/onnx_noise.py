"""Rewrites an ONNX voice so that its random noise becomes an input.

onnxruntime seeds RandomNormalLike once per session, so otherwise a clip would depend on the clips before it.
"""

from collections.abc import Iterator

from asr_tv.errors import DataError

NOISE_PREFIX = "asr_tv_noise_"
"""Followed by n: name of the float32 input [length > 0], read cyclically in place of the n-th RandomNormalLike."""

_RANDOM = ("RandomNormal", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")
# Field numbers of onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT = 1, 5, 11
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP_TYPE, _NODE_ATTRIBUTE = 1, 2, 4, 5
_FLOAT, _INT64 = 1, 7
_VARINT, _I64, _BYTES, _I32 = 0, 1, 2, 5
_ZERO, _ONE = "asr_tv_zero", "asr_tv_one"

_Field = tuple[int, memoryview, memoryview]
"""Number, content (empty unless length-delimited) and all bytes of the field in the message."""


def with_noise_inputs(model: bytes, source: str) -> bytes:
    """A serialised ModelProto of opset 11 or later, with each RandomNormalLike replaced by a read from its own input.

    Raises:
        DataError: not an ONNX model, or one that draws random numbers by another operator.
    """
    try:
        fields = list(_fields(memoryview(model)))
        if not any(number == _MODEL_GRAPH for number, _, _ in fields):
            raise IndexError("no graph")
        return b"".join(
            _delimited(_MODEL_GRAPH, _rewrite_graph(content, source)) if number == _MODEL_GRAPH else raw
            for number, content, raw in fields
        )
    except (IndexError, UnicodeDecodeError, StopIteration) as error:
        raise DataError(f"{source}: not an ONNX model") from error


def _rewrite_graph(graph: memoryview, source: str) -> bytes:
    parts: list[bytes | memoryview] = []
    inputs: list[str] = []
    for number, content, raw in _fields(graph):
        if number == _GRAPH_NODE and _is_random(content, source):
            inputs.append(f"{NOISE_PREFIX}{len(inputs)}")
            parts += [_delimited(_GRAPH_NODE, node) for node in _reading_nodes(content, inputs[-1])]
        else:
            parts.append(raw)
    if inputs:
        parts += [_delimited(_GRAPH_INPUT, _float_input(name)) for name in inputs]
        parts += [_delimited(_GRAPH_INITIALIZER, _int64(name, value)) for name, value in ((_ZERO, 0), (_ONE, 1))]
    return b"".join(parts)


def _is_random(node: memoryview, source: str) -> bool:
    fields = list(_fields(node))
    kind = "".join(str(content, "utf-8") for number, content, _ in fields if number == _NODE_OP_TYPE)
    if kind in _RANDOM:
        raise DataError(f"{source}: draws random numbers with {kind}, so its clips cannot be made reproducible")
    if kind != "RandomNormalLike":
        return False
    names = {_text(content, 1) for number, content, _ in fields if number == _NODE_ATTRIBUTE}
    if extra := sorted(names - {"dtype", "seed"}):
        raise DataError(f"{source}: RandomNormalLike with {', '.join(extra)} is not supported")
    return True


def _reading_nodes(random_node: memoryview, noise: str) -> list[bytes]:
    """noise[arange(size(x)) mod size(noise)] reshaped like x, under the name of the replaced output."""
    like, output = _text(random_node, _NODE_INPUT), _text(random_node, _NODE_OUTPUT)
    return [
        _node("Size", [like], f"{noise}/wanted"),
        _node("Range", [_ZERO, f"{noise}/wanted", _ONE], f"{noise}/count"),
        _node("Size", [noise], f"{noise}/given"),
        _node("Mod", [f"{noise}/count", f"{noise}/given"], f"{noise}/index"),
        _node("Gather", [noise, f"{noise}/index"], f"{noise}/flat"),
        _node("Shape", [like], f"{noise}/shape"),
        _node("Reshape", [f"{noise}/flat", f"{noise}/shape"], output),
    ]


def _node(kind: str, inputs: list[str], output: str) -> bytes:
    parts = [_delimited(_NODE_INPUT, name.encode()) for name in inputs]
    parts.append(_delimited(_NODE_OUTPUT, output.encode()))
    parts.append(_delimited(3, f"{output}/{kind}".encode()))
    parts.append(_delimited(_NODE_OP_TYPE, kind.encode()))
    return b"".join(parts)


def _float_input(name: str) -> bytes:
    """ValueInfoProto of a float tensor with one dimension of any length."""
    shape = _delimited(1, _delimited(2, f"{name}/length".encode()))
    tensor = _number(1, _FLOAT) + _delimited(2, shape)
    return _delimited(1, name.encode()) + _delimited(2, _delimited(1, tensor))


def _int64(name: str, value: int) -> bytes:
    """TensorProto of one scalar int64."""
    return _number(2, _INT64) + _number(7, value) + _delimited(8, name.encode())


def _text(message: memoryview, field: int) -> str:
    """The text in the first field of this number."""
    return next(str(content, "utf-8") for number, content, _ in _fields(message) if number == field)


def _fields(message: memoryview) -> Iterator[_Field]:
    """The fields of a protobuf message; raises IndexError if it is none, or ends within a field."""
    position = 0
    while position < len(message):
        start = position
        tag, position = _varint(message, position)
        kind, content = tag & 7, message[:0]
        if kind == _VARINT:
            _, position = _varint(message, position)
        elif kind == _BYTES:
            size, position = _varint(message, position)
            content = message[position : position + size]
            position += size
        elif kind in (_I64, _I32):
            position += 8 if kind == _I64 else 4
        else:
            raise IndexError(f"wire type {kind}")
        if position > len(message):
            raise IndexError("truncated")
        yield tag >> 3, content, message[start:position]


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _encode(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _encode(field << 3 | _VARINT) + _encode(value)


def _delimited(field: int, content: bytes) -> bytes:
    return _encode(field << 3 | _BYTES) + _encode(len(content)) + content
