"""The stage that plays one order of a stream to one agent; a killed one goes on from its journal."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from asr_tv.config.section import Family
from asr_tv.data.manifest import Manifest
from asr_tv.data.orders import order_digest
from asr_tv.data.recorded import read_wave
from asr_tv.devices import choose_device
from asr_tv.models.family import family_of
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Identity, Produced, Record
from asr_tv.store.runtime import Runtime
from asr_tv.streaming.agents import Corrections, Remembering
from asr_tv.streaming.harness import Teaching, play
from asr_tv.streaming.journal import digest
from asr_tv.streaming.specs import Setup, loader, make_agent
from asr_tv.streaming.turns import Ear, Listener
from asr_tv.text.normalize import Normalizer

STAGE, VERSION = "stream", 1
JOURNAL = "turns.jsonl"
_MOST_TOLD = 50


def stream(
    runtime: Runtime,
    checkpoint: Record,
    manifest: Manifest,
    agent: str,
    setup: Setup,
    teaching: Teaching,
    normalize: Normalizer,
) -> Record:
    """The stage: an agent's turns in `JOURNAL`, and what it remembers in the end.

    Raises:
        DataError: an utterance without a recording, or too little memory.
    """
    inputs = {"checkpoint": checkpoint.digest, "manifest": manifest.digest, "order": order_digest(manifest)}
    told = {"feedback": teaching.mode, "ask": teaching.ask, "tolerance": teaching.tolerance, "seed": teaching.seed}
    parameters = setup.deciding(agent) | told | {"normalizer": [normalize.name, normalize.version]}
    family = family_of(checkpoint.path / MODEL)

    def produce(scratch: Path) -> Produced:
        ear = shared_ear(checkpoint.path / MODEL, family, setup, runtime.device)
        clips = scratch / "clips"
        listener = make_agent(agent, runtime, checkpoint, family, setup, normalize, ear, clips)
        with runtime.progress(runtime.label or f"stream {agent}", len(manifest), "turns") as advance:
            turns = play(listener, manifest, read_wave, teaching, normalize, scratch / JOURNAL, advance)
        details = {"agent": agent, "turns": len(turns), "digest": digest(turns), "memory": remembered(listener)}
        return Produced((manifest.ref(),), details)

    return runtime.store.build(Identity(STAGE, VERSION, parameters, inputs), produce)


@lru_cache(maxsize=1)
def shared_ear(folder: Path, family: Family, setup: Setup, device: str) -> Ear:
    """One for all agents of a table, which hear the same recordings: each is encoded once."""
    return loader(family, setup, choose_device(device))(folder)


def remembered(listener: Listener) -> list[Any]:
    """What an agent's memory holds, for the report: terms with their counts, or the last texts."""
    if isinstance(listener, Corrections):
        counts = {term.word: term.count for term in listener.memory.terms}
        return [[word, counts[word]] for word in listener.memory.listed]
    if isinstance(listener, Remembering):
        return listener.memory.texts[-_MOST_TOLD:]
    return []
