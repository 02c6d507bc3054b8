"""What a model does beside the target: words invented where nobody speaks, other languages, timestamps."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from asr_tv.config.run import AdaptConfig
from asr_tv.data.corpora import load_corpus, stored_manifest
from asr_tv.data.corpora.noise import noise_stage
from asr_tv.data.manifest import Manifest
from asr_tv.decoding.hypotheses import hypotheses_file, read_hypotheses
from asr_tv.decoding.transcribe import transcribe
from asr_tv.models.family import family_of
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.pipeline.scoring import System, TestSet, decoding_of, score_pairs
from asr_tv.report.scores import finite
from asr_tv.scoring.retention import timestamps_valid, words_per_minute


def probe(
    config: AdaptConfig, systems: Sequence[System], general: Manifest | None, execute: Executor, run: str = ""
) -> list[dict[str, Any]]:
    """A row a system: words a minute by kind of noise, WER by other language, share of valid timestamps.

    Everything is read with full context by the pretrained model and in its own by any other.
    """
    rows: list[dict[str, Any]] = [{"system": system.name} for system in systems]
    if config.retention.noise_seconds:
        _add(rows, "words_per_minute", _invented(config, systems, execute, run))
    if config.retention.other_languages:
        _add(rows, "other_languages", _other_languages(config, systems, execute, run))
    whisper = all(family_of(system.checkpoint.path / "model") == "whisper" for system in systems)
    if config.retention.timestamps and general is not None and whisper:
        _add(rows, "valid_timestamps", _timestamps(config, systems, general, execute, run))
    return rows


def _add(rows: Sequence[dict[str, Any]], name: str, values: Sequence[Any]) -> None:
    for row, value in zip(rows, values, strict=True):
        row[name] = value


def _invented(config: AdaptConfig, systems: Sequence[System], execute: Executor, run: str) -> list[dict[str, float]]:
    (record,) = execute([call(Step("noise"), noise_stage, config.retention.noise_seconds, config.seed)])
    noise = stored_manifest(record)
    heard = _heard(config, systems, noise, execute, run, timestamps=False)
    by_domain = {d: noise.where(d, lambda u, d=d: u.domain == d) for d in noise.domains}  # type: ignore[misc]
    return [
        {d: round(words_per_minute([texts[u.id] for u in own], own.seconds), 2) for d, own in by_domain.items()}
        for texts in heard
    ]


def _timestamps(
    config: AdaptConfig, systems: Sequence[System], general: Manifest, execute: Executor, run: str
) -> list[float]:
    heard = _heard(config, systems, general, execute, run, timestamps=True)
    return [sum(timestamps_valid(texts[u.id], u.duration or 0.0) for u in general) / len(general) for texts in heard]


def _heard(
    config: AdaptConfig, systems: Sequence[System], manifest: Manifest, execute: Executor, run: str, *, timestamps: bool
) -> list[dict[str, str]]:
    calls = []
    for system in systems:
        decoding = replace(decoding_of(config, system.audio_context, system.checkpoint), timestamps=timestamps)
        test = f"{manifest.name}{' with timestamps' * timestamps}"
        step = Step("transcribe", system.name, test, run=run, purpose="scoring", options=config.run)
        calls.append(call(step, transcribe, system.checkpoint, manifest, decoding))
    return [read_hypotheses(record.path / hypotheses_file()) for record in execute(calls)]


def _other_languages(
    config: AdaptConfig, systems: Sequence[System], execute: Executor, run: str
) -> list[dict[str, float | None]]:
    corpora = config.retention.other_languages
    records = execute([call(Step("corpus", f"{c.kind} {c.language}"), load_corpus, c) for c in corpora])
    rows: list[dict[str, float | None]] = [{} for _ in systems]
    for corpus, record in zip(corpora, records, strict=True):
        manifest = _of_language(stored_manifest(record), corpus.language)
        normalizer = {"normalizer": "english" if corpus.language == "en" else "basic"}
        scoring = config.scoring.model_copy(update=normalizer)
        spoken = config.model_copy(update={"language": corpus.language, "scoring": scoring})
        pairs = [(system, TestSet(manifest.name, manifest)) for system in systems]
        for row, evaluation in zip(rows, score_pairs(spoken, pairs, execute, run), strict=True):
            row[corpus.language] = finite(evaluation.wer)
    return rows


def _of_language(manifest: Manifest, language: str) -> Manifest:
    """Its domains carry the language: one of the target's name is not the target, as the leak ledger then shows."""
    spoken = tuple(replace(u, domain=f"{u.domain} ({language})") for u in manifest)
    return Manifest(f"{language} speech", spoken)
