import pickle
import shutil
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch
from huggingface_hub import constants

from asr_tv.errors import DataError
from asr_tv.models import hub
from asr_tv.models.hub import cached_snapshot, download_snapshot
from asr_tv.models.tensors import open_tensors
from asr_tv.testing.whisper import tiny_whisper

REVISION = "a" * 40


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The hub's local cache with one model, `x/tiny`."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    repository = tmp_path / "models--x--tiny"
    tiny_whisper(repository / "snapshots" / REVISION)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    return repository / "snapshots" / REVISION


def test_the_cache_answers_without_a_network(cache):
    (cache / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# A card\n")
    snapshot = cached_snapshot("x/tiny")
    assert (snapshot.path, snapshot.revision, snapshot.licence) == (cache, REVISION, "apache-2.0")
    assert cached_snapshot("x/other") is None
    assert cached_snapshot("not a name!") is None
    (cache / "README.md").unlink()
    assert cached_snapshot("x/tiny").licence == "not stated"


def test_a_download_that_was_cut_off_is_no_checkpoint(cache):
    (cache / "config.json").rename(cache / "config.json.incomplete")
    assert cached_snapshot("x/tiny") is None
    (cache / "config.json.incomplete").rename(cache / "config.json")
    (cache / "model.safetensors").unlink()
    assert cached_snapshot("x/tiny") is None


def test_offline_by_choice(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="HF_HUB_OFFLINE is set"):
        download_snapshot("x/other")


def test_a_hub_that_never_answers_costs_two_seconds(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.perf_counter()
        with pytest.raises(DataError, match="does not answer"):
            download_snapshot("x/y")
        assert time.perf_counter() - start < 4


def test_a_closed_port_is_told_at_once(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(DataError, match="does not answer"):
            download_snapshot("x/y")


def test_an_unknown_name_is_the_hubs_answer(monkeypatch):
    class Unknown(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(404)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Unknown)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    try:
        with pytest.raises(DataError, match="answers 404 for x/y"):
            download_snapshot("x/y")
    finally:
        server.shutdown()
        server.server_close()


def test_a_repository_without_safetensors(cache, monkeypatch, tmp_path):
    """What torch.save wrote is fetched in a second step, and only then."""
    asked = []

    def download(name, *, allow_patterns, **_):
        asked.append("pytorch_model.bin" in allow_patterns)
        return str(cache if name == "x/tiny" else pickled if asked[-1] else bare)

    bare, pickled = shutil.copytree(cache, tmp_path / "bare"), shutil.copytree(cache, tmp_path / "pickled")
    torch.save(dict(open_tensors(cache)), pickled / "pytorch_model.bin")
    for folder in (bare, pickled):
        (folder / "model.safetensors").unlink()
    monkeypatch.setattr(hub, "_status", lambda url: 200)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert download_snapshot("x/pickled").path == pickled
    assert asked == [False, True]
    assert download_snapshot("x/tiny").revision == REVISION
    assert asked == [False, True, False]
    (pickled / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(DataError, match=r"pytorch_model\.bin: is not a checkpoint of plain weights"):
        download_snapshot("x/pickled")
    (pickled / "pytorch_model.bin").unlink()
    with pytest.raises(DataError, match=r"holds neither model\.safetensors nor pytorch_model\.bin"):
        download_snapshot("x/pickled")


class TestRepository:
    def test_the_cache_answers_where_it_is_complete(self, cache, monkeypatch):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert hub.repository("x/tiny", ("config.json",), alternatives=("*.bin", "*.safetensors")) == cache
        with pytest.raises(DataError, match="HF_HUB_OFFLINE is set, and x/tiny is not in the cache"):
            hub.repository("x/tiny", ("config.json", "spm_char.model"))
        with pytest.raises(DataError, match="is not in the cache"):
            hub.repository("x/tiny", (), alternatives=("*.bin",))

    def test_a_dataset_is_not_a_model(self, cache, monkeypatch):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(DataError, match="x/tiny is not in the cache"):
            hub.repository("x/tiny", ("config.json",), dataset=True)
        cache.parent.parent.rename(cache.parents[2] / "datasets--x--tiny")
        found = hub.repository("x/tiny", ("config.json",), dataset=True)
        assert (found.name, found.parents[1].name) == (REVISION, "datasets--x--tiny")

    def test_a_hub_that_does_not_answer(self, monkeypatch):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub, "_status", lambda url: None)
        with pytest.raises(DataError, match="does not answer"):
            hub.repository("x/other", ("config.json",))
