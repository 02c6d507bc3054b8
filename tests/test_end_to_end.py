"""The whole method on a slice of the real corpus, with real weights and a real voice, through the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.real

_CONFIG = """
name: slice
model: openai/whisper-tiny.en
corpora:
  - {kind: asterisk, language: en, max_per_domain: 8, domains: [voicemail, conference, services], line: {snr_db: 10}}
target: {domain: voicemail}
synthesis: {takes: 1}
training: {epochs: 2, learning_rate: 3.0e-5, batch_size: 4}
selection: {folds: 1, starts: [source_real], augmentation: [true], scaling_coefs: [0.0, 0.3]}
run: {jobs: 2}
"""


def _asr_tv(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", "from asr_tv.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slice")
    (path / "slice.yaml").write_text(_CONFIG)
    return path


def _adapt(folder: Path, *more: str) -> dict[str, Any]:
    arguments = ["--store", str(folder / "store"), "--out", str(folder / "out"), "--json", "--quiet", *more]
    done = _asr_tv("adapt", str(folder / "slice.yaml"), *arguments)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    return _adapt(folder)


def test_real_scores_and_an_empty_leak_list(report: dict[str, Any]) -> None:
    rows = {row["name"]: row for row in report["systems"] if row["role"] == "target"}
    assert report["ledger"]["target_recordings_read_before_scoring"] == []
    assert all(row["words"] == rows["adapted"]["words"] > 10 for row in rows.values())
    assert 0 < rows["pretrained"]["wer"] < 1.5
    # So few updates leave some systems looping on the short context; the best of them must hear the line better.
    assert min(row["wer"] for row in rows.values()) < rows["pretrained"]["wer"]
    assert rows["adapted"]["conditions"]["simulated_line"]


def test_second_run_executes_nothing(folder: Path, report: dict[str, Any]) -> None:
    again = _adapt(folder)
    assert {stage["state"] for stage in again["stages"]} == {"cached"}
    assert again["systems"] == report["systems"]


def test_adapted_model_hears_speech_through_transformers(folder: Path, report: dict[str, Any]) -> None:  # noqa: ARG001
    from transformers import pipeline

    from asr_tv.audio import read_audio
    from asr_tv.normalize import get_normalizer

    normalize = get_normalizer("english")
    manifest = _clips(folder)
    recogniser = pipeline("automatic-speech-recognition", str(folder / "out" / "model"))
    heard = sum(
        normalize(recogniser(read_audio(Path(u.audio)))["text"]) == normalize(u.text) for u in manifest if u.audio
    )
    assert heard >= 0.5 * len(manifest)


def _clips(folder: Path) -> Any:
    from asr_tv.corpora.local import read_manifest

    largest = max((folder / "store").glob("synthesize/*/manifest.jsonl"), key=lambda f: f.stat().st_size)
    return read_manifest(largest, need_audio=False)
