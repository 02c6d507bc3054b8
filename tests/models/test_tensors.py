import json
import pickle
import re
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from asr_tv.errors import DataError
from asr_tv.models.tensors import layout_of, open_tensors, write_tensors

STATE = {
    "model.decoder.embed_tokens.weight": torch.arange(12.0).reshape(4, 3),
    "b.half": torch.tensor([1.5, -2.0, 0.0], dtype=torch.float16),
    "a.brain": torch.tensor([[1.0]], dtype=torch.bfloat16),
    "bytes": torch.tensor([1, 2, 3], dtype=torch.uint8),
    "count": torch.tensor(7),
    "empty": torch.zeros(0, 5),
}


def write(path, state=STATE, metadata=None, order=None):
    write_tensors(path, layout_of(state), ((name, state[name]) for name in order or state), metadata or {})
    return path


def same(a, b):
    assert set(a) == set(b)
    for name in b:
        assert a[name].dtype == b[name].dtype
        assert torch.equal(a[name], b[name])


def shard(folder: Path, weight_map):
    folder.mkdir(exist_ok=True)
    for number, names in enumerate((["bytes", "count"], ["a.brain"]), start=1):
        save_file({name: STATE[name] for name in names}, folder / f"model-{number}.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


SHARDS = {"bytes": "model-1.safetensors", "count": "model-1.safetensors", "a.brain": "model-2.safetensors"}


def test_what_is_written_safetensors_reads(tmp_path):
    path = write(tmp_path / "x.safetensors", metadata={"kind": "test", "é": "ü"})
    same(load_file(path), STATE)
    opened = open_tensors(path)
    same(opened, STATE)
    assert opened.metadata == {"kind": "test", "é": "ü"}
    assert list(opened) == sorted(STATE)
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_what_safetensors_writes_is_read(tmp_path):
    save_file(STATE, tmp_path / "x.safetensors")
    same(open_tensors(tmp_path / "x.safetensors"), STATE)


def test_bytes_depend_on_the_content_only(tmp_path):
    a = write(tmp_path / "a", metadata={"x": "1", "y": "2"})
    b = write(tmp_path / "b", metadata={"y": "2", "x": "1"}, order=list(reversed(STATE)))
    assert a.read_bytes() == b.read_bytes()


def test_a_transposed_tensor_is_written_as_it_reads(tmp_path):
    tensor = torch.arange(6.0).reshape(2, 3).T
    same(open_tensors(write(tmp_path / "x", {"t": tensor})), {"t": tensor})


@pytest.mark.parametrize("order", [["bytes"], ["bytes", "bytes", "count"], ["bytes", "other"]])
def test_other_tensors_than_promised_leave_no_file(tmp_path, order):
    given = STATE | {"other": torch.zeros(1)}
    layout = layout_of({name: STATE[name] for name in ("bytes", "count")})
    with pytest.raises(ValueError, match=r"layout|no tensor"):
        write_tensors(tmp_path / "x", layout, ((name, given[name]) for name in order), {})
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = write(tmp_path / "x", {"t": torch.ones(2)})

    def interrupted():
        yield "t", torch.zeros(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tensors(path, layout_of({"t": torch.ones(2)}), interrupted(), {})
    same(open_tensors(path), {"t": torch.ones(2)})
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_killed_process_left_is_no_part_of_the_result(tmp_path):
    (tmp_path / ".x.tmp").write_bytes(b"half a tensor, and longer than all that is written after it" * 99)
    path = write(tmp_path / "x", {"t": torch.ones(2)})
    same(open_tensors(path), {"t": torch.ones(2)})
    assert len(list(tmp_path.iterdir())) == 1


def test_a_sharded_directory_reads_as_one(tmp_path):
    same(open_tensors(shard(tmp_path / "m", SHARDS)), {name: STATE[name] for name in SHARDS})


def test_shards_must_hold_what_the_index_says(tmp_path):
    with pytest.raises(DataError, match=r"do not hold the same tensors: bytes"):
        open_tensors(shard(tmp_path / "m", {name: file for name, file in SHARDS.items() if name != "bytes"}))
    with pytest.raises(DataError, match=r"do not hold the same tensors: z"):
        open_tensors(shard(tmp_path / "m", SHARDS | {"z": "model-1.safetensors"}))
    with pytest.raises(DataError, match=r"model-3\.safetensors: no such file"):
        open_tensors(shard(tmp_path / "m", SHARDS | {"z": "model-3.safetensors"}))


@pytest.mark.parametrize("name", ["../out.safetensors", "/etc/x.safetensors", "sub/x.safetensors", "pytorch_model.bin"])
def test_shards_stay_inside_the_directory(tmp_path, name):
    save_file({"z": torch.zeros(1)}, tmp_path / "out.safetensors")
    with pytest.raises(DataError, match=f"{re.escape(repr(name))} is not a safetensors file of this directory"):
        open_tensors(shard(tmp_path / "m", SHARDS | {"z": name}))


@pytest.mark.parametrize("index", ["{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', "[]", "{"])
def test_a_broken_index(tmp_path, index):
    shard(tmp_path / "m", SHARDS)
    (tmp_path / "m" / "model.safetensors.index.json").write_text(index)
    with pytest.raises(DataError, match=r"index\.json"):
        open_tensors(tmp_path / "m")


def test_files_that_are_not_safetensors(tmp_path):
    whole = write(tmp_path / "whole").read_bytes()
    contents = {
        "pickle": pickle.dumps({"w": [1.0]}),
        "truncated": whole[:-3],
        "header only": whole[:40],
        "empty": b"",
        "huge header": struct.pack("<Q", 1 << 60) + whole[8:],
        "longer": whole + b"more",
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"{name}.safetensors: is not a complete safetensors file"):
            open_tensors(path)
    torch.save({"w": torch.ones(3)}, tmp_path / "torch.safetensors")
    with pytest.raises(DataError, match="not a complete safetensors file"):
        open_tensors(tmp_path / "torch.safetensors")
    with pytest.raises(DataError, match="no such file"):
        open_tensors(tmp_path / "missing.safetensors")
    (tmp_path / "dir").mkdir()
    with pytest.raises(DataError, match="holds neither"):
        open_tensors(tmp_path / "dir")


def test_the_tied_copy_is_left_out(tmp_path):
    embedding = STATE["model.decoder.embed_tokens.weight"]
    state = {"model.decoder.embed_tokens.weight": embedding, "proj_out.weight": embedding.clone()}
    path = write(tmp_path / "model.safetensors", state)
    assert "proj_out.weight" in open_tensors(path)
    assert list(open_tensors(tmp_path)) == ["model.decoder.embed_tokens.weight"]
    (tmp_path / "config.json").write_text('{"tie_word_embeddings": false}')
    assert len(open_tensors(tmp_path)) == 2
    (tmp_path / "config.json").write_text('{"tie_word_embeddings": true}')
    assert len(open_tensors(tmp_path)) == 1
    write(path, state | {"proj_out.weight": embedding + 1})
    with pytest.raises(DataError, match=r"proj_out\.weight differs from model\.decoder\.embed_tokens\.weight"):
        open_tensors(tmp_path)
