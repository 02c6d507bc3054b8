"""The stage between synthesis and training that removes corrupted labels, and cuts silence off the ends of clips."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from asr_tv.audio.recordings import Wave, read_audio, write_audio
from asr_tv.audio.vad import SAMPLING_RATE, Span, SpeechDetector
from asr_tv.config.run import GateConfig
from asr_tv.data.corpora.local import write_manifest
from asr_tv.data.manifest import Manifest, Utterance, checked
from asr_tv.decoding.hypotheses import hypotheses_file
from asr_tv.errors import DataError
from asr_tv.models.vocabulary import vocabulary_size, whisper_tokenizer
from asr_tv.store.results import Identity, Produced, Record, file_digest, write_atomically
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.gate.clip_yield import clip_yield
from asr_tv.synthesis.gate.consensus import ClipMeasure, Verdict, chosen_clips, judge_clips
from asr_tv.text.normalize import get_normalizer
from asr_tv.text.rare_words import is_known

STAGE, VERSION = "gate", 1
MANIFEST, VERDICTS, DROPPED, AGAIN = "manifest.jsonl", "verdicts.jsonl", "dropped.json", "again.json"
_MARGIN = 0.1
"""Seconds kept before and after the speech where an end is trimmed."""
_FLAT = 3
"""Equal neighbours at the peak that make a flat top."""


@dataclass(frozen=True)
class Round:
    """Clips of one round of synthesis, and what the judge heard in them."""

    clips: Manifest
    heard: Record


@dataclass(frozen=True)
class _Measured:
    measure: ClipMeasure
    trim: Span | None


def gate(
    runtime: Runtime,
    rounds: Sequence[Round],
    config: GateConfig,
    judge: Record,
    engine: str,
    language: str = "en",
) -> Record:
    """The stage: `manifest.jsonl` of the clips to train on, `verdicts.jsonl` on each clip, `dropped.json`.

    `again.json` lists the sentences that another take would help: those with a rejected or a doubtful clip.

    Args:
        rounds: the planned clips, then those of each retry, whose ids differ.
        judge: the checkpoint that listened.
        engine: names the synthesiser in the yield.

    Raises:
        ConfigError: the speech detector is missing.
        DataError: a clip was not heard by the judge, or no clip is left.
    """
    clips = checked(Manifest(rounds[0].clips.name, tuple(u for r in rounds for u in r.clips)))
    detector = SpeechDetector()
    normalizer = get_normalizer("english" if language == "en" else "basic")
    parameters = config.model_dump(mode="json", exclude={"judge", "retries", "ablation"}) | {
        "normalizer": [normalizer.name, normalizer.version],
        "detector": detector.version,
        "engine": engine,
        "language": language,
    }
    inputs = {"judge": judge.digest}
    for number, one in enumerate(rounds):
        inputs |= {f"clips {number}": one.clips.digest, f"heard {number}": one.heard.digest}

    def produce(folder: Path) -> Produced:
        heard = {name: text for r in rounds for name, text in _hypotheses(r).items()}
        measured: dict[str, _Measured] = {}
        with runtime.progress(runtime.label or STAGE, len(clips), "clips") as advance:
            for clip in clips:
                measured[clip.id] = _measured(clip, normalizer, heard[clip.id], detector, config)
                advance()
        verdicts = {v.id: v for v in judge_clips([m.measure for m in measured.values()], config)}
        planned = frozenset(u.id for u in rounds[0].clips)
        known = is_known(whisper_tokenizer(vocabulary_size(language)))
        details = _write(folder, clips, planned, measured, verdicts)
        rows = clip_yield([(u, verdicts[u.id], u.id in planned) for u in clips], engine, known)
        return Produced((clips.ref(),), {**details, "judge": judge.details.get("source"), **rows})

    return runtime.store.build(Identity(STAGE, VERSION, parameters, inputs), produce)


def _hypotheses(one: Round) -> dict[str, str]:
    text = (one.heard.path / hypotheses_file()).read_text(encoding="utf-8")
    heard = {row["id"]: row["text"] for row in map(json.loads, text.splitlines())}
    if missing := [u.id for u in one.clips if u.id not in heard]:
        raise DataError(f"{name}: the judge heard nothing of it" for name in missing)
    return heard


def _measured(
    clip: Utterance, normalizer: Any, hypothesis: str, detector: SpeechDetector, config: GateConfig
) -> _Measured:
    wave = read_audio(Path(clip.audio or ""), sampling_rate=SAMPLING_RATE, utterance=clip.id)
    spans = detector.spans(wave)
    seconds = wave.size / SAMPLING_RATE
    trim = _trim(spans, seconds, config.edge_seconds)
    measure = ClipMeasure(
        id=clip.id,
        sentence=f"{clip.domain}\n{' '.join(clip.text.split())}",
        voice=clip.speaker or "",
        reference=normalizer(clip.text),
        hypothesis=normalizer(hypothesis),
        seconds=trim[1] - trim[0] if trim else seconds,
        speech_seconds=sum(end - start for start, end in spans),
        clipped=clipped_share(wave),
    )
    return _Measured(measure, trim)


def clipped_share(wave: Wave) -> float:
    """Share of the samples that lie in runs of equal ones at the largest value: flat tops, at whatever level."""
    peak = float(np.abs(wave).max(initial=0.0))
    if not peak:
        return 0.0
    share = 0
    for side in (wave, -wave):
        high = side >= peak * (1 - 1e-3)
        edges = np.flatnonzero(np.diff(np.concatenate(([0], high.astype(np.int8), [0]))))
        lengths = edges[1::2] - edges[::2]
        share += int(lengths[lengths >= _FLAT].sum())
    return share / wave.size


def _trim(spans: Sequence[Span], seconds: float, longest: float) -> Span | None:
    """Where to cut, or None when neither end is silent for longer than `longest`."""
    if not spans:
        return None
    start, end = spans[0][0], spans[-1][1]
    cut_start = max(start - _MARGIN, 0.0) if start > longest else 0.0
    cut_end = min(end + _MARGIN, seconds) if seconds - end > longest else seconds
    return (cut_start, cut_end) if (cut_start, cut_end) != (0.0, seconds) else None


def _write(
    folder: Path,
    clips: Manifest,
    planned: frozenset[str],
    measured: Mapping[str, _Measured],
    verdicts: Mapping[str, Verdict],
) -> dict[str, Any]:
    """Writes the payload; returns counts."""
    sentences = {name: m.measure.sentence for name, m in measured.items()}
    chosen = set(chosen_clips(verdicts, sentences, planned, [u.id for u in clips]))
    if not chosen:
        raise DataError(f"{clips.name}: the quality gate leaves no clip: {_reasons(verdicts.values())}")
    kept = [_trimmed(u, measured[u.id].trim, folder) for u in clips if u.id in chosen]
    write_manifest(Manifest(clips.name, tuple(kept)), folder / MANIFEST)
    write_atomically(folder / VERDICTS, "".join(_row(u, measured[u.id], verdicts[u.id], chosen) for u in clips))
    dropped = [{"id": v.id, "reason": f"gate: {', '.join(v.reasons)}"} for v in verdicts.values() if not v.kept]
    write_atomically(folder / DROPPED, json.dumps(dropped, ensure_ascii=False, indent=1) + "\n")
    again = sorted({sentences[v.id] for v in verdicts.values() if not v.kept or v.doubtful})
    write_atomically(folder / AGAIN, json.dumps(again, ensure_ascii=False, indent=1) + "\n")
    lost = {sentences[name] for name in planned} - {sentences[name] for name in chosen}
    return {
        "clips": len(kept),
        "trimmed": sum(measured[u.id].trim is not None for u in kept),
        "lost_texts": sorted(sentence.partition("\n")[2] for sentence in lost),
    }


def _reasons(verdicts: Any) -> str:
    return ", ".join(sorted({reason for v in verdicts for reason in v.reasons}))


def _row(clip: Utterance, measured: _Measured, verdict: Verdict, chosen: set[str]) -> str:
    measure = measured.measure
    row = {
        **asdict(verdict),
        "kept": verdict.kept,
        "chosen": clip.id in chosen,
        "text": clip.text,
        "voice": measure.voice,
        "heard": measure.hypothesis,
        "speech_seconds": measure.speech_seconds,
        "clipped": measure.clipped,
        "trim": measured.trim,
    }
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
    return json.dumps(rounded, ensure_ascii=False, sort_keys=True) + "\n"


def _trimmed(clip: Utterance, trim: Span | None, folder: Path) -> Utterance:
    """The clip itself, or its copy in `folder` without the silence at its ends."""
    if trim is None:
        return clip
    wave = read_audio(Path(clip.audio or ""), sampling_rate=SAMPLING_RATE, utterance=clip.id)
    start, end = (round(second * SAMPLING_RATE) for second in trim)
    path = folder / "audio" / f"{clip.audio_digest or file_digest(Path(clip.audio or ''))}.flac"
    write_audio(path, wave[start:end], SAMPLING_RATE)
    return replace(
        clip, audio=str(path), duration=round((end - start) / SAMPLING_RATE, 6), audio_digest=file_digest(path)
    )


def sentences_to_repeat(record: Record, texts: Manifest) -> Manifest:
    """Those of `texts` that a gate's record wants another take of."""
    again = set(json.loads((record.path / AGAIN).read_text(encoding="utf-8")))
    return texts.where(texts.name, lambda u: f"{u.domain}\n{' '.join(u.text.split())}" in again)
