"""The keys of a whole run without its work: stages that train, listen or score are stood in for by their keys."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from asr_tv.audio.recordings import Wave
from asr_tv.config.benchmark import BenchmarkConfig
from asr_tv.config.run import AdaptConfig, SynthesisConfig
from asr_tv.config.synthesis import NeuralConfig
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.decoding.hypotheses import hypotheses_file
from asr_tv.decoding.transcribe import Sweep
from asr_tv.pipeline.benchmark import leave_one_out
from asr_tv.pipeline.execution.executor import Call, Done
from asr_tv.pipeline.graph import adapt
from asr_tv.progress import silent
from asr_tv.scoring.score import evaluate, write_evaluation
from asr_tv.store.results import Identity, Produced, Record, Store, canonical_json
from asr_tv.synthesis.engines import SpeechRequest
from asr_tv.testing.speech import FakeSynthesizer
from asr_tv.vectors.stages import COMPARISON

_REAL = frozenset({"checkpoint", "corpus", "synthesize", "gate", "noise"})
"""Stages whose content decides what follows, and which cost milliseconds on fakes."""
_SEEN = 4_000
"""Samples of a stood-in clip."""


def planned_keys(config: AdaptConfig, root: Path) -> dict[str, str]:
    """Key by label of every stage that the configuration asks for.

    Args:
        root: kept between calls, for what is really made: corpora and clips.
    """
    planner = _Planner(_KeysOnly(root))
    if isinstance(config, BenchmarkConfig):
        leave_one_out(config, planner)
    else:
        adapt(config, planner)
    keys: dict[str, str] = {}
    for done in planner.done:
        if keys.setdefault(done.label, done.record.key) != done.record.key:
            raise RuntimeError(f"two stages are called {done.label}")
    return keys


class _KeysOnly(Store):
    """Makes what is cheap; of everything else a record with its key, whose digest follows from the key."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "store")
        self.call: Call | None = None
        self._checkpoint: Record | None = None

    def guarded(self, _: Callable[[], None]) -> Self:
        """Itself: there is nothing in a stood-in result to check."""
        return self

    def build(self, identity: Identity, produce: Callable[[Path], Produced]) -> Record:
        if identity.stage in _REAL:
            record = super().build(identity, produce)
            self._checkpoint = record if identity.stage == "checkpoint" else self._checkpoint
            return record
        folder = self.root / "planned" / identity.stage / identity.key
        if not folder.exists():
            folder.mkdir(parents=True)
            self._fill(folder, identity)
        digest = hashlib.sha256(identity.key.encode()).hexdigest()
        return Record(identity.stage, identity.key, folder, digest, (), {}, 0.0, cached=False)

    def _fill(self, folder: Path, identity: Identity) -> None:
        """What the graph reads of a stage's result."""
        assert self.call is not None
        assert self._checkpoint is not None
        sweep: Sweep | None = self.call.arguments.get("sweep")
        files = [hypotheses_file(coef) for coef in (sweep.scaling_coefs if sweep else (None,))]
        if identity.stage == "transcribe":
            heard = "".join(json.dumps({"id": u.id, "text": u.text}) + "\n" for u in self.call.arguments["manifest"])
            for file in files:
                (folder / file).write_text(heard, encoding="utf-8")
        elif identity.stage == "score":
            for file in files:
                (folder / file.removesuffix(".jsonl")).symlink_to(self._evaluation(), target_is_directory=True)
        elif identity.stage == "compare":
            (folder / COMPARISON).write_text(json.dumps({"names": identity.parameters["names"], "parts": []}))
        else:
            (folder / "model").symlink_to(self._checkpoint.path / "model", target_is_directory=True)

    def _evaluation(self) -> Path:
        """One score for all: the choice among recipes then falls on the simplest."""
        folder = self.root / "planned" / "evaluation"
        if not folder.exists():
            words = Manifest("words", (Utterance("a", "two words"),))
            write_evaluation(evaluate(words, {"a": "two birds"}, "basic"), folder)
        return folder


class _Planner:
    """Runs calls one after the other, and tells the store of which call it is asked."""

    def __init__(self, store: _KeysOnly) -> None:
        self.store = store
        self.done: list[Done] = []

    def __call__(self, calls: Sequence[Call]) -> list[Record]:
        records = []
        for call in calls:
            self.store.call = call
            records.append(call.run(self.store, silent))
            self.done.append(Done(call.step, records[-1]))
        return records


class StandIn(FakeSynthesizer):
    """An engine whose clips follow from every setting that its keys hold, and sound like nothing."""

    def __init__(self, config: SynthesisConfig) -> None:
        super().__init__(labels=config.voices)
        object.__setattr__(self, "name", config.engine)
        object.__setattr__(self, "_settings", _heard_settings(config))

    def settings(self, seed: int) -> Mapping[str, float]:
        return {"drawn": _number([seed, self.__dict__["_settings"]])}

    def speak(self, requests: Sequence[SpeechRequest]) -> list[Wave]:
        return [self._said(request) for request in requests]

    def _said(self, request: SpeechRequest) -> Wave:
        import numpy as np

        rng = np.random.default_rng(int(1e15 * _number([vars(request), dict(request.settings)])))
        wave: Wave = rng.standard_normal(_SEEN, dtype=np.float32) * np.float32(0.1)
        return wave


def _heard_settings(config: SynthesisConfig) -> Any:
    section = getattr(config, config.engine, None)
    if section is None:
        return [config.length_scale, config.noise_scale, config.noise_w_scale]
    how_to_run = set(section.HOW_TO_RUN) if isinstance(section, NeuralConfig) else set()
    return section.model_dump(mode="json", exclude=how_to_run)


def _number(parts: Any) -> float:
    """From 0 to 1, by the parts' text."""
    return int.from_bytes(hashlib.sha256(canonical_json(parts).encode()).digest()[:6], "big") / 2**48
