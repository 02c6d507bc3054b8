"""A lock that another process holds: short waits are silent, a long one is said once."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asr_tv.store import durable
from asr_tv.store.durable import file_lock
from asr_tv.store.results import Identity, Produced, Store

IDENTITY = Identity("checkpoint", 1, {"model": "tiny"})


def held_for(seconds: float, path: Path, wait: Callable[[], object]) -> None:
    """Calls `wait` while a lock is held, which is released after so many seconds."""
    with file_lock(path):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(seconds)
    thread.join(20)
    assert not thread.is_alive()


def build(root: Path) -> Callable[[], object]:
    return lambda: Store(root).build(IDENTITY, lambda _: Produced())


def test_a_long_wait_is_said_once_and_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(durable, "NOTICE_SECONDS", 0.1)
    held_for(0.5, tmp_path / "checkpoint" / f"{IDENTITY.key}.lock", build(tmp_path))
    assert [record.getMessage() for record in caplog.records] == [
        f"waiting for another process that is making the same result, checkpoint {IDENTITY.key} "
        f"(kept in {tmp_path}): 0 s so far"
    ]
    assert caplog.records[0].levelno == logging.WARNING
    assert Store(tmp_path).find(IDENTITY) is not None


def test_a_short_wait_is_not_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert durable.NOTICE_SECONDS == 15
    held_for(0.3, tmp_path / "checkpoint" / f"{IDENTITY.key}.lock", build(tmp_path))
    assert caplog.records == []


def test_a_lock_that_makes_no_result_is_named_by_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wait() -> None:
        with file_lock(tmp_path / ".lock"):
            return

    monkeypatch.setattr(durable, "NOTICE_SECONDS", 0.05)
    held_for(0.2, tmp_path / ".lock", wait)
    assert [record.getMessage() for record in caplog.records] == [
        f"waiting for another process that is writing into {tmp_path}: 0 s so far"
    ]
