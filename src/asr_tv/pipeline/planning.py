"""What a run will train, told before it trains: the graph walked with stand-ins for what is not stored."""

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from asr_tv.audio.attributes import Attributes
from asr_tv.config.run import AdaptConfig, TrainingConfig
from asr_tv.data.corpora.local import write_manifest
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.decoding.hypotheses import hypotheses_file, score_folder
from asr_tv.describing.description import Description, format_descriptions
from asr_tv.describing.stage import DESCRIPTIONS
from asr_tv.devices import choose_device
from asr_tv.models.family import family_of
from asr_tv.models.tensors import WEIGHTS
from asr_tv.pipeline.execution.executor import Call, Done, Executor, Kind
from asr_tv.progress import silent
from asr_tv.safe_text import counted
from asr_tv.scoring.score import evaluate, write_evaluation
from asr_tv.store.payload import DROPPED, MANIFEST, MODEL, VECTOR
from asr_tv.store.results import Identity, Produced, Record, Store
from asr_tv.synthesis.gate.gate import AGAIN
from asr_tv.training.data import TrainingData, rehearsed_number
from asr_tv.training.pace import seconds_per_clip
from asr_tv.training.settings import settings_for
from asr_tv.vectors.stages import COMPARISON


@dataclass(frozen=True)
class Plan:
    """How many different fine-tunings a run needs, counted from their keys.

    Attributes:
        stored: those that are in the store already.
        choosing: those that only choose the recipe.
        runs: of a table; 0 for a run of its own.
        alone: how many there would be if each run of a table shared nothing with the others.
        gigabytes: of disk that the checkpoints and vectors still to be made will take, about.
        clips: that the fine-tunings still to be made hear, each in each epoch.
        recipes: among which one is chosen; 0 where it is fixed.
        minutes: that these fine-tunings take on this machine, about; None where that was not measured.
    """

    fine_tunings: int
    stored: int
    choosing: int
    runs: int
    alone: int
    gigabytes: float
    clips: int = 0
    recipes: int = 0
    minutes: float | None = None

    def __str__(self) -> str:
        stored = f", {self.stored} of them in the store" if self.stored else ""
        if not self.runs:
            choosing = (
                f": {self.choosing} for choosing one of {counted(self.recipes, 'recipe')}" if self.choosing else ""
            )
            lasting = (
                "" if self.minutes is None else f"; about {counted(math.ceil(self.minutes), 'minute')} of training"
            )
            return f"{self.fine_tunings} fine-tunings{choosing}{stored}{lasting}"
        return (
            f"{self.runs} runs, one per target and seed: {self.fine_tunings} fine-tunings{stored}; sharing them "
            f"between runs saves {self.alone - self.fine_tunings}; about {self.gigabytes:.1f} GB more in the store"
        )


def plan_run(config: AdaptConfig, graph: Callable[[Executor], object], base: Record, execute: Executor) -> Plan:
    """As `plan`, of one run: with what it chooses from, and for how long it trains."""
    found, family = plan(graph, base, execute), family_of(base.path / MODEL)
    minutes = None
    if found.clips and family == "whisper":
        device, training = choose_device(config.run.device), settings_for(config.training, family)
        with suppress(MemoryError):
            minutes = found.clips * seconds_per_clip(base.path / MODEL, training, config.language, device) / 60
    return replace(found, recipes=config.selection.recipes, minutes=minutes)


def plan(graph: Callable[[Executor], object], base: Record, execute: Executor) -> Plan:
    """Walks a graph over loaded corpora without training, decoding or speaking.

    Args:
        base: the pretrained model, as large as each checkpoint and vector will be.
    """
    with Planner(execute) as planner:
        graph(planner)
    done = planner.done
    tunings = [entry for entry in done if entry.record.stage == "finetune"]
    keys = {entry.record.key: entry for entry in reversed(tunings)}
    by_run: dict[str, set[str]] = {}
    for entry in tunings:
        by_run.setdefault(entry.step.run, set()).add(entry.record.key)
    runs = {entry.step.run for entry in tunings if entry.step.run and entry.step.purpose == "topline"}
    needed = {entry.record.key for entry in tunings if entry.step.purpose != "choice"}
    new = {e.record.key for e in done if e.record.stage in ("finetune", "adapt", "vector") and not e.record.cached}
    return Plan(
        fine_tunings=len(keys),
        stored=sum(entry.record.cached for entry in keys.values()),
        choosing=sum(key not in needed for key in keys),
        runs=len(runs),
        alone=sum(len(by_run[run]) for run in runs),
        gigabytes=len(new) * (base.path / MODEL / WEIGHTS).stat().st_size / 1e9,
        clips=sum(planner.heard.values()),
    )


REAL: frozenset[Kind] = frozenset({"checkpoint", "corpus", "noise", "published", "write"})
"""What a plan executes, because its content decides what follows and costs little."""


