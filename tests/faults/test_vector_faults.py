"""What `asr-tv vector` does with damaged and foreign input: one message, exit code 2, inputs intact, no half file."""

import errno
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from language_models import save_model
from safetensors.torch import load_file, save_file

from asr_tv.models import output as output_files
from asr_tv.vectors.files import create_vector

INDEX = "model.safetensors.index.json"
NORM, UP = "model.norm.weight", "model.layers.0.mlp.up_proj.weight"


@pytest.fixture
def models(tmp_path):
    """Sharded base and tuned, and their vector."""
    for seed, name in enumerate(("base", "tuned")):
        save_model(tmp_path / name, seed=seed, sharded=True)
    create_vector(tmp_path / "tuned", tmp_path / "base", tmp_path / "v.safetensors", {})
    return tmp_path


@pytest.fixture
def vector(asr_tv, models, capsys):
    """`asr-tv vector ...`; whatever it is given stays as it is, and what it refuses leaves nothing."""

    def command(*arguments):
        before = contents(models)
        capsys.readouterr()  # what transformers said when it wrote the models
        done = asr_tv("vector", *arguments)
        after = contents(models)
        assert {path: data for path, data in after.items() if path in before} == before
        if done.code:
            assert after.keys() == before.keys()
            assert not (models / "out").exists()
        return done

    return command


