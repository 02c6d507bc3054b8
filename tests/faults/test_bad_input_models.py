"""Checkpoints, vectors and stored arrays that are damaged, foreign or hostile: refused by name, nothing executed."""

import io
import json
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damaged_files import MARKER, Payload, binary, safetensors, saved, text, variable
from refusals import refused

from asr_tv.models.ctranslate2 import read_variables
from asr_tv.models.directory import normalise_directory
from asr_tv.models.openai import read_openai
from asr_tv.models.tensors import open_tensors
from asr_tv.synthesis.engines.bark import _read_arrays
from asr_tv.synthesis.engines.speecht5 import read_vectors
from asr_tv.testing.whisper import tiny_whisper
from asr_tv.vectors.files import open_vector

ONE = variable("a", (2,), b"\0" * 8)
CTRANSLATE2: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "truncated"),
    "a byte": (b"\6", "truncated"),
    "text": (b"hello there, this is no model", "binary version"),
    "version 0": (struct.pack("<I", 0) + binary()[4:], "version 0"),
    "version 4 billion": (b"\xff" * 64, "version 4294967295"),
    "another model": (binary(ONE, spec="TransformerSpec"), "holds a 'TransformerSpec' model"),
    "a name that is no text": (binary()[:4] + b"\2\0\xff\xfe" + b"\0" * 20, "a name is not text"),
    "4 billion variables": (binary(ONE, count=2**32 - 1), "truncated"),
    "terabytes by shape": (binary(variable("a", (2**31, 2**10), b"", size=0)), "its shape (2147483648, 1024) needs"),
    "4 gigabytes by size": (binary(variable("a", (2**30 - 1,), b"", size=2**32 - 4)), "4294967292 bytes expected"),
    "an overflow of 64 bits": (binary(variable("a", (2**32 - 1,) * 3, b"", size=4)), "its shape"),
    "9 dimensions": (binary(variable("a", (1,) * 9, b"\0" * 4)), "claims 9 dimensions"),
    "255 dimensions": (binary(variable("a", (1,) * 255, b"\0" * 4)), "claims 255 dimensions"),
    "type 5": (binary(variable("a", (2,), b"\0" * 8, code=5)), "has type 5"),
    "size and shape that differ": (binary(variable("a", (3,), b"\0" * 8)), "8 bytes, its shape (3,) needs 12"),
    "a variable twice": (binary(ONE, ONE), "variable 'a' occurs twice"),
    "an alias of nothing": (binary(ONE, aliases=struct.pack("<I", 1) + text("b") + text("c")), "aliases of c"),
    "4 billion aliases": (binary(ONE, aliases=b"\xff" * 4), "truncated"),
    "a thousand aliases of all": (
        binary(variable("a", (9000,), b"\0" * 36_000), aliases=struct.pack("<I", 999) + (text("b") + text("a")) * 999),
        "its 999 aliases stand for more than the file holds",
    ),
    "scales of nothing": (binary(variable("a", (), b"\0", 1), variable("a_scale", (0,), b"")), "the scales of 'a'"),
}


@pytest.mark.parametrize("name", CTRANSLATE2)
def test_ctranslate2(name: str, tmp_path: Path) -> None:
    content, word = CTRANSLATE2[name]
    (tmp_path / "model.bin").write_bytes(content)
    refused(lambda: read_variables(tmp_path / "model.bin"), "model.bin", word)


def test_a_hole_of_a_terabyte_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(binary(ONE))
    with (tmp_path / "model.bin").open("r+b") as file:
        file.truncate(1 << 40)
    assert list(read_variables(tmp_path / "model.bin")) == ["a"]