class Planner:
    """An executor that finds out what a run will ask for: what is not stored yet is stood in for by its key.

    Args:
        execute: runs the steps in `real`, whose results are then there for the run itself.
        stand_in: the folder of stand-ins; a temporary one when not given.
    """

    def __init__(self, execute: Executor, real: frozenset[Kind] = REAL, stand_in: Path | None = None) -> None:
        self._execute, self._real = execute, real
        self._folder = stand_in or Path(tempfile.mkdtemp(prefix="asr-tv-plan-"))
        self.store = _StandIns(execute.store, self._folder)
        self.done: list[Done] = []
        self.heard: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def __call__(self, calls: Sequence[Call]) -> list[Record]:
        real = [call for call in calls if call.step.kind in self._real]
        made = dict(zip(map(id, real), self._execute(real) if real else [], strict=True))
        records = [made[id(call)] if id(call) in made else self.store.of(call) for call in calls]
        for call, record in zip(calls, records, strict=True):
            if call.step.kind == "finetune" and not record.cached:
                self.heard[record.key] = _heard(**call.arguments)
        self.done += [Done(call.step, record) for call, record in zip(calls, records, strict=True)]
        return records


def _heard(data: Manifest | TrainingData, training: TrainingConfig, **_: object) -> int:
    """Clips that a fine-tuning hears in all its epochs, rehearsed ones among them."""
    data = TrainingData(data) if isinstance(data, Manifest) else data
    labelled = len(data.clips)
    return training.epochs * (labelled + rehearsed_number(data.rehearsal, labelled))


class _StandIns(Store):
    """Finds what is stored; of anything else a record with its key, whose digest follows from the key."""

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(store.root)
        self._store, self._stand_ins = store, folder
        self._call: Call | None = None

    def of(self, call: Call) -> Record:
        self._call = call
        return call.run(self, silent)

    def guarded(self, _: Callable[[], None]) -> Self:
        return self  # there is nothing in a stand-in to check

    def find(self, identity: Identity) -> Record | None:
        return self._store.recorded(identity.stage, identity.key)

    def build(self, identity: Identity, produce: Callable[[Path], Produced]) -> Record:  # noqa: ARG002
        if (found := self.find(identity)) is not None:
            return found
        folder = self._stand_ins / identity.stage / identity.key
        if not folder.exists():
            folder.mkdir(parents=True)
            assert self._call is not None  # nosec B101 - for the type checker
            _fill(folder, identity, self._call.arguments)
        digest = hashlib.sha256(identity.key.encode()).hexdigest()
        return Record(identity.stage, identity.key, folder, digest, (), {}, 0.0, cached=False)


def _fill(folder: Path, identity: Identity, arguments: Mapping[str, Any]) -> None:
    """What the graph reads of a stage's result."""
    match identity.stage:
        case "synthesize":
            _write_clips(folder, _spoken(arguments["texts"], arguments["config"]))
        case "gate":
            _write_clips(folder, arguments["rounds"][0].clips)
            (folder / AGAIN).write_text("[]", encoding="utf-8")
        case "transcribe" | "score":
            _write_scores(folder, identity.stage, arguments)
        case "compare":
            text = json.dumps({"names": identity.parameters["names"], "parts": [{"norms": [1.0, 1.0]}]})
            (folder / COMPARISON).write_text(text, encoding="utf-8")
        case "vector":
            (folder / VECTOR).touch()
        case "describe":
            unknown = tuple(Description(u.id, u.text, u.domain, Attributes(0.0)) for u in arguments["clips"])
            (folder / DESCRIPTIONS).write_text(format_descriptions(unknown), encoding="utf-8")
        case _:
            base: Record = arguments.get("base") or arguments["start"]
            (folder / MODEL).symlink_to(base.path / MODEL, target_is_directory=True)


def _spoken(texts: Manifest, config: Any) -> Manifest:
    """A clip without samples for each text, voice and take."""
    clips = [
        replace(u, id=f"{u.id}_{voice}_{take}", origin="synthetic", audio="clip", audio_digest=f"{u.text}{voice}{take}")
        for u in texts
        for voice in config.voices
        for take in range(config.takes)
    ]
    return Manifest(texts.name, tuple(clips))


def _write_clips(folder: Path, clips: Manifest) -> None:
    write_manifest(clips, folder / MANIFEST)
    (folder / DROPPED).write_text("[]", encoding="utf-8")


def _write_scores(folder: Path, stage: str, arguments: Mapping[str, Any]) -> None:
    """Hypotheses that repeat the references; one and the same score for all, so that the simplest recipe is chosen."""
    sweep = arguments.get("sweep")
    for coef in sweep.scaling_coefs if sweep else (None,):
        file = hypotheses_file(coef)
        if stage == "transcribe":
            heard = "".join(json.dumps({"id": u.id, "text": u.text}) + "\n" for u in arguments["manifest"])
            (folder / file).write_text(heard, encoding="utf-8")
        else:
            words = Manifest("words", (Utterance("a", "two words"),))
            write_evaluation(evaluate(words, {"a": "two birds"}, "basic"), folder / score_folder(coef))
