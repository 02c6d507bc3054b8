"""Fixtures that several files of tests share."""

import gc
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import Command, Done, adapt_slice, program, record, write_rows
from hypothesis import HealthCheck, settings
from schedule import longest_first, place_of
from stored import finish, small_config

from asr_tv.data.manifest import Manifest
from asr_tv.store.results import Record, Store
from asr_tv.testing.runs import SLICE, fake_config

# A busy machine takes longer than Hypothesis allows an input and its drawing, which says nothing of the code.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return longest_first(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: place_of(item.nodeid))


MANY_MODULES = 200
_frozen_modules = 0


def pytest_runtest_logstart() -> None:
    """What large libraries made as they loaded stays: no collection of garbage walks through it again."""
    global _frozen_modules
    if len(sys.modules) > _frozen_modules + MANY_MODULES:
        gc.collect()
        gc.freeze()
        _frozen_modules = len(sys.modules)


@pytest.fixture
def asr_tv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The program in this process, in an empty folder, with a fake engine and a hub that does not answer."""
    from asr_tv import cli
    from asr_tv.config.synthesis import SynthesisConfig
    from asr_tv.models import hub
    from asr_tv.runs import spoken_clips
    from asr_tv.synthesis import engines as tts
    from asr_tv.testing import speech

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(tts.ENGINES, "fake", tts.SpeechEngine(speech.__name__, speech.open_fake.__name__))
    monkeypatch.setattr(spoken_clips, "VOICES", (SynthesisConfig(engine="fake", voices=("tone",), takes=1),))
    monkeypatch.setattr(hub, "_status", lambda url: None)
    monkeypatch.setattr(cli, "app", program())
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY"):
        monkeypatch.setenv(name, os.environ.get(name, ""))

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["asr-tv", *map(str, arguments)])
        with pytest.raises(SystemExit) as ending:
            cli.main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return Done(int(ending.value.code or 0), printed.out, printed.err.splitlines())

    handlers = logging.getLogger().handlers[:]
    yield run
    logging.getLogger().handlers[:] = handlers


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models: two of one form, one of another vocabulary, one of another architecture."""
    from asr_tv.testing.whisper import tiny_whisper

    folder = tmp_path_factory.mktemp("models")
    tiny_whisper(folder / "base")
    tiny_whisper(folder / "tuned", seed=1)
    tiny_whisper(folder / "multilingual", multilingual=True)
    tiny_whisper(folder / "deeper", layers=3)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Whisper and six recordings; a file of tests that wants others has a `folder` of its own."""
    from asr_tv.testing.runs import fake_recordings
    from asr_tv.testing.whisper import tiny_whisper

    path = tmp_path_factory.mktemp("training")
    tiny_whisper(path / "base")
    fake_recordings(path / "recordings", sentences=6, domains=("banking",))
    return path


@pytest.fixture(scope="module")
def base(folder: Path) -> Record:
    """The folder's Whisper as a record."""
    from asr_tv.models.locate import resolve_model

    return resolve_model(str(folder / "base"), Store(folder / "store"))


@pytest.fixture(scope="module")
def manifest(folder: Path) -> Manifest:
    """The folder's recordings."""
    from asr_tv.data.corpora.local import read_manifest

    return read_manifest(folder / "recordings" / "manifest.jsonl")


@pytest.fixture
def bad_recordings(tmp_path: Path) -> Path:
    record(tmp_path / "good.wav")
    whole = record(tmp_path / "cut.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("not audio " * 100)
    names = ("good", "gone", "cut", "empty", "text")
    return write_rows(tmp_path / "bad.jsonl", *({"id": n, "audio": f"{n}.wav", "text": "hi"} for n in names))


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A small finished run on fakes and its folder, not to be changed."""
    root = tmp_path_factory.mktemp("whole")
    config = small_config(root / "in")
    finish(config, root)
    return config, root


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A finished run on fakes of two takes and two epochs, so that a training can be killed between them."""
    root = tmp_path_factory.mktemp("unbroken")
    fixed = {"start": "pretrained", "augmentation": False, "scaling_coef": 0.5}
    more = {"training__epochs": 2, "rehearsal__share": 0.5}
    config = fake_config(root / "in", selection={"method": "fixed", "fixed": fixed}, **more)
    finish(config, root)
    return config, root


@pytest.fixture(scope="session")
def real_models(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store in which each of the real checkpoints that tests ask for is unpacked once."""
    return Store(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="session")
def slice_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the real slice's configuration, store and results lie."""
    folder = tmp_path_factory.mktemp("slice")
    (folder / "slice.yaml").write_text(SLICE)
    return folder


@pytest.fixture(scope="session")
def slice_report(slice_folder: Path) -> dict[str, Any]:
    """The whole method run once on a slice of the real corpus: real weights, a real voice, through the command line."""
    return adapt_slice(slice_folder)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a bucket on an S3 server on this machine."""
    import fsspec
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        # A server of another file in this process has left its buckets.
        fsspec.filesystem("s3", skip_instance_cache=True).makedirs("asr-tv-tests", exist_ok=True)
        fsspec.filesystem("s3").clear_instance_cache()  # it would go on with another file's server
        yield "s3://asr-tv-tests"
    server.stop()
