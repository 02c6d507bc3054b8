"""The stream flow, without a server: it looks once, says what it found, and refuses nothing that a folder may hold."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from asr_tv.audio.recordings import write_audio
from asr_tv.data.corrections import Correction, add_correction
from asr_tv.testing.whisper import tiny_whisper
from flows import stream as module


def test_a_look_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "get_run_logger", lambda: logging.getLogger("stream"))
    calls = tmp_path / "calls"
    calls.mkdir()
    write_audio(calls / "a.wav", np.ones(8000, np.float32) * 0.1, 16_000)
    row = Correction("a.wav", "a.wav", "pine", False, "the PIN", "m", "2026-11-30T10:00:00")
    add_correction(calls / "corrections.jsonl", row)
    given = {"folder": str(calls), "out": str(tmp_path / "out"), "model": str(tiny_whisper(tmp_path / "w"))}
    done = module.stream.fn(**given, store=str(tmp_path / "store"))
    assert done.message == "1 heard, 1 verified, 2 terms"
    assert (tmp_path / "out" / "terms.txt").read_text().split() == ["pin", "the"]
    shutil.copy(calls / "a.wav", calls / "b.wav")
    assert module.stream.fn(**given, store=str(tmp_path / "store")).message == "1 heard, 1 verified, 2 terms"
