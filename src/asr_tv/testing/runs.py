"""A whole run on fakes: a tiny random Whisper, tones for speech, three domains; seconds on one core."""

from pathlib import Path
from typing import Any

from asr_tv.audio.recordings import write_audio
from asr_tv.config.benchmark import BenchmarkConfig
from asr_tv.config.parsing import parse_config, parse_section, with_overrides
from asr_tv.config.run import AdaptConfig
from asr_tv.data.corpora.local import write_manifest
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.synthesis.engines import SpeechRequest
from asr_tv.testing.speech import FakeSynthesizer, dummy_texts, use_fake_engine
from asr_tv.testing.whisper import tiny_whisper

DOMAINS = ("banking", "parcels", "travel")
SLICE = """\
name: slice
model: openai/whisper-tiny.en
corpora:
  - {kind: asterisk, language: en, max_per_domain: 4, domains: [voicemail, conference, services], line: {snr_db: 10}}
target: {domain: voicemail}
synthesis: {takes: 1}
training: {epochs: 1, learning_rate: 6.0e-5, batch_size: 4, full_context_share: 0}
rehearsal: {share: 0.25}
selection: {folds: 1, starts: [source_real], augmentation: [true], scaling_coefs: [0.0, 0.3]}
retention: {noise_seconds: 4, short_clips: 3}
run: {jobs: 2}
"""
"""The whole method on a slice of the real corpus, with real weights and a real voice: two minutes of one core."""


def fake_recordings(folder: Path, sentences: int = 8, domains: tuple[str, ...] = DOMAINS) -> Path:
    """Writes "recordings" of each domain and their manifest; returns the manifest's path."""
    caller = FakeSynthesizer(labels=("caller",), version="recorded")
    rows = []
    for domain in domains:
        for utterance in dummy_texts(sentences, domain, first=100 * domains.index(domain)):
            request = SpeechRequest(utterance.text, "caller", 0, 7, caller.settings(7))
            path = folder / f"{utterance.id}.wav"
            write_audio(path, caller.speak([request])[0] * 0.5, 16_000)
            rows.append(Utterance(utterance.id, utterance.text, audio=str(path), domain=domain))
    write_manifest(Manifest("recordings", tuple(rows)), folder / "manifest.jsonl")
    return folder / "manifest.jsonl"


def fake_config(folder: Path, **overrides: Any) -> AdaptConfig:
    """A small run of the whole method; `overrides` are dotted paths with double underscores for the dots."""
    return parse_config(_overridden(fake_values(folder), overrides), "fake")


def fake_benchmark(folder: Path, *, domains: tuple[str, ...] = DOMAINS, **overrides: Any) -> BenchmarkConfig:
    """A small leave-one-domain-out table; `overrides` as in `fake_config`."""
    values = fake_values(folder, domains) | {"name": "fake_benchmark"}
    del values["target"]
    return parse_section(BenchmarkConfig, _overridden(values, overrides), "fake")


def _general_texts(folder: Path) -> Path:
    path = folder / "general.txt"
    path.write_text("The weather is fine.\nWhere is my coat?\nTake the first street.\n", encoding="utf-8")
    return path


def _overridden(values: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    return with_overrides(values, {path.replace("__", "."): value for path, value in overrides.items()})


def fake_values(folder: Path, domains: tuple[str, ...] = DOMAINS) -> dict[str, Any]:
    """What a small run's YAML file would hold; writes its model and recordings."""
    use_fake_engine()
    return {
        "name": "fake",
        "model": str(tiny_whisper(folder / "base", layers=1)),
        "corpora": [{"kind": "manifest", "path": str(fake_recordings(folder / "recordings", domains=domains))}],
        "target": {"domain": "travel"},
        "splits": {"dev": 0.25, "test": 0.25},
        "synthesis": {"engine": "fake", "voices": ["tone"], "takes": 2},
        "training": {"epochs": 1, "learning_rate": 3e-3, "batch_size": 4, "precision": "fp32", "full_context_share": 0},
        "selection": {"folds": 1, "scaling_coefs": [0.0, 0.5], "pretrained_weights": [0.0, 0.3]},
        "rehearsal": {"share": 0, "texts": str(_general_texts(folder))},
        "scoring": {"resamples": 100, "max_new_tokens": 12},
        "forgetting": {"max_relative": 10.0},
        "retention": {"noise_seconds": 0, "short_clips": 0},
        "source_gap": {"clips": 0},
    }
