"""What a model does beside the target: words and loops where little or nothing is said, other languages, timestamps."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from asr_tv.config.run import AdaptConfig
from asr_tv.data.corpora import load_corpus, stored_manifest
from asr_tv.data.corpora.noise import noise_stage
from asr_tv.data.corpora.texts import read_texts
from asr_tv.data.manifest import Manifest, Utterance, by_domain
from asr_tv.decoding.hypotheses import hypotheses_file, read_hypotheses
from asr_tv.decoding.transcribe import transcribe
from asr_tv.models.family import family_of
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.pipeline.likeness.probes import probe_set, probed
from asr_tv.pipeline.material import GENERAL_ENGLISH, bootstrap_of
from asr_tv.pipeline.scoring import System, TestSet, decoding_of, score_pairs
from asr_tv.pipeline.speech import synthesis_call
from asr_tv.report.scores import finite
from asr_tv.scoring.loops import looped
from asr_tv.scoring.retention import timestamps_valid, words_per_minute
from asr_tv.text.normalize import get_normalizer, sentence_normalizer

SHORT_ENGLISH = GENERAL_ENGLISH.with_name("short_en.txt")
SHORT = "one or two words"


def probe(
    config: AdaptConfig,
    systems: Sequence[System],
    general: Manifest | None,
    execute: Executor,
    run: str = "",
    terms: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """A row a system: words per minute and loops by kind of clip, WER by other language, share of valid timestamps.

    With `terms` of the domain also how often they were heard and not said, and questions about the general speech.
    """
    rows: list[dict[str, Any]] = [{"system": system.name} for system in systems]
    sets = _almost_without_speech(config, execute, run)
    if len(sets):
        heard = _heard(config, systems, sets, execute, run, timestamps=False)
        domains = by_domain(sets)
        _add(rows, "words_per_minute", [_invented(texts, domains) for texts in heard])
        _add(rows, "loops", [_loops(texts, domains) for texts in heard])
        if terms:
            _probe_words(rows, config, sets, heard, terms)
    if terms and general is not None:
        _probe_words(rows, config, general, _heard(config, systems, general, execute, run, timestamps=False), terms)
    if config.retention.other_languages:
        _add(rows, "other_languages", _other_languages(config, systems, execute, run))
    whisper = all(family_of(system.checkpoint.path / "model") == "whisper" for system in systems)
    if config.retention.timestamps and general is not None and whisper:
        _add(rows, "valid_timestamps", _timestamps(config, systems, general, execute, run))
    return rows


def _probe_words(
    rows: Sequence[dict[str, Any]],
    config: AdaptConfig,
    recordings: Manifest,
    heard: Sequence[Mapping[str, str]],
    terms: Sequence[str],
) -> None:
    """Adds to the rows what was heard and not said, in whatever kinds of recordings there are."""
    bootstrap = bootstrap_of(config)
    normalize = get_normalizer(config.scoring.normalizer)
    without = recordings.where(recordings.name, lambda u: u.domain != SHORT)  # one or two words are no speech to ask of
    asked = probe_set(without, normalize, bootstrap.seed)
    for row, texts in zip(rows, heard, strict=True):
        found = probed(asked, texts, terms, normalize, bootstrap)
        row["domain_words"] = {**row.get("domain_words", {}), **found["domain_words"]}
        row |= {key: value for key, value in found.items() if key == "questions"}


def _add(rows: Sequence[dict[str, Any]], name: str, values: Sequence[Any]) -> None:
    for row, value in zip(rows, values, strict=True):
        row[name] = value


def _almost_without_speech(config: AdaptConfig, execute: Executor, run: str) -> Manifest:
    """What makes a damaged Whisper loop: silence, noise and music, and clips of one or two words."""
    asked = config.retention
    clips: list[Utterance] = []
    if asked.noise_seconds:
        (record,) = execute([call(Step("noise"), noise_stage, asked.noise_seconds, config.seed)])
        clips += stored_manifest(record).utterances
    if asked.short_clips and config.language == "en":
        once = config.synthesis.model_copy(update={"takes": 1, "voices_per_text": 1})
        texts = read_texts(SHORT_ENGLISH, SHORT)
        texts = Manifest("short clips", texts.utterances[: asked.short_clips])
        (record,) = execute([synthesis_call(config, SHORT, texts, once, run=run)])
        clips += stored_manifest(record).utterances
    return Manifest("almost without speech", tuple(clips))


def _invented(texts: Mapping[str, str], domains: Mapping[str, Manifest]) -> dict[str, float]:
    silent = {d: own for d, own in domains.items() if d != SHORT}
    return {d: round(words_per_minute([texts[u.id] for u in own], own.seconds), 2) for d, own in silent.items()}


def _loops(texts: Mapping[str, str], domains: Mapping[str, Manifest]) -> dict[str, int]:
    return {d: sum(looped(texts[u.id]) for u in own) for d, own in domains.items()}


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
        normalizer = {"normalizer": sentence_normalizer(corpus.language)}
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
