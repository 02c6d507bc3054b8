"""The keys of a whole run without its work: stages that train, listen or score are stood in for by their keys."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from asr_tv.audio.recordings import Wave
from asr_tv.config.benchmark import BenchmarkConfig
from asr_tv.config.run import AdaptConfig, SynthesisConfig
from asr_tv.pipeline.benchmark import benchmark
from asr_tv.pipeline.execution.executor import InProcess, Kind
from asr_tv.pipeline.graph import adapt
from asr_tv.pipeline.planning import Planner
from asr_tv.store.results import Store, canonical_json
from asr_tv.synthesis.engines import SpeechRequest
from asr_tv.testing.speech import FakeSynthesizer

_REAL: frozenset[Kind] = frozenset({"checkpoint", "corpus", "synthesize", "gate", "noise", "published", "write"})
"""Steps whose content decides what follows, and which cost milliseconds on fakes."""


def planned_keys(config: AdaptConfig, root: Path) -> dict[str, str]:
    """Key by label of every stage that the configuration asks for; corpora and clips are really made, in `root`."""
    planner = Planner(InProcess(Store(root / "store")), _REAL, root / "planned")
    if isinstance(config, BenchmarkConfig):
        benchmark(config, planner)
    else:
        adapt(config, planner)
    keys: dict[str, str] = {}
    for done in planner.done:
        if keys.setdefault(done.label, done.record.key) != done.record.key:
            raise RuntimeError(f"two stages are called {done.label}")
    return keys


class StandIn(FakeSynthesizer):
    """An engine whose clips follow from every setting that its keys hold, and sound like nothing."""

    def __init__(self, config: SynthesisConfig) -> None:
        super().__init__(labels=config.voices)
        object.__setattr__(self, "name", config.engine)
        object.__setattr__(self, "_settings", _heard_settings(config))

    def settings(self, seed: int) -> Mapping[str, float]:
        return {"drawn": _number([seed, self.__dict__["_settings"]])}

    def _clip(self, request: SpeechRequest) -> Wave:
        rng = np.random.default_rng(int(1e15 * _number([vars(request), dict(request.settings)])))
        wave: Wave = rng.standard_normal(4_000, dtype=np.float32) * np.float32(0.1)
        return wave


def _heard_settings(config: SynthesisConfig) -> Any:
    section = getattr(config, config.engine, None)
    if section is None:
        return [config.length_scale, config.noise_scale, config.noise_w_scale]
    how_to_run = set(getattr(section, "HOW_TO_RUN", ()))
    return section.model_dump(mode="json", exclude=how_to_run)


def _number(parts: Any) -> float:
    """From 0 to 1, by the parts' text."""
    return int.from_bytes(hashlib.sha256(canonical_json(parts).encode()).digest()[:6], "big") / 2**48
