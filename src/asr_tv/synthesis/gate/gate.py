"""The stage between synthesis and training that removes clips with wrong labels and trims silence off their ends."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from asr_tv.audio.clipping import clipped_share
from asr_tv.audio.recordings import write_audio
from asr_tv.audio.silences import Span
from asr_tv.audio.vad import SAMPLING_RATE, SpeechDetector
from asr_tv.config.run import GateConfig
from asr_tv.data.corpora.local import write_manifest
from asr_tv.data.manifest import Manifest, Utterance, checked
from asr_tv.data.recorded import read_wave
from asr_tv.decoding.hypotheses import hypotheses_file, read_hypotheses
from asr_tv.errors import DataError
from asr_tv.models.vocabulary import known_words
from asr_tv.store.payload import DROPPED, MANIFEST
from asr_tv.store.results import Identity, Produced, Record, file_digest, write_atomically
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.gate.clip_yield import clip_yield
from asr_tv.synthesis.gate.consensus import Verdict, choose_clips, judge_clips
from asr_tv.synthesis.gate.tempo import ClipMeasure
from asr_tv.text.normalize import get_normalizer, sentence_normalizer

STAGE, VERSION = "gate", 1
VERDICTS, AGAIN = "verdicts.jsonl", "again.json"
_MARGIN = 0.1
"""Seconds kept next to the speech at a trimmed end."""


@dataclass(frozen=True)
class Round:
    """The clips of one round of synthesis, and the judge's transcription of them."""

    clips: Manifest
    heard: Record


def gate(
    runtime: Runtime, rounds: Sequence[Round], config: GateConfig, judge: Record, engine: str, language: str = "en"
) -> Record:
    """Writes `manifest.jsonl` of the clips to train on, `verdicts.jsonl` with a row per clip, and `dropped.json`.

    `again.json` lists the sentences that need another take: those with a rejected or a doubtful clip.

    Args:
        rounds: the planned clips, then those of each retry, all with distinct ids.
        judge: the checkpoint that transcribed the clips.
        engine: names of the synthesizers, for the yield.

    Raises:
        ConfigError: the speech detector is not installed.
        DataError: the judge did not transcribe a clip, or no clip is left.
    """
    clips = checked(Manifest(rounds[0].clips.name, tuple(u for r in rounds for u in r.clips)))
    detector = SpeechDetector()
    normalizer = get_normalizer(sentence_normalizer(language))
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
        measured: dict[str, ClipMeasure] = {}
        with runtime.progress(runtime.label or STAGE, len(clips), "clips") as advance:
            for clip in clips:
                measured[clip.id] = _measure(clip, normalizer, heard[clip.id], detector, config)
                advance()
        verdicts = {v.id: v for v in judge_clips(list(measured.values()), config)}
        planned = frozenset(u.id for u in rounds[0].clips)
        known = known_words(language)
        details = _write(folder, clips, planned, measured, verdicts)
        rows = clip_yield([(u, verdicts[u.id], u.id in planned) for u in clips], engine, known)
        return Produced((clips.ref(),), {**details, "judge": judge.details.get("source"), **rows})

    return runtime.store.build(Identity(STAGE, VERSION, parameters, inputs), produce)


def _hypotheses(one: Round) -> dict[str, str]:
    heard = read_hypotheses(one.heard.path / hypotheses_file())
    if missing := [u.id for u in one.clips if u.id not in heard]:
        raise DataError(f"{name}: the judge heard nothing of it" for name in missing)
    return heard


def _measure(
    clip: Utterance, normalizer: Any, hypothesis: str, detector: SpeechDetector, config: GateConfig
) -> ClipMeasure:
    wave = read_wave(clip)
    spans = detector.spans(wave)
    seconds = wave.size / SAMPLING_RATE
    trim = _trim(spans, seconds, config.edge_seconds)
    return ClipMeasure(
        id=clip.id,
        sentence=_sentence(clip),
        voice=clip.speaker or "",
        reference=normalizer(clip.text),
        hypothesis=normalizer(hypothesis),
        seconds=trim[1] - trim[0] if trim else seconds,
        speech_seconds=sum(end - start for start, end in spans),
        clipped=clipped_share(wave),
        trim=trim,
    )


