"""Readers under fuzzing: whatever the bytes are, a value or the user's error, soon and within the file's own size.

ASR_TV_FUZZ=20000 makes so many examples of each in place of 40.
"""

import io
import json
import os
import struct
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from damaged_files import binary, safetensors, saved, text, variable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asr_tv.config.file import load_config
from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora.lhotse import lhotse_source
from asr_tv.data.corpora.nemo import nemo_source
from asr_tv.data.corpora.slurp import _unpack
from asr_tv.data.corpora.texts import read_texts
from asr_tv.data.manifest import parse_manifest
from asr_tv.decoding.hypotheses import read_hypotheses
from asr_tv.errors import UserError
from asr_tv.models.ctranslate2 import read_variables, to_transformers
from asr_tv.models.openai import read_openai
from asr_tv.models.tensors import open_tensors
from asr_tv.store.results import RECORD, Store
from asr_tv.synthesis.engines.arrays import read_npz

EXAMPLES = int(os.environ.get("ASR_TV_FUZZ", "40"))
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    derandomize=EXAMPLES == 40,
)
_SLACK = 24 << 20
"""Bytes that a reader may take beside 64 times its file: caches, the first import of something."""


@contextmanager
def bounded(size: int) -> Iterator[None]:
    """The body raises nothing but the user's errors, and its memory follows the file's size."""
    tracemalloc.start()
    try:
        yield
    except UserError as error:
        told = len("".join(error.problems))
    else:
        told = 1
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert 0 < told < 1_000_000
    assert peak < 64 * size + _SLACK, f"{peak} bytes for a file of {size}"


@cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="asr-tv-fuzz-"))


def written(name: str, content: bytes) -> Path:
    path = folder() / name
    path.write_bytes(content)
    return path