def contents(folder):
    """All files but the store's locks and its list of who uses what."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock" and ".runs" not in p.parts)
    return {path: path.read_bytes() for path in files}


def create(vector, **options):
    return vector("create", "base", "tuned", "--out", "new.safetensors", *options)


def apply(vector, *options):
    return vector("apply", "base", "v.safetensors", "--coef", "0.5", "--out", "out", *options)


def holder(folder, name):
    """The shard that holds a tensor."""
    return folder / json.loads((folder / INDEX).read_text())["weight_map"][name]


def changed(folder, change):
    """One shard of a model with its tensors changed, the index along with it."""
    file = holder(folder, NORM)
    state = load_file(file)
    names = set(state)
    change(state)
    save_file(state, file, metadata={"format": "pt"})
    index = json.loads((folder / INDEX).read_text())
    for gone in names - state.keys():
        del index["weight_map"][gone]
    index["weight_map"] |= dict.fromkeys(state.keys() - names, file.name)
    (folder / INDEX).write_text(json.dumps(index))


def test_all_is_well_with_what_is_whole(vector, models):
    assert create(vector).code == 0
    assert apply(vector).code == 0
    assert (models / "new.safetensors").read_bytes() == (models / "v.safetensors").read_bytes()


class TestModels:
    def test_a_missing_and_an_extra_tensor(self, vector, models):
        changed(models / "tuned", lambda state: state.update({"more": state.pop(NORM)}))
        lacks = create(vector).problems
        assert any("the base checkpoint lacks more" in p for p in lacks)
        assert any(f"the tuned checkpoint lacks {NORM}" in p for p in lacks)
        changed(models / "base", lambda state: state.pop(NORM))
        assert any(f"the checkpoint lacks {NORM}" in p for p in apply(vector).problems)

    def test_another_shape(self, vector, models):
        changed(models / "tuned", lambda state: state.update({NORM: torch.ones(17)}))
        (problem,) = create(vector).problems
        assert f"{NORM}: the tuned checkpoint has float32[17], the base checkpoint has bfloat16[16]" in problem

    def test_numbers_that_are_none(self, vector, models):
        """Integers for numbers are refused; other widths are not, since all is summed in fp32."""
        changed(models / "tuned", lambda state: state.update({NORM: torch.ones(16).double()}))
        assert create(vector).code == 0
        (models / "new.safetensors").unlink()
        changed(models / "tuned", lambda state: state.update({NORM: torch.ones(16, dtype=torch.int32)}))
        assert any(f"the tuned checkpoint lacks {NORM}" in problem for problem in create(vector).problems)
        changed(models / "tuned", lambda state: state.update({NORM: torch.ones(16, dtype=torch.complex64)}))
        assert "numbers of type C64" in create(vector).problems[0]

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
    @pytest.mark.parametrize("side", ["base", "tuned"])
    def test_not_a_number_names_tensor_and_input(self, vector, models, side, bad):
        def spoil(state):
            state[NORM][3] = bad

        changed(models / side, spoil)
        (problem,) = create(vector).problems
        assert problem.endswith(f"{NORM}: {side} holds NaN or infinity")
        if side == "base":
            assert apply(vector, "--other-base").problems[0].endswith(f"{NORM}: base holds NaN or infinity")

    def test_a_truncated_shard(self, vector, models):
        file = holder(models / "base", UP)
        file.write_bytes(file.read_bytes()[:-5])
        for problem in (create(vector).problems[0], apply(vector).problems[0]):
            assert problem.startswith(f"base/{file.name}: is not a complete safetensors file")

    def test_a_shard_that_is_missing(self, vector, models):
        file = holder(models / "tuned", UP)
        file.unlink()
        assert create(vector).problems == [f"tuned/{file.name}: no such file"]

    def test_a_tensor_that_the_index_lists_and_no_shard_holds(self, vector, models):
        index = json.loads((models / "base" / INDEX).read_text())
        index["weight_map"]["ghost"] = next(iter(index["weight_map"].values()))
        (models / "base" / INDEX).write_text(json.dumps(index))
        assert "do not hold the same tensors: ghost" in apply(vector).problems[0]

    def test_a_pickle_by_another_name(self, vector, models):
        class Trap:
            def __reduce__(self):
                return os.mkdir, (str(models / "trap"),)

        holder(models / "base", UP).write_bytes(pickle.dumps(Trap()))
        assert "is not a complete safetensors file" in create(vector).problems[0]
        torch.save({"w": torch.ones(2)}, models / "renamed.safetensors")
        assert (
            "is not a complete safetensors file"
            in vector(
                "apply", "renamed.safetensors", "v.safetensors", "--coef", 1, "--out", "out.safetensors"
            ).problems[0]
        )
        (models / "whisper.pt").write_bytes(pickle.dumps({"dims": {}, "model_state_dict": Trap()}))
        (problem,) = vector("create", "base", "whisper.pt", "--out", "new.safetensors").problems
        assert problem.startswith("whisper.pt: is not a checkpoint of plain weights")
        assert not (models / "trap").exists()

    @pytest.mark.parametrize("outside", ["../secret.safetensors", "/etc/passwd", "extra/../../secret.safetensors"])
    def test_an_index_that_points_outside(self, vector, models, outside):
        save_file({UP: torch.ones(2)}, models / "secret.safetensors")
        index = json.loads((models / "base" / INDEX).read_text())
        index["weight_map"][UP] = outside
        (models / "base" / INDEX).write_text(json.dumps(index))
        assert apply(vector).problems == [f"base/{INDEX}: {outside!r} is not a safetensors file of this directory"]

    def test_broken_ancestors(self, vector, models):
        file = min((models / "base").glob("*.safetensors"))
        save_file(load_file(file), file, metadata={"format": "pt", "ancestors": "{cut"})
        assert "its metadata are damaged: ancestors" in apply(vector).problems[0]

    def test_a_model_that_is_not_there(self, vector):
        done = vector("create", "gone.safetensors", "./nowhere", "--out", "new.safetensors")
        assert done.problems == ["./nowhere: no such file or directory"]
        done = vector("create", "base", "gone.safetensors", "--out", "new.safetensors")
        assert done.problems == ["gone.safetensors: no such file"]


class TestVectors:
    @pytest.mark.parametrize("key", ["recipe", "architecture", "bases", "base_tensors"])
    @pytest.mark.parametrize("text", ['{"cut', "[1]", "null"])
    def test_broken_metadata(self, vector, models, key, text):
        from safetensors import safe_open

        with safe_open(models / "v.safetensors", "pt") as opened:
            metadata = opened.metadata()
        save_file(load_file(models / "v.safetensors"), models / "v.safetensors", metadata=metadata | {key: text})
        assert apply(vector).problems[0].startswith("v.safetensors: its metadata are damaged")
        for command in ("info", "compare"):
            assert "its metadata are damaged" in vector(command, "v.safetensors").problems[0]

    def test_a_header_that_is_no_json(self, vector, models):
        data = bytearray((models / "v.safetensors").read_bytes())
        data[8:12] = b"{{{{"
        (models / "v.safetensors").write_bytes(data)
        assert "is not a complete safetensors file" in apply(vector).problems[0]

    def test_a_truncated_vector_and_what_is_none(self, vector, models):
        (models / "v.safetensors").write_bytes((models / "v.safetensors").read_bytes()[:-1])
        assert "is not a complete safetensors file" in apply(vector).problems[0]
        done = vector("apply", "base", holder(models / "tuned", UP), "--coef", 1, "--out", "out")
        assert "is not a task vector" in done.problems[0]

    def test_not_a_number_in_a_vector(self, vector, models):
        from safetensors import safe_open

        with safe_open(models / "v.safetensors", "pt") as opened:
            metadata = opened.metadata()
        state = load_file(models / "v.safetensors")
        state[UP][0, 0] = float("nan")
        save_file(state, models / "bad.safetensors", metadata=metadata)
        says = f"{UP}: bad.safetensors holds NaN or infinity"
        assert vector("apply", "base", "bad.safetensors", "--coef", 0, "--out", "out").problems[0].endswith(says)
        done = vector("combine", "v.safetensors", "bad.safetensors", "--method", "sum", "--out", "new.safetensors")
        assert done.problems[0].endswith(says)
        assert vector("compare", "v.safetensors", "bad.safetensors").problems[0].endswith(says)


class TestDisk:
    def test_a_disk_that_fills_up(self, vector, monkeypatch):
        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(output_files.os, "pwrite", full)
        for done in (create(vector), apply(vector)):
            (problem,) = done.problems
            assert "No space left on device; what is finished is kept" in problem

    @pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
    def test_a_small_disk(self, vector, models):
        small = models.parent / f"{models.name}-small"
        small.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", small], check=False)
        if mounted.returncode:
            pytest.skip("mounting is not allowed here")
        try:
            for arguments in (
                ("create", "base", "tuned", "--out", small / "new.safetensors"),
                ("apply", "base", "v.safetensors", "--coef", 1, "--out", small / "out"),
                ("combine", "v.safetensors", "--method", "mean", "--out", small / "new.safetensors"),
            ):
                assert "No space left on device" in vector(*arguments).problems[0]
                assert list(small.iterdir()) == []
        finally:
            subprocess.run(["umount", small], check=True)

    def test_a_place_that_is_no_folder(self, vector, models):
        (models / "file").write_text("text")
        done = vector("create", "base", "tuned", "--out", "file/new.safetensors")
        assert done.problems[0].startswith("file")

    def test_a_kill_leaves_nothing_under_the_name(self, models):
        """Killed where the headers are to be written: the pieces are there, and the file is not."""
        program = (
            "import os, signal, sys\n"
            "from asr_tv.models import output\n"
            "output.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
            "from asr_tv.cli import main\n"
            "main()"
        )

        def run(code):
            words = ["vector", "apply", "base", "v.safetensors", "--coef", "1", "--out", "o"]
            return subprocess.run([sys.executable, "-c", code, *words], cwd=models, check=False).returncode

        assert run(program) == -9
        assert not (models / "o").exists()
        # The next run takes away what the killed one left.
        assert run("from asr_tv.cli import main\nmain()") == 0
        assert [path.name for path in models.iterdir() if path.name.startswith(".")] == []
        assert Path(models / "o" / INDEX).exists()
