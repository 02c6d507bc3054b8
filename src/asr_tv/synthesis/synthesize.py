"""The stage that speaks texts: every sentence in every voice and take, cached clip by clip."""

import functools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asr_tv.config.run import SynthesisConfig
from asr_tv.data.corpora.local import write_manifest
from asr_tv.data.manifest import Manifest, Utterance, checked
from asr_tv.errors import DataError
from asr_tv.store.payload import MANIFEST
from asr_tv.store.results import Identity, Produced, Record, Store, throw_away, write_atomically
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.clips import CLIP_SAMPLING_RATE, Clip, ClipCache
from asr_tv.synthesis.engines import Synthesizer
from asr_tv.synthesis.plan import Drop, PlannedClip, SpeechPlan, plan_speech
from asr_tv.synthesis.pool import PoolResult, speak_missing
from asr_tv.synthesis.voices import Cast, open_cast
from asr_tv.text import spoken_form as spoken

STAGE = "synthesize"
PLAN = "plan.jsonl"
VERSION = 1
MAX_SECONDS = 30.0
"""What Whisper hears at once: of a longer clip the end would be trained on without being heard."""


_ENGINE_SECTIONS = ("espeak", "bark", "speecht5")
"""Of the configuration; each enters the key where its engine speaks. Piper's ranges stand in `synthesis` itself."""
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

    Only the words of `texts` are used: recordings it may have are neither read nor part of the record. Clips lie in
    the store's `clips/` and are spoken once, whichever manifest asks for them.

    Args:
        texts: a sentence that a domain repeats is spoken once, under its first id.
        synthesizer: an engine already open, in place of `config.engine` and `config.voices`; must be picklable
            where several processes speak.
        first_take: number of the first take; beyond the planned ones, texts are spoken anew.

    Raises:
        ConfigError: the engine or a voice cannot be had.
        DataError: no text, two clips of one id, nothing left once the unspeakable texts are dropped, or clips that
            the machine's memory does not suffice for; whatever was spoken is kept.
    """
    alone = texts_alone(texts)
    cast = Cast([synthesizer]) if synthesizer else open_cast(config)
    reopen = functools.partial(_itself, cast) if synthesizer else functools.partial(open_cast, config)
    plan = plan_speech(alone, cast, config, seed, first_take)

    def produce(folder: Path) -> Produced:
        _empty(folder)
        write_atomically(folder / PLAN, plan.rows)
        label = runtime.label or f"{STAGE} {texts.name}"
        cache = ClipCache(runtime.store)
        result = speak_missing(
            plan.jobs, cast, reopen, cache, workers=runtime.workers, progress=runtime.progress, label=label
        )
        _require_finished(plan, result, alone.name)
        details = _write_payload(folder, alone.name, plan, result)
        return Produced((alone.ref(),), {**details, "repeated_texts": len(texts) - len(alone)})

    identity = _identity(alone, config, cast, plan, seed, first_take)
    store = runtime.store
    if (found := store.find(identity)) is not None and not _clips_are_there(found.path / MANIFEST, store):
        throw_away(store.root, found.path)
    return store.build(identity, produce)


def _clips_are_there(manifest: Path, store: Store) -> bool:
    """Clips lie outside the record's folder, where they can get lost or damaged without it."""
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    clips = {Path(os.path.normpath(manifest.parent / row["audio"])): str(row["audio_digest"]) for row in rows}
    if store.mirror is not None:
        for clip in clips:
            _ = clip.is_file() or store.mirror.fetch(clip)
    return store.intact(manifest.parent, clips)


def shards(texts: Manifest, count: int) -> list[Manifest]:
    """The texts dealt out to at most `count` manifests, for machines that speak into one clip cache.

    A clip does not depend on the manifest that asks for it, so the whole finds every clip of its shards.
    """
    alone = texts_alone(texts).utterances
    dealt = [alone[number::count] for number in range(count)]
    return [Manifest(f"{texts.name}, shard {number} of {count}", part) for number, part in enumerate(dealt, 1) if part]


def texts_alone(texts: Manifest) -> Manifest:
    """The texts without their recordings, origin "text", each sentence once a domain, in the order of their ids.

    Sentences that differ in white space only are one; the first in the manifest keeps its id and its writing.

    Raises:
        DataError: no text at all, or an id that stands twice.
    """
    if not texts.utterances:
        raise DataError(f"{texts.name}: no text to speak")
    first: dict[tuple[str, str], Utterance] = {}
    for text in checked(texts):
        words = replace(text, origin="text", audio=None, audio_digest=None, duration=None, speaker=None)
        first.setdefault((text.domain, " ".join(text.text.split())), words)
    return Manifest(texts.name, tuple(sorted(first.values(), key=lambda text: text.id)))


