"""The stage that speaks texts: every sentence in every voice and take, cached clip by clip."""

import functools
import hashlib
import json
import shutil
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from asr_tv.config import SynthesisConfig
from asr_tv.corpora.local import write_manifest
from asr_tv.errors import DataError
from asr_tv.manifest import Manifest, Utterance, checked
from asr_tv.progress import Progress, silent
from asr_tv.store import Identity, Produced, Record, Store, canonical_json, write_atomically
from asr_tv.tts import SpeechRequest, Synthesizer, VoiceInfo, open_synthesizer
from asr_tv.tts.clips import CLIP_SAMPLING_RATE, Clip, ClipCache, clip_key, key_parts
from asr_tv.tts.pool import ClipJob, Spoken, speak_missing

STAGE = "synthesize"
MANIFEST = "manifest.jsonl"
VERSION = 1
MAX_SECONDS = 30.0
"""What Whisper hears at once: of a longer clip the end would be trained on without being heard."""


@dataclass(frozen=True)
class PlannedClip:
    """One clip: its id in the manifest, the text utterance it speaks, and the job that makes it."""

    id: str
    text: Utterance
    job: ClipJob


@dataclass(frozen=True)
class Drop:
    """Clips of one text that will not exist, and why; `id` is the text's."""

    id: str
    reason: str
    clips: tuple[str, ...]


def synthesize(
    texts: Manifest,
    config: SynthesisConfig,
    *,
    seed: int,
    store: Store,
    workers: int = 0,
    progress: Progress = silent,
    name: str | None = None,
    synthesizer: Synthesizer | None = None,
) -> Record:
    """Speaks every text; the record's folder holds `manifest.jsonl`, `dropped.json` and `plan.jsonl`.

    Only the words of `texts` are used: recordings it may have are neither read nor part of the record. Clips lie in
    the store's `clips/` and are spoken once, whichever manifest asks for them.

    Args:
        texts: a sentence that a domain repeats is spoken once, under its first id.
        workers: at most so many processes, fewer for few clips; 0: one a core.
        name: what the progress line calls these texts; the manifest's name when not given.
        synthesizer: an engine already open, in place of `config.engine` and `config.voices`; must be picklable
            where several processes speak.

    Raises:
        ConfigError: the engine or a voice cannot be had.
        DataError: no text, two clips of one id, or nothing left once the unspeakable texts are dropped.
    """
    spoken = texts_alone(texts)
    engine = synthesizer or open_synthesizer(config)
    reopen = functools.partial(_itself, synthesizer) if synthesizer else functools.partial(open_synthesizer, config)
    drops = _unspeakable(spoken, config, engine.voices)
    refused = {drop.id for drop in drops}
    plan = _plan([text for text in spoken if text.id not in refused], engine, config.takes, seed)

    def produce(folder: Path) -> Produced:
        _empty(folder)
        write_atomically(folder / "plan.jsonl", _json_lines(_plan_row(clip) for clip in plan))
        jobs = tuple({clip.job.key: clip.job for clip in plan}.values())
        label = f"synthesize {name or texts.name}"
        cache = ClipCache(store.root / "clips")
        result = speak_missing(jobs, engine, reopen, cache, workers=workers, progress=progress, label=label)
        details = _write_payload(folder, spoken.name, plan, result, drops)
        return Produced((spoken.ref(),), {**details, "repeated_texts": len(texts) - len(spoken)})

    identity = _identity(spoken, config, engine, seed)
    if (found := store.find(identity)) is not None and not _clips_are_there(found.path / MANIFEST):
        shutil.rmtree(found.path)
    return store.build(identity, produce)


def _clips_are_there(manifest: Path) -> bool:
    """Clips lie outside the record's folder, where they can get lost without it."""
    clips = (json.loads(line)["audio"] for line in manifest.read_text(encoding="utf-8").splitlines())
    return all((manifest.parent / clip).is_file() for clip in clips)


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


def _itself(synthesizer: Synthesizer) -> Synthesizer:
    return synthesizer