@st.composite
def spoiled(draw: st.DrawFn, whole: bytes) -> bytes:
    """A good file with bytes changed, cut out, doubled or put in."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        change = draw(st.sampled_from(["set", "cut", "insert", "number", "end", "double"]))
        if change == "set" and content:
            content[at] = draw(st.integers(0, 255))
        elif change == "cut":
            del content[at : at + draw(st.integers(1, 64))]
        elif change == "insert":
            content[at:at] = draw(st.binary(max_size=16))
        elif change == "number":
            content[at : at + 4] = struct.pack("<I", draw(st.sampled_from([0, 1, 2**16, 2**31 - 1, 2**32 - 1])))
        elif change == "end":
            del content[at:]
        else:
            content[at:at] = content[at : at + draw(st.integers(1, 256))]
    return bytes(content)


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    return st.one_of(spoiled(whole), st.binary(max_size=200))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    """id text audio audio_filepath sentence duration offset split origin speaker domain name corpora target training
    kind path recording supervisions recordings scenario start sources key files reads digest stage seconds
    details""".split()  # noqa: SIM905
)
ROWS = st.dictionaries(KEYS | st.text(max_size=4), JSON, max_size=8)
LINES = st.lists(ROWS | JSON, max_size=4).map(lambda rows: "\n".join(json.dumps(row) for row in rows).encode())
MODEL = binary(
    variable("decoder/embeddings/weight", (3, 4), bytes(48)),
    variable("encoder/layer_0/ffn/linear_0/weight", (2, 4), bytes(8), code=1),
    variable("encoder/layer_0/ffn/linear_0/weight_scale", (2,), struct.pack("<2f", 1, 2)),
    variable("encoder/layer_0/self_attention/linear_0/bias", (6,), bytes(24)),
    aliases=struct.pack("<I", 1) + text("decoder/projection/weight") + text("decoder/embeddings/weight"),
)
TENSORS = safetensors(
    {
        "__metadata__": {"format": "pt", "kind": "task vector"},
        "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "b": {"dtype": "BF16", "shape": [0], "data_offsets": [16, 16]},
        "c": {"dtype": "I64", "shape": [], "data_offsets": [16, 24]},
    },
    bytes(24),
)
WHISPER = saved({"dims": {"n_text_head": 1}, "model_state_dict": {"decoder.token_embedding.weight": torch.ones(3, 2)}})
MANIFEST = b'{"id": "a", "text": "hi", "audio": "a.wav", "duration": 1.5}\n{"audio_filepath": "b", "text": "x"}\n'
CUT = (
    b'{"id": "c", "start": 0, "type": "MonoCut", "recording": {"sources": [{"type": "file", "channels": [0], '
    b'"source": "a.wav"}], "duration": 1}, "supervisions": [{"id": "s", "start": 0, "duration": 1, "text": "hi"}]}'
)
CONFIG = b"name: x\ncorpora:\n  - &c {kind: asterisk, line: {snr_db: 10}}\n  - *c\ntraining: {epochs: 3, warmup: .1}\n"


GOOD: dict[str, Any] = {
    "key": "k",
    "stage": "s",
    "digest": "d",
    "files": {},
    "reads": [],
    "details": {},
    "seconds": 1,
}


class TestManifests:
    @fuzzed
    @given(damaged(MANIFEST) | LINES)
    def test_ours(self, content: bytes) -> None:
        with bounded(len(content)):
            manifest = parse_manifest(content.decode(errors="replace"), "m")
            assert manifest.digest  # what is read can be written

    @fuzzed
    @given(damaged(MANIFEST) | LINES)
    def test_texts_and_hypotheses(self, content: bytes) -> None:
        path = written("t.txt", content)
        for read in (lambda: read_texts(path, "d").digest, lambda: read_hypotheses(path)):
            with bounded(len(content)):
                read()

    @pytest.mark.parametrize(("kind", "source"), [("nemo", nemo_source), ("lhotse", lhotse_source)])
    @fuzzed
    @given(content=damaged(CUT) | damaged(MANIFEST) | LINES)
    def test_those_of_others(self, kind: Any, source: Callable[[CorpusConfig], Any], content: bytes) -> None:
        path = written("rows.jsonl", content)
        with bounded(len(content)):
            source(CorpusConfig(kind=kind, path=str(path)))


class TestConfigurations:
    @fuzzed
    @given(damaged(CONFIG) | ROWS.map(lambda row: json.dumps(row).encode()))
    def test_files(self, content: bytes) -> None:
        with bounded(len(content)):
            load_config(written("c.yaml", content))

    @fuzzed
    @given(st.lists(st.text(max_size=20) | st.tuples(KEYS, st.text(max_size=20)).map("=".join), max_size=3))
    def test_overrides(self, overrides: list[str]) -> None:
        with bounded(len(CONFIG)):
            load_config(written("d.yaml", CONFIG), overrides)


class TestModels:
    @fuzzed
    @given(damaged(MODEL))
    def test_ctranslate2(self, content: bytes) -> None:
        with bounded(len(content)):
            to_transformers(read_variables(written("model.bin", content)))

    @fuzzed
    @given(damaged(TENSORS))
    def test_safetensors(self, content: bytes) -> None:
        with bounded(len(content)):
            tensors = open_tensors(written("m.safetensors", content))
            assert sum(tensor.numel() for tensor in tensors.values()) <= len(content)

    @fuzzed
    @given(damaged(WHISPER))
    def test_openai(self, content: bytes) -> None:
        with bounded(len(content)):
            _, tensors = read_openai(written("m.pt", content))
            assert sum(tensor.numel() for tensor in tensors.values()) <= len(content)

    @fuzzed
    @given(damaged(WHISPER[:800]))
    def test_arrays(self, content: bytes) -> None:
        with bounded(len(content)):
            try:
                read_npz(written("x.npz", content))
            except (OSError, ValueError):
                return


class TestRecords:
    @fuzzed
    @given(ROWS.map(lambda row: json.dumps(GOOD | row).encode()) | spoiled(json.dumps(GOOD).encode()))
    def test_a_record_is_read_or_is_none(self, content: bytes) -> None:
        place = folder() / "store" / "s" / "k"
        place.mkdir(parents=True, exist_ok=True)
        (place / RECORD).write_bytes(content)
        with bounded(len(content)):
            found = Store(folder() / "store").recorded("s", "k")
            assert found is None or (isinstance(found.details, dict) and isinstance(found.stage, str))


def _tar() -> bytes:
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("a.wav", "x/b.wav"):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"RIFF"))
    return out.getvalue()[:4096]


@fuzzed
@given(damaged(_tar()))
def test_archives(content: bytes) -> None:
    target = folder() / "unpacked"
    target.mkdir(exist_ok=True)
    with bounded(len(content)):
        _unpack(written("a.tar", content), {"a.wav", "b.wav"}, target)
    assert {path.name for path in target.iterdir()} <= {"a.wav", "b.wav"}
    for path in target.iterdir():
        path.unlink()