def archive(entries: dict[str, bytes], packed: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return out.getvalue()


def state(**tensors: Any) -> dict[str, Any]:
    return {"dims": {}, "model_state_dict": tensors}


PARTS = {"x/data.pkl": b"garbage", "x/version": b"3\n", "x/byteorder": b"little"}
OPENAI: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "is not a checkpoint of plain weights"),
    "text": (lambda: b"hello", "is not a checkpoint of plain weights"),
    "a pickle": (lambda: pickle.dumps(Payload()), "is not a checkpoint of plain weights"),
    "a pickle of protocol 0": (lambda: pickle.dumps(Payload(), 0), "is not a checkpoint of plain weights"),
    "torch's old form": (lambda: saved(state(), _use_new_zipfile_serialization=False), "is not a checkpoint"),
    "torch's form around code": (lambda: saved(state(x=Payload())), "is not a checkpoint of plain weights"),
    "joblib's form": (lambda: b"\x80\x04\x95" + pickle.dumps(Payload(), 4), "is not a checkpoint of plain weights"),
    "a zip of other things": (lambda: archive({"a.txt": b"x"}), "is not a checkpoint of plain weights"),
    "a zip of a pickle that is none": (lambda: archive(PARTS), "is not a checkpoint of plain weights"),
    "a zip of an empty pickle": (lambda: archive(PARTS | {"x/data.pkl": b""}), "is not a checkpoint"),
    "a stack that runs out": (lambda: archive(PARTS | {"x/data.pkl": b"\x80\x02a."}), "is not a checkpoint"),
    "a memo that is not there": (lambda: archive(PARTS | {"x/data.pkl": b"\x80\x02h\x63."}), "is not a checkpoint"),
    "a packed zip": (lambda: archive({"x/data.pkl": b"\0" * 9_000_000}, packed=True), "is compressed, which torch"),
    "members that climb": (lambda: archive({"../../x": b"x", "x/data.pkl": b"."}), "is not a checkpoint"),
    "a list": (lambda: saved([1]), "has no dims and model_state_dict"),
    "a state of a list": (lambda: saved({"dims": {}, "model_state_dict": [1]}), "has no dims and model_state_dict"),
    "a state of numbers": (lambda: saved(state(x=1.0)), "x is not a tensor"),
    "names that are numbers": (lambda: saved({"dims": {}, "model_state_dict": {3: torch.ones(1)}}), "3 is not a tens"),
    "a number repeated": (lambda: saved(state(x=torch.ones(1).expand(10**12))), "x is not a tensor of numbers that"),
    "a sparse tensor": (
        lambda: saved(state(x=torch.sparse_coo_tensor([[0]], [1.0], (10**12,)))),
        "x is not a tensor of numbers that the file holds",
    ),
    "a tensor without numbers": (lambda: saved(state(x=torch.empty(10**12, device="meta"))), "x is not a tensor"),
    "tensors of another model": (lambda: saved(state(head=torch.ones(1))), "head is not a tensor of openai-whisper"),
}


