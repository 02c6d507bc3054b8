"""The rewritten graph computes what the original would with that noise. The models are built by hand."""

import numpy as np
import pytest

from asr_tv.errors import DataError
from asr_tv.synthesis.engines.onnx_noise import NOISE_PREFIX, with_noise_inputs

onnxruntime = pytest.importorskip("onnxruntime")


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def block(field: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def float_value(name: str, dims: tuple[str, ...]) -> bytes:
    shape = b"".join(block(1, block(2, dim)) for dim in dims)
    return block(1, name) + block(2, block(1, number(1, 1) + block(2, shape)))


def node(kind: str, inputs: list[str], output: str, attributes: bytes = b"") -> bytes:
    parts = b"".join(block(1, name) for name in inputs) + block(2, output) + block(3, output) + block(4, kind)
    return block(1, parts + attributes)


DTYPE = block(5, block(1, "dtype") + number(3, 1) + number(20, 2))
SCALE = block(5, block(1, "scale") + varint(2 << 3 | 5) + np.float32(2).tobytes() + number(20, 1))


def model(nodes: bytes) -> bytes:
    """x [rows, columns] -> y, opset 15."""
    graph = nodes + block(2, "g") + block(11, float_value("x", ("r", "c"))) + block(12, float_value("y", ("r", "c")))
    return number(1, 8) + block(7, graph) + block(8, number(2, 15))


TWO_DRAWS = model(
    node("RandomNormalLike", ["x"], "a", DTYPE)
    + node("RandomNormalLike", ["x"], "b", DTYPE)
    + node("Sub", ["a", "b"], "d")
    + node("Add", ["x", "d"], "y")
)


def run(serialised: bytes, feeds: dict[str, np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(serialised, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


def test_noise_is_read_in_order_and_in_shape():
    x = np.full((2, 3), 10, np.float32)
    first, second = np.arange(6, dtype=np.float32), np.full(6, 100, np.float32)
    y = run(with_noise_inputs(TWO_DRAWS, "m"), {"x": x, f"{NOISE_PREFIX}0": first, f"{NOISE_PREFIX}1": second})
    assert y.tolist() == [[-90, -89, -88], [-87, -86, -85]]


def test_too_much_noise_is_left_and_too_little_is_read_again():
    x = np.zeros((2, 3), np.float32)
    y = run(
        with_noise_inputs(TWO_DRAWS, "m"),
        {"x": x, f"{NOISE_PREFIX}0": np.float32([1, 2, 3, 4]), f"{NOISE_PREFIX}1": np.zeros(99, np.float32)},
    )
    assert y.tolist() == [[1, 2, 3], [4, 1, 2]]


def test_a_model_without_noise_is_unchanged():
    plain = model(node("Add", ["x", "x"], "y"))
    assert with_noise_inputs(plain, "m") == plain


@pytest.mark.parametrize("kind", ["RandomUniformLike", "Bernoulli", "Multinomial"])
def test_other_random_draws_are_refused(kind: str):
    with pytest.raises(DataError, match=f"voice.onnx: draws random numbers with {kind}"):
        with_noise_inputs(model(node(kind, ["x"], "y")), "voice.onnx")


def test_a_scaled_draw_is_refused():
    with pytest.raises(DataError, match=r"voice.onnx: RandomNormalLike with scale"):
        with_noise_inputs(model(node("RandomNormalLike", ["x"], "y", DTYPE + SCALE)), "voice.onnx")


@pytest.mark.parametrize("content", [b"", b"not a model", TWO_DRAWS[:40], b"\xff" * 20, bytes(30)])
def test_what_is_no_model_is_refused(content: bytes):
    with pytest.raises(DataError, match=r"voice.onnx: not an ONNX model"):
        with_noise_inputs(content, "voice.onnx")
