"""Refresh: the wanted stage and everything that reads what it makes, and nothing else."""

import time
from pathlib import Path
from typing import Any

import pytest

from asr_tv.data.corpora.local import write_manifest
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.errors import ConfigError
from asr_tv.pipeline.execution.executor import Call, Step
from asr_tv.pipeline.execution.processes import Processes
from asr_tv.pipeline.execution.refresh import Refresh
from asr_tv.store.results import Identity, Produced, Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.testing.runs import fake_config


def make(runtime: Runtime, name: str, inputs: Any = ()) -> Record:  # noqa: ARG001
    """A stage that always makes the same; its digest never tells whether it ran."""

    def produce(folder: Path) -> Produced:
        (folder / "out").write_text(name)
        return Produced()

    return runtime.store.build(Identity("made", 1, {"name": name}), produce)


def speak(runtime: Runtime, name: str) -> Record:
    """A stage with a manifest of recordings elsewhere in the store."""

    def produce(folder: Path) -> Produced:
        clip = Utterance(name, f"says {name}", audio=str(runtime.store.root / "clips" / name), origin="synthetic")
        write_manifest(Manifest(name, (clip,)), folder / "manifest.jsonl")
        return Produced()

    return runtime.store.build(Identity("spoken", 1, {"name": name}), produce)


def calls(store: Store) -> list[Call]:
    """base -> tuned -> adapted, and beside it a training on clips."""
    base, tuned = make(Runtime(store), "base"), make(Runtime(store), "tuned")
    heard = Manifest("clips", (Utterance("a", "says a", audio=str(store.root / "clips" / "a"), origin="synthetic"),))
    return [
        Call(Step("checkpoint", "base"), make, {"name": "base"}),
        Call(Step("synthesize", "a"), speak, {"name": "a"}),
        Call(Step("synthesize", "b"), speak, {"name": "b"}),
        Call(Step("finetune", "tuned"), make, {"name": "tuned", "inputs": {"base": [base]}}),
        Call(Step("finetune", "heard"), make, {"name": "heard", "inputs": (heard,)}),
        Call(Step("adapt"), make, {"name": "adapted", "inputs": tuned}),
    ]


def executed(store: Store, wanted: list[str], since: float | None = None) -> set[str]:
    refresh = Refresh(wanted, time.time() if since is None else since)
    with Processes(store, 1, refresh=refresh) as execute:
        for call in calls(Store(store.root)):
            execute([call])
        refresh.require_matched([done.label for done in execute.done])
        return {done.label for done in execute.done if not done.record.cached}


@pytest.mark.parametrize(
    ("wanted", "again"),
    [
        ([], set()),
        (["finetune tuned"], {"finetune tuned", "adapt"}),
        (["checkpoint"], {"checkpoint base", "finetune tuned", "adapt"}),
        (["synthesize a"], {"synthesize a", "finetune heard"}),
        (["finetune"], {"finetune tuned", "finetune heard", "adapt"}),
        (["adapt", "synthesize b"], {"adapt", "synthesize b"}),
    ],
)
def test_a_stage_and_what_follows(wanted: list[str], again: set[str], tmp_path: Path) -> None:
    store = Store(tmp_path)
    executed(store, [])
    time.sleep(0.02)
    assert executed(store, wanted) == again
    assert executed(store, []) == set()


def test_an_interrupted_refresh_goes_on(tmp_path: Path) -> None:
    store = Store(tmp_path)
    executed(store, [])
    time.sleep(0.02)
    since = time.time()
    assert executed(store, ["checkpoint"], since) == {"checkpoint base", "finetune tuned", "adapt"}
    assert executed(store, ["checkpoint"], since) == set()


def test_unknown_stages_are_refused_at_once_and_unknown_labels_at_the_end(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no stage begins so; stages: checkpoint, corpus"):
        Refresh(["finetunes"], 0.0)
    with pytest.raises(ConfigError, match="'finetune moon': this run has no such stage; it has: checkpoint base"):
        executed(Store(tmp_path), ["finetune moon", "adapt"])


def test_clips_are_spoken_again(tmp_path: Path) -> None:
    from asr_tv.synthesis.synthesize import synthesize
    from asr_tv.testing.speech import dummy_texts

    config = fake_config(tmp_path).synthesis
    store = Store(tmp_path / "store")
    first = synthesize(Runtime(store), dummy_texts(3), config, seed=1)
    time.sleep(0.02)
    again = synthesize(Runtime(store.remade_since(time.time())), dummy_texts(3), config, seed=1)
    assert (again.digest, again.details["executed_clips"]) == (first.digest, first.details["executed_clips"])
    assert again.details["reused_clips"] == 0
