import errno
import json
import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from asr_tv.models import output as output_files
from asr_tv.models.output import Output, new_file, new_folder
from asr_tv.models.tensors import INDEX, layout_of, open_tensors
from asr_tv.vectors import streaming as stream
from asr_tv.vectors.apply import Addend, apply_vectors
from asr_tv.vectors.files import create_vector
from asr_tv.vectors.streaming import Reader, cuts, exhaust, on_all_cores, weights_digest
from asr_tv.vectors.task_vector import applied, subtract

STATE = {
    "long": torch.arange(100_000, dtype=torch.float16),
    "brain": torch.ones(3, 5, dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "empty": torch.zeros(0, 2),
}


def write(path, state=STATE, metadata=None):
    with new_file(path) as file, Output({file: layout_of(state)}, lambda: metadata or {}) as output:
        on_all_cores(lambda name: output.write(name, torch.split(state[name].reshape(-1), 999)), state)
    return path


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 200_000), st.lists(st.integers(0, 200_000), max_size=3))
def test_cuts_cover_all_once_and_end_at_every_break(length, breaks):
    found = cuts(length, *breaks)
    assert [start for start, _ in found] == [0, *(stop for _, stop in found)][: len(found)]
    assert sum(stop - start for start, stop in found) == length
    assert all(0 < stop - start <= stream.PIECE for start, stop in found)
    assert {at for at in breaks if 0 < at < length} <= {stop for _, stop in found}


def test_pieces_from_several_threads_make_the_file(tmp_path):
    path = write(tmp_path / "x.safetensors", metadata={"k": "v"})
    loaded = load_file(path)
    assert loaded.keys() == STATE.keys()
    assert all(torch.equal(loaded[name], STATE[name]) for name in STATE)
    assert open_tensors(path).metadata == {"k": "v"}
    assert path.read_bytes() == write(tmp_path / "y", metadata={"k": "v"}).read_bytes()


def test_the_reader_gives_the_tensors_and_their_digest(tmp_path):
    tensors = open_tensors(write(tmp_path / "x"))
    reader = Reader(tensors)
    with pytest.raises(ValueError, match="not read: brain"):
        _ = reader.digest
    for name in STATE:
        pieces = [piece.clone() for piece in reader.pieces(name)]
        assert torch.equal(torch.cat(pieces) if pieces else torch.zeros(0), STATE[name].reshape(-1))
        assert torch.equal(tensors[name], STATE[name])  # given back, and there again
    assert reader.digest == weights_digest(tensors)
    save_file(STATE, tmp_path / "theirs.safetensors")
    assert weights_digest(open_tensors(tmp_path / "theirs.safetensors")) == reader.digest
    for changed in (
        STATE | {"count": torch.tensor(8)},
        STATE | {"brain": torch.ones(5, 3, dtype=torch.bfloat16)},
        {("long2" if name == "long" else name): tensor for name, tensor in STATE.items()},
    ):
        assert weights_digest(open_tensors(write(tmp_path / "z", changed))) != reader.digest


@pytest.mark.parametrize(
    ("name", "pieces", "says"),
    [("count", [torch.ones(1)], "is not the layout's"), ("brain", [torch.ones(3).bfloat16()], "6 bytes do not fill")],
)
def test_what_is_not_in_the_layout_is_refused(tmp_path, name, pieces, says):
    with (
        pytest.raises(ValueError, match=says),
        new_file(tmp_path / "x") as file,
        Output({file: layout_of(STATE)}, dict) as output,
    ):
        output.write(name, pieces)
    assert not list(tmp_path.iterdir())


def test_a_file_that_lacks_a_tensor_never_appears(tmp_path):
    with (
        pytest.raises(ValueError, match="no tensor came for brain, count"),
        new_file(tmp_path / "x") as file,
        Output({file: layout_of(STATE)}, dict),
    ):
        pass
    metadata = {}
    with (
        pytest.raises(ValueError, match="longer than the space reserved"),
        new_file(tmp_path / "x") as file,
        Output({file: {}}, lambda: metadata),
    ):
        metadata["k"] = "v" * 99
    assert not list(tmp_path.iterdir())


def test_the_first_error_ends_the_others_work():
    done = []

    def work(name):
        done.append(name)
        time.sleep(0.002)
        if name == "0":
            raise KeyError(name)

    with pytest.raises(KeyError):
        on_all_cores(work, map(str, range(1000)))
    assert len(done) < 1000


def test_an_interrupted_folder_leaves_the_old_one(tmp_path):
    for text in ("old", "new"):
        with new_folder(tmp_path / "m") as folder:
            (folder / text).write_text(text)
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["new"]

    def interrupted():
        with new_folder(tmp_path / "m") as folder:
            (folder / "third").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_disk_that_fills_up_is_named_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(output_files.os, "pwrite", full)
    with pytest.raises(OSError, match="No space left") as error:
        write(tmp_path / "x.safetensors")
    assert error.value.filename == str(tmp_path / ".x.safetensors.tmp")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_too_small_is_seen_before_the_work(tmp_path, monkeypatch):
    usage = output_files.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(output_files.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OSError, match="bytes are needed, 1,000 are free"):
        write(tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())