@pytest.mark.parametrize("name", OPENAI)
def test_openai(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, word = OPENAI[name]
    (tmp_path / "m.pt").write_bytes(make())
    refused(lambda: read_openai(tmp_path / "m.pt"), "m.pt: ", word, unchanged=tmp_path)
    assert not Path(MARKER).exists()


def entry(start: int, end: int, shape: Any = (1,), dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


SAFETENSORS: dict[str, bytes] = {
    "nothing": b"",
    "7 bytes": b"\0" * 7,
    "a header of 0 bytes": safetensors(b""),
    "a header of exabytes": safetensors(b"{}", length=2**63),
    "a header of a gigabyte": safetensors(b"{}", length=2**30),
    "a header that is no JSON": safetensors(b"[[[["),
    "a header of a list": safetensors([1]),
    "a header 5000 deep": safetensors(b'{"a":' * 5000),
    "a header of latin-1": safetensors(b'{"\xe9":1}'),
    "offsets beyond the end": safetensors({"a": entry(0, 4)}),
    "offsets of terabytes": safetensors({"a": entry(0, 2**40, (2**38,))}, b"\0" * 4),
    "offsets the wrong way": safetensors({"a": entry(4, 0)}, b"\0" * 4),
    "offsets below zero": safetensors({"a": entry(-4, 0)}, b"\0" * 4),
    "a hole between tensors": safetensors({"a": entry(0, 4), "b": entry(8, 12)}, b"\0" * 12),
    "tensors that overlap": safetensors({"a": entry(0, 4), "b": entry(0, 4)}, b"\0" * 4),
    "a shape that overflows": safetensors({"a": entry(0, 4, (2**63, 2**63))}, b"\0" * 4),
    "a shape below zero": safetensors({"a": entry(0, 4, (-1,))}, b"\0" * 4),
    "a shape of words": safetensors({"a": entry(0, 4, "x")}, b"\0" * 4),
    "another size": safetensors({"a": entry(0, 4, (2,))}, b"\0" * 4),
    "an unknown type": safetensors({"a": entry(0, 4, dtype="F33")}, b"\0" * 4),
    "a type that is not ours": safetensors({"a": entry(0, 8, dtype="C64")}, b"\0" * 8),
    "more behind it": safetensors({"a": entry(0, 4)}, b"\0" * 9),
    "metadata of numbers": safetensors({"__metadata__": {"a": 1}, "a": entry(0, 4)}, b"\0" * 4),
    "a pickle": pickle.dumps(Payload()),
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.safetensors").write_bytes(SAFETENSORS[name])
    refused(lambda: open_tensors(tmp_path / "m.safetensors"), "m.safetensors: ", unchanged=tmp_path)
    refused(lambda: open_vector(tmp_path / "m.safetensors"), "m.safetensors: ")


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whisper") / "model"
    tiny_whisper(folder)
    return folder


CONFIGS: list[tuple[str, Any, str]] = [
    ("encoder_layers", 10**9, "1000000000 encoder layers, and the weights have 2"),
    ("decoder_layers", 10**9, "1000000000 decoder layers, and the weights have 2"),
    ("encoder_layers", -1, "-1 encoder layers"),
    ("d_model", 10**9, "a width of 1000000000"),
    ("decoder_attention_heads", 10**9, "1000000000 heads do not divide a width of 64"),
    ("decoder_attention_heads", 0, "0 heads do not divide"),
    ("encoder_attention_heads", 7, "7 heads do not divide"),
    ("vocab_size", 10**12, "config.json asks for"),
    ("encoder_ffn_dim", 10**18, "config.json"),
    ("vocab_size", "51864", "vocab_size should be a whole number"),
    ("num_mel_bins", None, "num_mel_bins should be a whole number"),
    ("model_type", "llama", "describes a 'llama' model, not a whisper"),
    ("max_source_positions", "many", "does not describe a Whisper"),
    ("activation_function", "os.system", "does not describe a Whisper"),
]


@pytest.mark.parametrize(("key", "value", "word"), CONFIGS, ids=[f"{key}={value!r}" for key, value, _ in CONFIGS])
def test_a_config_that_asks_for_what_the_weights_have_not(
    key: str, value: Any, word: str, whisper: Path, tmp_path: Path
) -> None:
    shutil.copytree(whisper, tmp_path / "m")
    row = json.loads((whisper / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps(row | {key: value}))
    refused(lambda: normalise_directory(tmp_path / "m", tmp_path / "out"), word)
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"7", b"\xff", b"[" * 100_000, b'{"a": 1'])
def test_a_config_that_is_none(content: bytes, whisper: Path, tmp_path: Path) -> None:
    shutil.copytree(whisper, tmp_path / "m")
    (tmp_path / "m" / "config.json").write_bytes(content)
    refused(lambda: normalise_directory(tmp_path / "m", tmp_path / "out"), "config.json: ")


def npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


ARRAYS: dict[str, bytes] = {
    "objects": npz(a=np.array([Payload()], dtype=object)),
    "a pickle": pickle.dumps(Payload()),
    "text": b"hello",
    "nothing": b"",
    "a zip of text": archive({"a.npy": b"hello"}),
    "a header of terabytes": archive(
        {"a.npy": b"\x93NUMPY\1\0\x46\0{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }    \n"}
    ),
    "a bomb": archive({"a.npy": b"\x93NUMPY\1\0" + b"\0" * 80_000_000}, packed=True),
    "lengths that differ": npz(a=np.ones(3), b=np.ones(4)),
    "not numbers": npz(a=np.array([np.nan, 1.0])),
    "none": npz(),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.npz").write_bytes(ARRAYS[name])
    refused(lambda: read_vectors(str(tmp_path / "x.npz")), "x.npz", unchanged=tmp_path)
    if name not in ("lengths that differ", "not numbers"):
        refused(lambda: _read_arrays([tmp_path / "x.npz"], "synthesis.voices: v"), "x.npz", unchanged=tmp_path)
