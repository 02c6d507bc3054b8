"""The stage that speaks texts: every sentence in every voice and take, cached clip by clip."""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asr_tv.config.run import SynthesisConfig
from asr_tv.config.section import Section
from asr_tv.data.corpora.local import write_manifest
from asr_tv.data.manifest import Manifest, Utterance, checked
from asr_tv.errors import DataError
from asr_tv.store.payload import DROPPED, MANIFEST
from asr_tv.store.results import Identity, Produced, Record, throw_away, write_atomically
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.clips import CLIP_SAMPLING_RATE, SHAPING, Clip, ClipCache, clips_intact
from asr_tv.synthesis.draw import DRAW_VERSION
from asr_tv.synthesis.engines import Synthesizer, engine_section
from asr_tv.synthesis.engines.licences import licence_of
from asr_tv.synthesis.plan import Drop, PlannedClip, SpeechPlan, plan_speech
from asr_tv.synthesis.pool import CLIPS_WORTH_A_PROCESS, PoolResult, speak_missing, uses_device
from asr_tv.synthesis.voices import Engines, open_engines, speakers_of
from asr_tv.text import spoken_form as spoken

STAGE = "synthesize"
PLAN = "plan.jsonl"
VERSION = 1
MAX_SECONDS = 30.0
"""Whisper's input window: the end of a longer clip would be trained on without being heard."""
_NAMED_LOSSES = 5


def synthesize(
    runtime: Runtime,
    texts: Manifest,
    config: SynthesisConfig,
    seed: int,
    synthesizer: Synthesizer | None = None,
    first_take: int = 0,
) -> Record:
    """Speaks every text; the record's folder holds `manifest.jsonl`, `dropped.json` and `plan.jsonl`.

    Only the texts are used: recordings in `texts` are neither read nor part of the record. Clips are kept in the
    store's clip cache and spoken once, whichever manifest asks for them.

    Args:
        texts: a sentence that a domain repeats is spoken once, under its first id.
        synthesizer: an open engine to use instead of `config.engine` and `config.voices`; must be picklable if
            several processes speak.
        first_take: index of the first of `config.takes` takes; higher ones are new readings of the same texts.

    Raises:
        ConfigError: an engine or voice is not found.
        DataError: no text, two clips with the same id, no clip left after dropping unspeakable texts, or too little
            memory for some clips; finished clips are kept.
    """
    alone = texts_alone(texts)
    engines = {synthesizer.name: synthesizer} if synthesizer else open_engines(config)
    reopen = functools.partial(dict, engines) if synthesizer else functools.partial(open_engines, config)
    plan = plan_speech(alone, engines, config, seed, first_take)

    def produce(folder: Path) -> Produced:
        for path in folder.iterdir():  # left by a killed call, and would count as payload; finished clips lie elsewhere
            path.unlink()
        write_atomically(folder / PLAN, plan.rows)
        label = runtime.label or f"{STAGE} {texts.name}"
        cache = ClipCache(runtime.store)
        result = speak_missing(
            plan.jobs, engines, reopen, cache, workers=runtime.workers, progress=runtime.progress, label=label
        )
        _require_finished(plan, result, alone.name)
        details = _write_payload(folder, alone.name, plan, result)
        licences = {s.label: licence_of(s.engine, s.voice) for s in speakers_of(engines)}
        return Produced(
            (alone.ref(),), {**details, "repeated_texts": len(texts) - len(alone), "voice_licences": licences}
        )

    identity = _identity(alone, config, engines, plan, seed, first_take)
    store = runtime.store
    if (found := store.find(identity)) is not None and not clips_intact(found.path / MANIFEST, store):
        throw_away(store.root, found.path)
    return store.build(identity, produce)


def shards(texts: Manifest, count: int) -> list[Manifest]:
    """The texts distributed over at most `count` manifests, for machines that share one clip cache.

    A clip does not depend on the manifest that asks for it, so synthesis of the whole finds the clips of all shards.
    """
    alone = texts_alone(texts).utterances
    dealt = [alone[number::count] for number in range(count)]
    return [Manifest(f"{texts.name}, shard {number} of {count}", part) for number, part in enumerate(dealt, 1) if part]


def shard_count(texts: Manifest, config: SynthesisConfig, engines: Engines, most: int) -> int:
    """How many shards keep `most` cores busy, of a minute each or less, and each worth the start of a process.

    In a minute a core speaks about twenty times the clips that are worth a process (see `CLIPS_WORTH_A_PROCESS`); an
    engine that uses the device takes seconds for each.
    """
    batched = any(map(uses_device, engines.values()))
    worth = 1 if batched else min(getattr(e, "clips_worth_a_process", CLIPS_WORTH_A_PROCESS) for e in engines.values())
    clips = len(texts) * config.takes * max(1, config.voices_per_take)
    return max(1, min(math.ceil(clips / worth), max(most, math.ceil(clips / (20 * worth)))))