def _sentence(utterance: Utterance) -> str:
    return f"{utterance.domain}\n{' '.join(utterance.text.split())}"


def _trim(spans: Sequence[Span], seconds: float, longest: float) -> Span | None:
    """The part to keep, or None if neither end is silent for longer than `longest` seconds."""
    if not spans:
        return None
    start, end = spans[0][0], spans[-1][1]
    first = max(start - _MARGIN, 0.0) if start > longest else 0.0
    last = min(end + _MARGIN, seconds) if seconds - end > longest else seconds
    return Span(first, last) if (first, last) != (0.0, seconds) else None


def _write(
    folder: Path,
    clips: Manifest,
    planned: frozenset[str],
    measured: Mapping[str, ClipMeasure],
    verdicts: Mapping[str, Verdict],
) -> dict[str, Any]:
    sentences = {name: m.sentence for name, m in measured.items()}
    chosen = set(choose_clips(verdicts, sentences, planned, [u.id for u in clips]))
    if not chosen:
        reasons = sorted({reason for v in verdicts.values() for reason in v.reasons})
        raise DataError(f"{clips.name}: the quality gate leaves no clip: {', '.join(reasons)}")
    kept = [_trim_clip(u, measured[u.id].trim, folder) for u in clips if u.id in chosen]
    write_manifest(Manifest(clips.name, tuple(kept)), folder / MANIFEST)
    write_atomically(folder / VERDICTS, "".join(_row(u, measured[u.id], verdicts[u.id], chosen) for u in clips))
    dropped = [{"id": v.id, "reason": f"gate: {', '.join(v.reasons)}"} for v in verdicts.values() if not v.kept]
    again = sorted({sentences[v.id] for v in verdicts.values() if not v.kept or v.doubtful})
    for name, content in ((DROPPED, dropped), (AGAIN, again)):
        write_atomically(folder / name, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    lost = {sentences[name] for name in planned} - {sentences[name] for name in chosen}
    return {
        "clips": len(kept),
        "trimmed": sum(measured[u.id].trim is not None for u in kept),
        "lost_texts": sorted(sentence.partition("\n")[2] for sentence in lost),
    }


def _row(clip: Utterance, measure: ClipMeasure, verdict: Verdict, chosen: set[str]) -> str:
    row = {
        **asdict(verdict),
        "kept": verdict.kept,
        "chosen": clip.id in chosen,
        "text": clip.text,
        "voice": measure.voice,
        "heard": measure.hypothesis,
        "speech_seconds": measure.speech_seconds,
        "clipped": measure.clipped,
        "trim": measure.trim,
    }
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
    return json.dumps(rounded, ensure_ascii=False, sort_keys=True) + "\n"


def _trim_clip(clip: Utterance, trim: Span | None, folder: Path) -> Utterance:
    """The clip, or a copy in `folder` without the silence at its ends."""
    if trim is None:
        return clip
    wave = read_wave(clip)
    start, end = (round(second * SAMPLING_RATE) for second in trim)
    part = "" if clip.offset is None else f"@{clip.offset}-{clip.duration}"
    path = folder / "audio" / f"{clip.audio_digest or file_digest(Path(clip.audio or ''))}{part}.flac"
    write_audio(path, wave[start:end], SAMPLING_RATE)
    duration = round((end - start) / SAMPLING_RATE, 6)
    return replace(clip, audio=str(path), duration=duration, offset=None, audio_digest=file_digest(path))


def sentences_to_repeat(record: Record, texts: Manifest) -> Manifest:
    """The texts that need another take, by a record of the gate."""
    again = set(json.loads((record.path / AGAIN).read_text(encoding="utf-8")))
    return texts.where(texts.name, lambda u: _sentence(u) in again)
