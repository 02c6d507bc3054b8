import struct

import numpy as np
import pytest
import torch

from asr_tv.errors import DataError
from asr_tv.models.ctranslate2 import read_variables, to_transformers

TYPES = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}


def text(value):
    raw = value.encode() + b"\0"
    return struct.pack("<H", len(raw)) + raw


def variable(name, array, *, shape=None, type_=None, size=None):
    shape = array.shape if shape is None else shape
    head = text(name) + struct.pack("<B", len(shape)) + struct.pack(f"<{len(shape)}I", *shape)
    head += struct.pack("<B", TYPES[array.dtype.name] if type_ is None else type_)
    return head + struct.pack("<I", array.nbytes if size is None else size) + array.tobytes()


def binary(variables, *, version=6, spec="WhisperSpec", count=None, aliases=()):
    chunks = [variable(name, array) for name, array in variables.items()]
    head = struct.pack("<I", version) + text(spec) + struct.pack("<II", 3, len(chunks) if count is None else count)
    tail = struct.pack("<I", len(aliases)) + b"".join(text(a) + text(b) for a, b in aliases)
    return head + b"".join(chunks) + tail


PLAIN = {
    "decoder/embeddings/weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "encoder/conv1/bias": np.array([0.5, -1.5], dtype=np.float16),
    "encoder/num_heads": np.array(8, dtype=np.int16),
}
ALIASES = [("decoder/projection/weight", "decoder/embeddings/weight")]


def test_round_trip_of_a_hand_written_file(tmp_path):
    (tmp_path / "model.bin").write_bytes(binary(PLAIN, aliases=ALIASES))
    read = read_variables(tmp_path / "model.bin")
    assert set(read) == {*PLAIN, "decoder/projection/weight"}
    for name, array in (PLAIN | {"decoder/projection/weight": PLAIN["decoder/embeddings/weight"]}).items():
        assert read[name].dtype == array.dtype
        assert np.array_equal(read[name], array)


def test_a_file_in_parts_reads_as_one(tmp_path):
    whole = binary(PLAIN, aliases=ALIASES)
    (tmp_path / "a").write_bytes(whole[:50])
    (tmp_path / "b").write_bytes(whole[50:])
    assert set(read_variables(tmp_path / "a", tmp_path / "b")) == {*PLAIN, "decoder/projection/weight"}
    with pytest.raises(DataError):
        read_variables(tmp_path / "b", tmp_path / "a")


def test_an_alias_of_nothing_is_told(tmp_path):
    (tmp_path / "model.bin").write_bytes(binary(PLAIN, aliases=[("decoder/projection/weight", "decoder/gone")]))
    with pytest.raises(DataError, match="aliases of decoder/gone, which it does not contain"):
        read_variables(tmp_path / "model.bin")


@pytest.mark.parametrize("length", range(0, len(binary(PLAIN, aliases=ALIASES)), 7))
def test_every_truncation_is_told(tmp_path, length):
    (tmp_path / "model.bin").write_bytes(binary(PLAIN, aliases=ALIASES)[:length])
    with pytest.raises(DataError, match=r"model\.bin: "):
        read_variables(tmp_path / "model.bin")


def test_int8_rows_are_scaled_back(tmp_path):
    weight = np.array([[127, -64, 0], [127, 1, -127]], dtype=np.int8)
    variables = {
        "decoder/embeddings/weight": weight,
        "decoder/embeddings/weight_scale": np.array([127.0, 254.0], dtype=np.float32),
        "encoder/conv1/weight": np.array([[1000, -500]], dtype=np.int16),
        "encoder/conv1/weight_scale": np.array(100.0, dtype=np.float32),
    }
    (tmp_path / "model.bin").write_bytes(binary(variables))
    read = read_variables(tmp_path / "model.bin")
    assert set(read) == {"decoder/embeddings/weight", "encoder/conv1/weight"}
    np.testing.assert_allclose(read["decoder/embeddings/weight"], [[1, -64 / 127, 0], [0.5, 1 / 254, -0.5]], rtol=1e-6)
    assert read["encoder/conv1/weight"].tolist() == [[10, -5]]


