"""Transcribes and scores checkpoints: the folds' recipes on dev recordings, the systems on the test recordings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from asr_tv.config.run import AdaptConfig, AudioContext
from asr_tv.data.manifest import Manifest
from asr_tv.decoding.options import Decoding, choose_engine, decoding_for
from asr_tv.decoding.transcribe import Sweep, transcribe
from asr_tv.models.family import family_of
from asr_tv.pipeline.execution.executor import Executor, Kind, Step, call
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.scoring.score import read_evaluation
from asr_tv.scoring.stage import read_score, score, score_folder
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Record


@dataclass(frozen=True)
class System:
    """A checkpoint to be scored under a name, decoded in the context it was tuned in."""

    name: str
    checkpoint: Record
    audio_context: AudioContext


@dataclass(frozen=True)
class TestSet:
    """Recordings that every system is scored on."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    name: str
    manifest: Manifest


def score_systems(
    config: AdaptConfig, systems: Sequence[System], tests: Sequence[TestSet], execute: Executor, run: str = ""
) -> dict[tuple[str, str], Evaluation]:
    """Every system on every test set, by (system, test set).

    Args:
        run: which run of a table this is; empty for a run of its own.
    """
    pairs = [(system, test) for test in tests for system in systems]
    scored = score_pairs(config, pairs, execute, run)
    return {(s.name, t.name): evaluation for (s, t), evaluation in zip(pairs, scored, strict=True)}


def score_pairs(
    config: AdaptConfig, pairs: Sequence[tuple[System, TestSet]], execute: Executor, run: str = ""
) -> list[Evaluation]:
    """Each system on its own test set, in the order given."""
    decodings = [decoding_of(config, system.audio_context, system.checkpoint) for system, _ in pairs]
    transcriptions = execute(
        [
            call(_step(config, "transcribe", s, t, run), transcribe, s.checkpoint, t.manifest, d)
            for (s, t), d in zip(pairs, decodings, strict=True)
        ]
    )
    records = execute(
        [
            call(_step(config, "score", s, t, run), score, t.manifest, tr, s.checkpoint, d, config.scoring)
            for (s, t), tr, d in zip(pairs, transcriptions, decodings, strict=True)
        ]
    )
    return [read_score(record) for record in records]


def decoding_of(config: AdaptConfig, context: AudioContext, checkpoint: Record) -> Decoding:
    """How this machine decodes a checkpoint in a context."""
    family = family_of(checkpoint.path / MODEL)
    scoring, device = config.scoring, config.run.device
    engine = choose_engine(scoring.engine, config.training.audio_context, device)
    return decoding_for(context, config.language, scoring.max_new_tokens, device, family, engine)


def _step(config: AdaptConfig, kind: Kind, system: System, test: TestSet, run: str) -> Step:
    return Step(kind, system.name, test.name, run=run, purpose="scoring", options=config.run)


@dataclass(frozen=True)
class Curve:
    """A checkpoint plus every coefficient times a vector, on one manifest."""

    step: Step
    checkpoint: Record
    vector: Record
    pretrained: Record
    manifest: Manifest
    scaling_coefs: tuple[float, ...]


def score_curves(config: AdaptConfig, curves: Sequence[Curve], execute: Executor) -> list[dict[float, Evaluation]]:
    """Each curve's evaluations by coefficient, in the order given."""
    decodings = [decoding_of(config, config.training.audio_context, c.checkpoint) for c in curves]
    sweeps = [Sweep(c.vector, c.scaling_coefs, c.pretrained, config.pretrained_weight) for c in curves]
    transcriptions = execute(
        [
            call(c.step, transcribe, c.checkpoint, c.manifest, d, sweep)
            for c, d, sweep in zip(curves, decodings, sweeps, strict=True)
        ]
    )
    records = execute(
        [
            call(replace(c.step, kind="score"), score, c.manifest, record, c.checkpoint, d, config.scoring, sweep)
            for c, d, record, sweep in zip(curves, decodings, transcriptions, sweeps, strict=True)
        ]
    )
    return [
        {coef: read_evaluation(record.path / score_folder(coef)) for coef in curve.scaling_coefs}
        for curve, record in zip(curves, records, strict=True)
    ]
