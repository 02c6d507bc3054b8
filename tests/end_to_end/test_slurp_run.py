"""Sentences of our own in SLURP's format, spoken by a real voice under SLURP's file names, through the whole flow."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr_tv.audio.recordings import read_recording, write_audio
from asr_tv.config.benchmark import BenchmarkConfig
from asr_tv.config.parsing import parse_section
from asr_tv.config.run import SynthesisConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.runs.benchmark import run_benchmark
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.synthesize import synthesize
from asr_tv.testing.whisper import tiny_whisper

pytestmark = pytest.mark.real

SENTENCES = {
    "alarm": ["wake me at six", "cancel the alarm", "set an alarm for noon", "snooze it please"],
    "music": ["play some jazz", "skip this song", "turn the volume down", "what song is this"],
    "weather": ["will it rain today", "how cold is it", "is it windy outside", "do i need a coat"],
}
PARTS = {0: "train", 1: "train", 2: "devel", 3: "test"}


@pytest.fixture(scope="module")
def slurp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's layout: each sentence near the microphone and, quieter and noisier, far from it."""
    folder = tmp_path_factory.mktemp("slurp")
    said = [(domain, text) for domain, texts in SENTENCES.items() for text in texts]
    texts = Manifest("sentences", tuple(Utterance(str(n), t, domain=d, origin="text") for n, (d, t) in enumerate(said)))
    record = synthesize(Runtime(Store(folder / "spoken"), workers=1), texts, SynthesisConfig(takes=1), seed=3)
    clips = {clip.text: Path(clip.audio or "") for clip in stored_manifest(record)}
    rows: dict[str, list[dict[str, Any]]] = {part: [] for part in PARTS.values()}
    for number, (domain, text) in enumerate(said):
        wave, rate = read_recording(clips[text])
        names = [f"audio-14{number:08d}-headset.flac", f"audio-14{number:08d}.flac"]
        noise = np.random.default_rng(number).standard_normal(len(wave)).astype(np.float32)
        for name, sound in zip(names, (wave, 0.4 * wave + 0.01 * noise), strict=True):
            write_audio(folder / "audio" / "slurp_real" / name, sound, rate)
        row = {"slurp_id": number, "sentence": text, "scenario": domain, "intent": f"{domain}_query", "tokens": []}
        files = [{"file": name, "wer": 0.0, "ent_wer": 0.0, "status": "correct"} for name in names]
        rows[PARTS[number % 4]].append(row | {"sentence_annotation": text, "entities": [], "recordings": files})
    annotations = folder / "dataset" / "slurp"
    annotations.mkdir(parents=True)
    for part, lines in rows.items():
        (annotations / f"{part}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_the_whole_table_from_slurps_files(slurp: Path, tmp_path: Path) -> None:
    values = {
        "name": "slurp_mini",
        "model": str(tiny_whisper(tmp_path / "base", layers=1)),
        "corpora": [{"kind": "slurp", "path": str(slurp)}],
        "synthesis": {"takes": 1},
        "training": {"epochs": 1, "learning_rate": 1e-3, "batch_size": 4, "precision": "fp32"},
        "selection": {
            "method": "fixed",
            "starts": ["source_mixed"],
            "augmentation": [False],
            "scaling_coefs": [0.0, 0.2],
            "fixed": {"start": "source_mixed", "augmentation": False, "scaling_coef": 0.2},
        },
        "scoring": {"resamples": 100, "max_new_tokens": 8},
        "benchmark": {
            "vectors": ["pooled"],
            "targets": ["music"],
            "paper_scorer": True,
            "ablation_start": "source_mixed",
        },
    }
    config = parse_section(BenchmarkConfig, values, "test")
    report = run_benchmark(config, InProcess(Store(tmp_path / "store")), tmp_path / "out")
    assert report["domains"] == {d: {"train": 4, "dev": 2, "test": 2} for d in SENTENCES}
    rows = {row["system"]: row for row in report["tables"]["target"]}
    assert rows["adapted"]["per_target"]["music"]["utterances"] == 2
    assert rows["adapted"]["per_target"]["music"]["sentences"] == 1
    assert rows["adapted"]["wer"] == rows["source_mixed_then_target_synthetic + pooled"]["wer"]
    assert report["ledger"]["target_recordings_read"] == []
    assert report["corpora"][0]["licence"].startswith("annotations CC BY 4.0")