def _identity(spoken: Manifest, config: SynthesisConfig, engine: Synthesizer, seed: int) -> Identity:
    parameters = {
        **config.model_dump(mode="json", exclude={"voices"}),
        "engine": engine.name,
        "voices": {voice.label: voice.version for voice in engine.voices},
        "sampling_rate": CLIP_SAMPLING_RATE,
        "max_seconds": MAX_SECONDS,
    }
    return Identity(STAGE, VERSION, parameters, {"texts": spoken.digest}, seed)


def _clip_id(text: str, voice: str, take: int) -> str:
    """Percent-encoded, so that it can name a file and differs where the parts differ."""
    return f"{quote(text, safe='')}_{quote(voice, safe='')}_t{take}"


def _unspeakable(spoken: Manifest, config: SynthesisConfig, voices: Sequence[VoiceInfo]) -> list[Drop]:
    drops = []
    for text in spoken:
        if reason := _refusal(text.text, config.max_words):
            ids = tuple(_clip_id(text.id, voice.label, take) for voice in voices for take in range(config.takes))
            drops.append(Drop(text.id, reason, ids))
    return drops


def _refusal(text: str, max_words: int) -> str | None:
    if not any(unicodedata.category(character)[0] in "LN" for character in text):
        return "no letter or digit to speak"
    words = len(text.split())
    return f"{words} words; synthesis.max_words is {max_words}" if words > max_words else None


def _plan(texts: Iterable[Utterance], engine: Synthesizer, takes: int, seed: int) -> tuple[PlannedClip, ...]:
    voices = sorted(engine.voices, key=lambda voice: voice.label)
    clips = [_planned(text, voice, take, engine, seed) for text in texts for voice in voices for take in range(takes)]
    # Two ids can only meet where one contains a voice's label; the check says so rather than lose a clip.
    checked(Manifest("clips to speak", tuple(replace(clip.text, id=clip.id) for clip in clips)))
    return tuple(clips)


def _planned(text: Utterance, voice: VoiceInfo, take: int, engine: Synthesizer, seed: int) -> PlannedClip:
    drawn = _clip_seed(text.text, voice.label, take, seed)
    request = SpeechRequest(text.text, voice.label, take, drawn, engine.settings(drawn))
    parts = key_parts(request, engine.name, voice.version, seed)
    job = ClipJob(clip_key(parts), parts, request, voice.sampling_rate)
    return PlannedClip(_clip_id(text.id, voice.label, take), text, job)


def _clip_seed(text: str, voice: str, take: int, seed: int) -> int:
    digest = hashlib.sha256(canonical_json([seed, text, voice, take]).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _plan_row(clip: PlannedClip) -> dict[str, Any]:
    request = clip.job.request
    row = {"id": clip.id, "text_id": clip.text.id, "text": request.text, "voice": request.voice, "take": request.take}
    return {**row, "seed": request.seed, "settings": dict(request.settings), "clip": clip.job.key}


def _json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)


def _write_payload(
    folder: Path, name: str, plan: Sequence[PlannedClip], result: Spoken, refused: Sequence[Drop]
) -> dict[str, Any]:
    """Writes the manifest and the drops; returns the counts for the record."""
    reasons = {clip.id: reason for clip in plan if (reason := _loss(clip, result)) is not None}
    drops = sorted([*refused, *_grouped(plan, reasons)], key=lambda drop: (drop.id, drop.reason))
    kept = [_utterance(clip, result.clips[clip.job.key]) for clip in plan if clip.id not in reasons]
    if not kept:
        raise DataError([f"{name}: id {drop.id!r} is not spoken: {drop.reason}" for drop in drops])
    manifest = Manifest(name, tuple(kept))
    write_manifest(manifest, folder / MANIFEST)
    rows = [vars(drop) for drop in drops]
    write_atomically(folder / "dropped.json", json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
    return {**_counts(manifest, drops), **_costs(result)}


def _loss(clip: PlannedClip, result: Spoken) -> str | None:
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
        speaker=clip.job.request.voice,
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


def _costs(result: Spoken) -> dict[str, Any]:
    """Distinct clips spoken and reused; `real_time_factor` is wall seconds a second of audio spoken now."""
    audio = sum(result.clips[key].duration for key in result.executed)
    return {
        "executed_clips": len(result.executed),
        "reused_clips": len(result.clips) - len(result.executed),
        "real_time_factor": round(result.seconds / audio, 4) if audio else None,
    }
