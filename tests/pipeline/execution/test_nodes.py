"""What a node does with a call: it knows package and store again, and fetches what the call names."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from asr_tv.config.run import SynthesisConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest
from asr_tv.errors import ConfigError
from asr_tv.pipeline.execution.events import Event, telling
from asr_tv.pipeline.execution.executor import Call, Step
from asr_tv.pipeline.execution.nodes import execute, home_of, misfit
from asr_tv.store.object_storage import CACHE_VARIABLE, open_store
from asr_tv.store.results import Damaged, Identity, Produced, Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.synthesize import synthesize
from asr_tv.testing.speech import dummy_texts, use_fake_engine


@dataclass(frozen=True)
class Heard:
    """Inputs inside another object, as stages have them."""

    clips: Manifest
    others: tuple[Record, ...]


def write(runtime: Runtime, text: str) -> Record:
    def produce(folder: Path) -> Produced:
        (folder / "out").write_text(text)
        return Produced()

    return runtime.store.build(Identity("written", 1, {"text": text}), produce)


def read(runtime: Runtime, heard: Heard) -> Record:
    """A stage that needs every file of its inputs."""

    def produce(folder: Path) -> Produced:
        (folder / "out").write_text("".join((record.path / "out").read_text() for record in heard.others))
        sizes = [Path(u.audio or "").stat().st_size for u in heard.clips]
        with runtime.progress("read", len(sizes), "clips") as advance:
            for _ in sizes:
                advance()
        return Produced(details={"bytes": sum(sizes)})

    return runtime.store.build(Identity("read", 1, {}, {"clips": heard.clips.digest}), produce)


@pytest.fixture
def sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "sender"))
    return open_store(f"file://{tmp_path / 'bucket'}")


def reading(store: Store) -> Call:
    use_fake_engine()
    texts, config = dummy_texts(3, "shop"), SynthesisConfig(engine="fake", voices=("tone",), takes=1)
    clips = stored_manifest(synthesize(Runtime(store), texts, config, seed=1))
    return Call(Step("compare"), read, {"heard": Heard(clips, (write(Runtime(store), "whole"),))})


class TestNode:
    def test_it_fetches_what_a_call_names_and_shares_what_it_makes(
        self, sender: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        call, home, told = reading(sender), home_of(sender), list[Event]()
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "node"))
        made = execute(call, home, 0.0, 1, told.append)
        assert made.path.is_relative_to(tmp_path / "node")
        assert (made.path / "out").read_text() == "whole"
        assert made.details["bytes"] > 0
        assert sum(event.done or 0 for event in told) == 3
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "sender"))
        here = sender.fetched("read", made.key)
        assert here is not None
        assert here.digest == made.digest

    def test_a_lost_input_is_told_so_that_the_flow_makes_it_again(
        self, sender: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        call, home = reading(sender), home_of(sender)
        shutil.rmtree(tmp_path / "bucket" / "written")
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "node"))
        with pytest.raises(Damaged, match=r"written [0-9a-f]{24}: lost"):
            execute(call, home, 0.0, 1, lambda event: None)

    def test_it_knows_its_home_again(self, tmp_path: Path) -> None:
        home = home_of(Store(tmp_path))
        assert home_of(Store(tmp_path)) == home
        assert misfit(home) is None
        other = replace(home, store="another")
        assert misfit(other) == f"does not see the store {tmp_path}: mount it there, at the same path"
        assert "another version of asr-tv" in str(misfit(replace(home, source="other")))
        assert "cannot reach the store nosuch://x" in str(misfit(replace(home, location="nosuch://x")))
        with pytest.raises(ConfigError, match=r"node \S+ does not see the store"):
            execute(Call(Step("compare"), write, {"text": "x"}), other, 0.0, 1, lambda event: None)


def test_progress_is_told_in_full_however_seldom() -> None:
    told: list[Event] = []
    with telling(told.append, seconds=60.0)("speak", 5, "clips") as advance:
        for _ in range(5):
            advance()
    lines: Any = {event.line for event in told}
    assert len(lines) == 1
    assert [(event.total, event.done) for event in told] == [(5, None), (None, 5), (None, None)]