def texts_alone(texts: Manifest) -> Manifest:
    """The texts without their recordings, origin "text", each sentence once per domain, sorted by id.

    Sentences that differ only in white space count as one; the first in the manifest keeps its id and spelling.

    Raises:
        DataError: no text, or two with the same id.
    """
    if not texts.utterances:
        raise DataError(f"{texts.name}: no text to speak")
    first: dict[tuple[str, str], Utterance] = {}
    for text in checked(texts):
        words = replace(text, origin="text", audio=None, audio_digest=None, duration=None, speaker=None)
        first.setdefault((text.domain, " ".join(text.text.split())), words)
    return Manifest(texts.name, tuple(sorted(first.values(), key=lambda text: text.id)))


def _identity(
    alone: Manifest, config: SynthesisConfig, engines: Engines, plan: SpeechPlan, seed: int, first_take: int
) -> Identity:
    optional = {"language", "voices_per_text", *SHAPING}
    unspoken = {"voices", "spoken_form", "allow_noncommercial", "match"}
    sections = {name for name, value in config if isinstance(value, Section)}
    parameters = {
        **config.model_dump(mode="json", exclude=unspoken | optional | sections),
        **config.model_dump(mode="json", include=optional, exclude_defaults=True),
        **{name: _key_parameters(section) for name in engines if (section := engine_section(config, name))},
        **({"spoken_version": spoken.VERSION} if plan.rewritten else {}),
        **({"first_take": first_take} if first_take else {}),
        **({"draw": DRAW_VERSION} if config.voices_per_take < len(speakers_of(engines)) else {}),
        "engine": "+".join(sorted(engines)),
        "voices": {speaker.label: speaker.voice.version for speaker in speakers_of(engines)},
        "sampling_rate": CLIP_SAMPLING_RATE,
        "max_seconds": MAX_SECONDS,
    }
    return Identity(STAGE, VERSION, parameters, {"texts": alone.digest}, seed)


def _key_parameters(section: Section) -> dict[str, Any]:
    """An engine's section without the settings that do not change what is spoken."""
    return section.model_dump(mode="json", exclude=set(getattr(section, "HOW_TO_RUN", ())))


def _require_finished(plan: SpeechPlan, result: PoolResult, name: str) -> None:
    """Raises DataError if memory ran out on some clips: a finished record must not lack them."""
    lost = [clip for clip in plan.clips if clip.job.key in result.unfinished]
    if lost:
        named = [
            f"{name}: id {clip.text.id!r}, voice {clip.speaker}: {result.unfinished[clip.job.key]}"
            for clip in lost[:_NAMED_LOSSES]
        ]
        rest = [f"{name}: {len(lost) - _NAMED_LOSSES} more clips"] if len(lost) > _NAMED_LOSSES else []
        advice = f"{name}: {len(result.clips)} clips are finished and kept; run again with more memory free, or with "
        raise DataError([*named, *rest, advice + "a smaller synthesis.max_words"])


def _write_payload(folder: Path, name: str, plan: SpeechPlan, result: PoolResult) -> dict[str, Any]:
    reasons = {clip.id: reason for clip in plan.clips if (reason := _drop_reason(clip, result)) is not None}
    drops = sorted([*plan.drops, *_drops(plan.clips, reasons)], key=lambda drop: (drop.id, drop.reason))
    kept = [_utterance(clip, result.clips[clip.job.key]) for clip in plan.clips if clip.id not in reasons]
    if not kept:
        raise DataError([f"{name}: id {drop.id!r} is not spoken: {drop.reason}" for drop in drops])
    manifest = Manifest(name, tuple(kept))
    write_manifest(manifest, folder / MANIFEST)
    rows = [vars(drop) for drop in drops]
    write_atomically(folder / DROPPED, json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
    audio = sum(result.clips[key].duration for key in result.executed)
    return {
        "clips": len(manifest),
        "audio_seconds": round(manifest.seconds, 3),
        "dropped_texts": len({drop.id for drop in drops}),
        "dropped_clips": sum(len(drop.clips) for drop in drops),
        "executed_clips": len(result.executed),
        "reused_clips": len(result.clips) - len(result.executed),
        # Of this call alone: wall seconds per second of audio.
        "real_time_factor": round(result.seconds / audio, 4) if audio else None,
    }


def _drop_reason(clip: PlannedClip, result: PoolResult) -> str | None:
    key = clip.job.key
    if key not in result.clips:
        return result.failures[key]
    long = result.clips[key].duration > MAX_SECONDS
    return f"more than {MAX_SECONDS:.0f} s of speech, which is what Whisper hears at once" if long else None


def _drops(plan: Sequence[PlannedClip], reasons: Mapping[str, str]) -> list[Drop]:
    groups: dict[tuple[str, str], list[str]] = {}
    for clip in plan:
        if clip.id in reasons:
            groups.setdefault((clip.text.id, reasons[clip.id]), []).append(clip.id)
    return [Drop(text_id, reason, tuple(clips)) for (text_id, reason), clips in groups.items()]


def _utterance(clip: PlannedClip, spoken: Clip) -> Utterance:
    return replace(
        clip.text,
        id=clip.id,
        origin="synthetic",
        audio=str(spoken.path),
        speaker=clip.speaker,
        duration=spoken.duration,
        audio_digest=spoken.digest,
    )