@st.composite
def models(draw):
    """Two states of equal names, shapes and integers, each in numbers of any width."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shapes = draw(st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=1, max_size=6))
    dtypes = st.sampled_from([torch.float32, torch.float16, torch.bfloat16])
    sides = []
    for _ in range(2):
        state = {f"t{i}.w": torch.randn(shape, generator=generator) for i, shape in enumerate(shapes)}
        sides.append({name: tensor.to(draw(dtypes)) for name, tensor in state.items()} | {"n": torch.tensor([7, 8])})
    return sides, draw(st.integers(1, len(shapes) + 1))


@settings(deadline=None, max_examples=60)
@given(models(), st.floats(-2, 2, allow_nan=False), st.sampled_from([1, 7, 64]))
def test_files_hold_what_the_arithmetic_in_memory_gives(drawn, coef, piece):
    """Whatever the types, shapes, pieces and shards."""
    (tuned, base), count = drawn
    with TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "PIECE", piece)
        folder, v = Path(root), Path(root) / "v.safetensors"
        save_file(tuned, folder / "tuned.safetensors")
        (folder / "base").mkdir()
        shards = {name: f"model-{i % count}.safetensors" for i, name in enumerate(base)}
        for shard in set(shards.values()):
            save_file({n: t for n, t in base.items() if shards[n] == shard}, folder / "base" / shard)
        (folder / "base" / INDEX).write_text(json.dumps({"weight_map": shards}))
        create_vector(folder / "tuned.safetensors", folder / "base", v, {})
        vector = {name: subtract(name, tuned[name], base[name]) for name in base if name != "n"}
        same(load_file(v), vector)
        apply_vectors(folder / "base", [Addend(v, coef)], folder / "out")
        same(dict(open_tensors(folder / "out")), dict(applied(base, vector, coef)))
        for shard in set(shards.values()):
            assert load_file(folder / "out" / shard).keys() == load_file(folder / "base" / shard).keys()


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


PEAK = """
import re, sys
from pathlib import Path
from asr_tv.vectors.apply import Addend, apply_vectors
from asr_tv.vectors.combine import combine_vectors, compare_vectors
from asr_tv.vectors.files import create_vector
from asr_tv.vectors.merging import Merge

def memory(key):
    return int(re.search(key + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

folder = Path(sys.argv[1])
warm = [folder / name for name in ("small.safetensors", "small.safetensors", "s.safetensors")]
create_vector(*warm, {})  # what torch and the threads take once
for call in (
    lambda: create_vector(folder / "tuned.safetensors", folder / "base.safetensors", folder / "v.safetensors", {}),
    lambda: apply_vectors(
        folder / "base.safetensors", [Addend(folder / "v.safetensors", 0.5)], folder / "out.safetensors"
    ),
):
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    call()
    print(memory("VmHWM") - before)
for call in (
    lambda: combine_vectors([folder / "v.safetensors", folder / "v.safetensors"], folder / "c", Merge("mean")),
    lambda: compare_vectors([folder / "v.safetensors", folder / "v.safetensors"]),
):
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    call()
    print(memory("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads Linux's account of memory")
def test_peak_memory_is_below_three_times_the_largest_tensor(tmp_path):
    """Resident memory, mapped pages included, of models of many tensors."""
    numbers, count = 8 << 20, 8
    for value, name in enumerate(("base", "tuned")):
        state = {f"t{i:02}": torch.full((numbers,), float(value), dtype=torch.float16) for i in range(count)}
        save_file(state, tmp_path / f"{name}.safetensors")
    small = {f"w{i}": torch.ones(1_000_000) for i in range(4)}  # pieces enough for every thread
    save_file(small, tmp_path / "small.safetensors")
    done = subprocess.run([sys.executable, "-c", PEAK, str(tmp_path)], capture_output=True, text=True, check=True)
    peaks = [int(line) for line in done.stdout.split()]
    assert len(peaks) == 4
    assert max(peaks[:2]) < 3 * numbers * 2
    # Of two vectors in fp32, some tensors; of each there are 8.
    assert max(peaks[2:]) < 6 * numbers * 4
    assert {float(tensor[-1]) for tensor in load_file(tmp_path / "out.safetensors").values()} == {0.5}


def test_exhaust_reads_to_the_end():
    seen = []
    exhaust(seen.append(i) or i for i in range(3))
    assert seen == [0, 1, 2]


def cores_of_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def test_work_on_all_cores_leaves_torch_s_threads_as_they_were():
    """Each worker computes on one core; threads that come later do not."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        seen = []
        on_all_cores(lambda _: seen.append(torch.get_num_threads()), "abcdefgh")
        assert set(seen) == {1}
        with pytest.raises(ZeroDivisionError):
            on_all_cores(lambda _: 1 / 0, "abc")
        on_all_cores(seen.append, [])
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: on_all_cores(lambda name: seen.append(name), "abcdefgh"), range(8)))
        assert Counter(seen) == {1: 8} | dict.fromkeys("abcdefgh", 8)
        assert torch.get_num_threads() == cores_of_a_new_thread() == 3
    finally:
        torch.set_num_threads(before)