@pytest.mark.parametrize("scale", [[1.0], [1.0, 2.0, 3.0], [1.0, 0.0], [1.0, float("nan")], [[1.0, 1.0]]])
def test_scales_that_fit_no_rows(tmp_path, scale):
    variables = {"w/weight": np.ones((2, 3), dtype=np.int8), "w/weight_scale": np.array(scale, dtype=np.float32)}
    (tmp_path / "model.bin").write_bytes(binary(variables))
    with pytest.raises(DataError, match="one positive number for each of its rows"):
        read_variables(tmp_path / "model.bin")


def hostile(**claims):
    head = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, 1)
    return head + variable("w", np.zeros(2, dtype=np.float32), **claims) + struct.pack("<I", 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (hostile(shape=(2**31, 2**31, 2**31)), "its shape .* needs 3961"),
        (hostile(shape=(2**30,), size=2**32 - 1), "its shape"),
        (hostile(shape=(2**29,), size=2**31), "truncated"),
        (hostile(shape=(1,) * 200), "claims 200 dimensions"),
        (hostile(type_=77), "has type 77; known types"),
        (binary(PLAIN, count=2**32 - 1), "truncated"),
        (binary(PLAIN, version=3), "binary version 3 is not one of"),
        (binary(PLAIN, spec="TransformerSpec"), "holds a 'TransformerSpec' model, not a Whisper"),
        (b"PK\x03\x04" * 50, "binary version"),
        (struct.pack("<I", 6) + struct.pack("<H", 2) + b"\xff\xfe", "a name is not text"),
    ],
)
def test_hostile_and_foreign_files(tmp_path, content, message):
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_variables(tmp_path / "model.bin")


def test_fused_projections_are_split_and_the_key_bias_dropped():
    fused = np.arange(12, dtype=np.float16).reshape(6, 2)
    state = to_transformers(
        {
            "encoder/layer_3/self_attention/linear_0/weight": fused,
            "encoder/layer_3/self_attention/linear_0/bias": np.arange(6, dtype=np.float16),
            "decoder/layer_0/attention/linear_1/weight": fused,
            "decoder/layer_0/ffn/layer_norm/gamma": np.ones(2, dtype=np.float16),
            "decoder/position_encodings/encodings": np.ones((4, 2), dtype=np.float16),
            "decoder/scale_embeddings": np.array(0, dtype=np.int8),
        }
    )
    encoder, decoder = "model.encoder.layers.3.self_attn", "model.decoder.layers.0"
    assert {name: tensor.tolist() for name, tensor in state.items()} == {
        f"{encoder}.q_proj.weight": [[0, 1], [2, 3]],
        f"{encoder}.k_proj.weight": [[4, 5], [6, 7]],
        f"{encoder}.v_proj.weight": [[8, 9], [10, 11]],
        f"{encoder}.q_proj.bias": [0, 1],
        f"{encoder}.v_proj.bias": [4, 5],
        f"{decoder}.encoder_attn.k_proj.weight": [[0, 1], [2, 3], [4, 5]],
        f"{decoder}.encoder_attn.v_proj.weight": [[6, 7], [8, 9], [10, 11]],
        f"{decoder}.final_layer_norm.weight": [1, 1],
        "model.decoder.embed_positions.weight": [[1, 1]] * 4,
    }
    assert all(tensor.dtype == torch.float32 for tensor in state.values())


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("encoder/layer_0/self_attention/linear_0/weight", (7, 2)),
        ("encoder/layer_0/self_attention/linear_2/weight", (6, 2)),
        ("decoder/layer_0/ffn/linear_5/weight", (6, 2)),
        ("decoder/layer_0/ffn/linear_0/colour", (6, 2)),
    ],
)
def test_layers_that_no_whisper_has(name, shape):
    with pytest.raises(DataError, match=name):
        to_transformers({name: np.zeros(shape, dtype=np.float16)})