def _empty(folder: Path) -> None:
    """A killed call may leave a half-written file, which would count as payload; its clips are elsewhere."""
    for path in folder.iterdir():
        path.unlink()


def _itself(cast: Cast) -> Cast:
    return cast


def _identity(
    alone: Manifest, config: SynthesisConfig, cast: Cast, plan: SpeechPlan, seed: int, first_take: int
) -> Identity:
    optional = {"language", "voices_per_text"}
    parameters = {
        **config.model_dump(mode="json", exclude={"voices", "spoken_form", *optional, *_ENGINE_SECTIONS}),
        **config.model_dump(mode="json", include=optional, exclude_defaults=True),
        **{name: _of_numbers(config, name) for name in _ENGINE_SECTIONS if name in cast.engines},
        **({"spoken_version": spoken.VERSION} if plan.rewritten else {}),
        **({"first_take": first_take} if first_take else {}),
        "engine": cast.name,
        "voices": {speaker.label: speaker.voice.version for speaker in cast.speakers},
        "sampling_rate": CLIP_SAMPLING_RATE,
        "max_seconds": MAX_SECONDS,
        **({"first_take": first_take} if first_take else {}),
    }
    return Identity(STAGE, VERSION, parameters, {"texts": alone.digest}, seed)


def _of_numbers(config: SynthesisConfig, name: str) -> dict[str, Any]:
    """An engine's section without what only says how to run."""
    section = getattr(config, name)
    how_to_run = set(getattr(section, "HOW_TO_RUN", ()))
    return dict(section.model_dump(mode="json", exclude=how_to_run))


def _require_finished(plan: SpeechPlan, result: PoolResult, name: str) -> None:
    """A clip that only memory stood in the way of must not be missing from a finished record."""
    lost = [(clip, result.unfinished[clip.job.key]) for clip in plan.clips if clip.job.key in result.unfinished]
    if lost:
        named = [
            f"{name}: id {clip.text.id!r}, voice {clip.speaker}: {reason}" for clip, reason in lost[:_NAMED_LOSSES]
        ]
        rest = [f"{name}: {len(lost) - _NAMED_LOSSES} more clips"] if len(lost) > _NAMED_LOSSES else []
        advice = f"{name}: {len(result.clips)} clips are finished and kept; run again with more memory free, or with "
        raise DataError([*named, *rest, advice + "a smaller synthesis.max_words"])


def _write_payload(folder: Path, name: str, plan: SpeechPlan, result: PoolResult) -> dict[str, Any]:
    """Writes the manifest and the drops; returns the counts for the record."""
    reasons = {clip.id: reason for clip in plan.clips if (reason := _loss(clip, result)) is not None}
    drops = sorted([*plan.drops, *_grouped(plan.clips, reasons)], key=lambda drop: (drop.id, drop.reason))
    kept = [_utterance(clip, result.clips[clip.job.key]) for clip in plan.clips if clip.id not in reasons]
    if not kept:
        raise DataError([f"{name}: id {drop.id!r} is not spoken: {drop.reason}" for drop in drops])
    manifest = Manifest(name, tuple(kept))
    write_manifest(manifest, folder / MANIFEST)
    rows = [vars(drop) for drop in drops]
    write_atomically(folder / "dropped.json", json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
    return {**_counts(manifest, drops), **_costs(result)}


def _loss(clip: PlannedClip, result: PoolResult) -> str | None:
    """Why the clip is not in the manifest, or None when it is."""
    key = clip.job.key
    if key not in result.clips:
        return result.failures[key]
    long = result.clips[key].duration > MAX_SECONDS
    return f"more than {MAX_SECONDS:.0f} s of speech, which is what Whisper hears at once" if long else None


def _grouped(plan: Sequence[PlannedClip], reasons: Mapping[str, str]) -> list[Drop]:
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


def _counts(manifest: Manifest, drops: Sequence[Drop]) -> dict[str, Any]:
    return {
        "clips": len(manifest),
        "audio_seconds": round(manifest.seconds, 3),
        "dropped_texts": len({drop.id for drop in drops}),
        "dropped_clips": sum(len(drop.clips) for drop in drops),
    }


def _costs(result: PoolResult) -> dict[str, Any]:
    """Distinct clips spoken and reused; `real_time_factor` is wall seconds a second of audio spoken now."""
    audio = sum(result.clips[key].duration for key in result.executed)
    return {
        "executed_clips": len(result.executed),
        "reused_clips": len(result.clips) - len(result.executed),
        "real_time_factor": round(result.seconds / audio, 4) if audio else None,
    }
