"""`asr-tv try` refuses what it cannot do before it opens anything."""

import socket
from pathlib import Path

import pytest
from commands import Command

from asr_tv.cli import trying


def test_sharing_is_refused(asr_tv: Command) -> None:
    (problem,) = asr_tv("try", "a", "b", "--share").problems
    assert problem.startswith("--share: refused")


def test_without_gradio_it_says_what_to_install(asr_tv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "find_spec", lambda name: None)
    (problem,) = asr_tv("try", "a", "b").problems
    assert problem.endswith('pip install "asr-tv[try]"')


def test_one_model_alone_and_models_that_are_not_there(asr_tv: Command, tmp_path: Path) -> None:
    assert "give one run" in asr_tv("try", tmp_path / "model").problems[0]
    problems = asr_tv("try", "./one", "./two").problems
    assert problems == [f"{n}: this model cannot be loaded: ./{n}: no such file or directory" for n in ("one", "two")]


def test_a_port_in_use(asr_tv: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (problem,) = asr_tv("try", "./one", "./two", "--port", port).problems
    assert problem.startswith(f"--port {port}: Address already in use")
