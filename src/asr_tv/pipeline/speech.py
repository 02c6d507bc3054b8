"""Sends synthetic clips through the quality gate, and speaks anew what it rejects."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from asr_tv.config.run import AdaptConfig, GateConfig, SynthesisConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest
from asr_tv.decoding.options import decoding_for
from asr_tv.decoding.transcribe import transcribe
from asr_tv.models.family import family_of
from asr_tv.models.locate import checkpoint_stage
from asr_tv.pipeline.execution.executor import Call, Executor, Step, call
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Record
from asr_tv.synthesis.engines import voices_by_engine
from asr_tv.synthesis.gate.gate import Round, gate, sentences_to_repeat
from asr_tv.synthesis.pool import uses_device
from asr_tv.synthesis.synthesize import shard_count, shards, synthesize
from asr_tv.synthesis.voices import open_engines


@dataclass(frozen=True)
class ClipSet:
    """Texts that are spoken together: the target's, the sources', a fold's; `what` names them to people."""

    what: str
    texts: Manifest
    synthesis: SynthesisConfig


def synthesis_call(
    config: AdaptConfig, what: str, texts: Manifest, synthesis: SynthesisConfig, *, retake: int = 0, run: str = ""
) -> Call:
    """Speaking texts as this configuration of speech has it; `run` as in `Step`.

    Args:
        retake: n asks for one take of each text beyond the planned ones and n - 1 earlier retakes.
    """
    step = Step("synthesize", f"{what}{_again(retake)}", run=run, options=config.run, alone=True)
    if not retake:
        return call(step, synthesize, texts, synthesis, config.seed)
    once = synthesis.model_copy(update={"takes": 1})
    return call(step, synthesize, texts, once, config.seed, first_take=synthesis.takes + retake - 1)


def divided(given: Call, most: int) -> list[Call]:
    """A synthesis in shards, of which no more than `most` need run at once; nothing for any other call.

    A shard runs in one process, and has the device to itself if an engine uses one.
    """
    if given.stage is not synthesize:
        return []
    texts, config = given.arguments["texts"], given.arguments["config"]
    engines = open_engines(config)
    alone = any(map(uses_device, engines.values()))
    once = given.step.options.model_copy(update={"workers": 1})
    parts = shards(texts, shard_count(texts, config, engines, most))
    return [
        replace(
            given,
            step=replace(
                given.step, subject=f"{given.step.subject}, {number} of {len(parts)}", options=once, alone=alone
            ),
            arguments={**given.arguments, "texts": part},
        )
        for number, part in enumerate(parts, 1)
    ]


def gated(
    config: AdaptConfig, base: Record, sets: Sequence[ClipSet], spoken: Sequence[Record], execute: Executor
) -> list[Record]:
    """A gate's record a set, in the order given, after as many rounds as `config.gate.retries` allows.

    Args:
        base: the run's model, which judges where the configuration names no other.
        spoken: the sets' records of synthesis.
    """
    settings = config.gate
    assert settings is not None  # nosec B101 - for the type checker
    judge = base
    if settings.judge is not None:
        (judge,) = execute([call(Step("checkpoint", settings.judge), checkpoint_stage, settings.judge)])
    rounds: list[list[Round]] = [[] for _ in sets]
    results: dict[int, Record] = {}
    pending = dict(enumerate(spoken))
    for retake in range(settings.retries + 1):
        heard = execute([_judging(config, judge, sets[i], record, retake) for i, record in pending.items()])
        for (i, record), transcription in zip(pending.items(), heard, strict=True):
            rounds[i].append(Round(stored_manifest(record), transcription))
        records = execute([_gate(config, settings, judge, sets[i], rounds[i], retake) for i in pending])
        results |= zip(pending, records, strict=True)
        if retake < settings.retries:
            pending = _spoken_again(config, sets, {i: results[i] for i in pending}, retake + 1, execute)
    return list(results.values())


def _judging(config: AdaptConfig, judge: Record, clips: ClipSet, record: Record, retake: int) -> Call:
    family = family_of(judge.path / MODEL)
    decoding = decoding_for("full", config.language, config.scoring.max_new_tokens, config.run.device, family)
    step = Step("judge", f"{clips.what}{_again(retake)}", options=config.run)
    return call(step, transcribe, judge, stored_manifest(record), decoding)


def _gate(
    config: AdaptConfig, settings: GateConfig, judge: Record, clips: ClipSet, rounds: Sequence[Round], retake: int
) -> Call:
    engine = "+".join(sorted(voices_by_engine(clips.synthesis)))
    step = Step("gate", f"{clips.what}{_again(retake)}", options=config.run)
    return call(step, gate, tuple(rounds), settings, judge, engine, config.language)


def _again(retake: int) -> str:
    return f" again ({retake})" if retake else ""


def _spoken_again(
    config: AdaptConfig, sets: Sequence[ClipSet], results: dict[int, Record], retake: int, execute: Executor
) -> dict[int, Record]:
    """Set's number -> record of the retakes, for the sets that need any."""
    texts = {i: sentences_to_repeat(record, sets[i].texts) for i, record in results.items()}
    wanted = {i: t for i, t in texts.items() if len(t)}
    records = execute(
        [synthesis_call(config, sets[i].what, t, sets[i].synthesis, retake=retake) for i, t in wanted.items()]
    )
    return dict(zip(wanted, records, strict=True))


def clip_count(config: AdaptConfig, texts: Manifest) -> int:
    """How many clips the configuration's speech makes of texts, each spoken once however often it occurs."""
    return len({u.text for u in texts}) * config.synthesis.takes * config.synthesis.voices_per_take
