"""Transcribes and scores checkpoints: the folds' recipes on dev recordings, the systems on the test recordings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from asr_tv.config.run import AdaptConfig, AudioContext
from asr_tv.data.manifest import Manifest
from asr_tv.decoding.hypotheses import score_folder
from asr_tv.decoding.options import Decoding, choose_engine, decoding_for
from asr_tv.decoding.transcribe import Sweep, transcribe
from asr_tv.models.family import family_of
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.scoring.score import read_evaluation
from asr_tv.scoring.stage import read_score, score
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Record


@dataclass(frozen=True)
class System:
    """A checkpoint to be scored under a name; in Whisper's 30 s, as other programs decode it, where nothing is said."""

    name: str
    checkpoint: Record
    audio_context: AudioContext = "full"


@dataclass(frozen=True)
class TestSet:
    """Recordings that every system is scored on."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    name: str
    manifest: Manifest


def score_systems(
    config: AdaptConfig, systems: Sequence[System], tests: Sequence[TestSet], execute: Executor, run: str = ""
) -> dict[tuple[str, str], Evaluation]:
    """Every system on every test set, by (system, test set); `run` as in `Step`."""
    pairs = [(system, test) for test in tests for system in systems]
    scored = score_pairs(config, pairs, execute, run)
    return {(s.name, t.name): evaluation for (s, t), evaluation in zip(pairs, scored, strict=True)}


def score_pairs(
    config: AdaptConfig, pairs: Sequence[tuple[System, TestSet]], execute: Executor, run: str = ""
) -> list[Evaluation]:
    """Each system on its own test set, in the order given."""
    readings: list[Hearing] = []
    for system, test in pairs:
        step = Step("transcribe", system.name, test.name, run=run, purpose="scoring", options=config.run)
        decoding = decoding_of(config, system.audio_context, system.checkpoint)
        readings.append((step, system.checkpoint, test.manifest, decoding, None))
    return [read_score(record) for record in _scored(config, readings, execute)]


def decoding_of(config: AdaptConfig, context: AudioContext, checkpoint: Record) -> Decoding:
    """How this machine decodes a checkpoint in a context."""
    family = family_of(checkpoint.path / MODEL)
    scoring, device = config.scoring, config.run.device
    engine = choose_engine(scoring.engine, "full", device)  # one for all rows: scores of two do not compare
    beams = 1 if family == "ctc" else scoring.beams
    return decoding_for(context, config.language, scoring.max_new_tokens, device, family, engine, beams)


Hearing = tuple[Step, Record, Manifest, Decoding, Sweep | None]
"""What a step transcribes: a checkpoint, with the points of a curve or as it is, on recordings."""


def score_hearings(config: AdaptConfig, hearings: Sequence[Hearing], execute: Executor) -> list[Evaluation]:
    """Each hearing's evaluation, in the order given; of a curve, that of its first coefficient."""
    records = _scored(config, hearings, execute)
    coefs = [sweep.scaling_coefs[0] if sweep else None for *_, sweep in hearings]
    return [read_evaluation(r.path / score_folder(coef)) for r, coef in zip(records, coefs, strict=True)]


def _scored(config: AdaptConfig, readings: Sequence[Hearing], execute: Executor) -> list[Record]:
    heard = execute([call(step, transcribe, model, clips, how, sweep) for step, model, clips, how, sweep in readings])
    return execute(
        [
            call(replace(step, kind="score"), score, clips, record, model, how, config.scoring, sweep)
            for (step, model, clips, how, sweep), record in zip(readings, heard, strict=True)
        ]
    )


@dataclass(frozen=True)
class Curve:
    """A checkpoint plus every coefficient times a vector, averaged with the pretrained one, on one manifest."""

    step: Step
    checkpoint: Record
    vector: Record | None
    pretrained: Record
    manifest: Manifest
    scaling_coefs: tuple[float, ...]
    pretrained_weight: float = 0.0


def score_curves(config: AdaptConfig, curves: Sequence[Curve], execute: Executor) -> list[dict[float, Evaluation]]:
    """Each curve's evaluations by coefficient, in the order given."""
    readings: list[Hearing] = []
    for c in curves:
        sweep = Sweep(c.vector, c.scaling_coefs, c.pretrained, c.pretrained_weight)
        decoding = decoding_of(config, "full", c.checkpoint)
        readings.append((c.step, c.checkpoint, c.manifest, decoding, sweep))
    return [
        {coef: read_evaluation(record.path / score_folder(coef)) for coef in curve.scaling_coefs}
        for curve, record in zip(curves, _scored(config, readings, execute), strict=True)
    ]
