"""SLURP's format: counts, splits, missing and cut audio; the two real files when ASR_TV_SLURP names their folder."""

import gzip
import json
import os
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora import load_corpus, stored_manifest
from asr_tv.data.corpora.slurp import read_annotations
from asr_tv.errors import DataError
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.scoring.paper_scorer import paper_word_counts
from asr_tv.scoring.score import evaluate
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime

REAL = os.environ.get("ASR_TV_SLURP")


def row(number: int, sentence: str, scenario: str, *files: str) -> dict[str, Any]:
    recordings = [{"file": file, "wer": 0.0, "ent_wer": 0.0, "status": "correct"} for file in files]
    tokens = [{"surface": word, "id": n, "lemma": word, "pos": "NN"} for n, word in enumerate(sentence.split())]
    fixed = {"intent": f"{scenario}_set", "action": "set", "tokens": tokens, "entities": []}
    annotation = {"slurp_id": number, "sentence": sentence, "sentence_annotation": sentence, **fixed}
    return {**annotation, "scenario": scenario, "recordings": recordings}


def record(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.random.default_rng(len(path.name)).standard_normal(8_000) * 0.1
    soundfile.write(path, wave, 16_000)


def corpus(folder: Path) -> Path:
    """A repository of four sentences, two recordings each, in the layout of the real one."""
    annotations = folder / "dataset" / "slurp"
    annotations.mkdir(parents=True)
    parts = {"train": ["wake me at six", "play the news"], "devel": ["what time is it"], "test": ["stop the music"]}
    number = 0
    for part, sentences in parts.items():
        rows = []
        for sentence in sentences:
            number += 1
            files = [f"audio-{number}-headset.flac", f"audio-{number}.flac"]
            rows.append(row(number, sentence, ("alarm", "play")[number % 2], *files))
            for file in files:
                record(folder / "audio" / "slurp_real" / file)
        (annotations / f"{part}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


def config(folder: Path, **more: Any) -> CorpusConfig:
    return CorpusConfig(kind="slurp", path=str(folder), **more)


def test_headset_and_far_recordings_of_a_sentence_share_a_split(tmp_path: Path) -> None:
    record_ = load_corpus(Runtime(Store(tmp_path / "store")), config(corpus(tmp_path / "slurp")))
    manifest = stored_manifest(record_)
    assert len(manifest) == 8
    splits: dict[str, set[str]] = {}
    for u in manifest:
        splits.setdefault(u.text, set()).add(u.split)
    assert splits == {
        "wake me at six": {"train"},
        "play the news": {"train"},
        "what time is it": {"dev"},
        "stop the music": {"test"},
    }
    assert manifest.domains == ("alarm", "play")
    assert record_.details["licence"].startswith("annotations CC BY 4.0")


def test_the_synthetic_part_is_read_when_asked_for_and_is_synthetic(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "slurp")
    rows = [row(90, "turn it down", "play", "audio--90.flac")]
    (folder / "dataset" / "slurp" / "train_synthetic.jsonl").write_text(json.dumps(rows[0]))
    record(folder / "audio" / "slurp_synth" / "audio--90.flac")
    plain = stored_manifest(load_corpus(Runtime(Store(tmp_path / "store")), config(folder)))
    asked = stored_manifest(
        load_corpus(Runtime(Store(tmp_path / "store")), config(folder, splits=("train_synthetic",)))
    )
    assert {u.origin for u in plain} == {"real"}
    assert [(u.id, u.origin, u.split) for u in asked] == [("audio--90.flac", "synthetic", "train")]


def test_missing_recordings_are_counted_and_listed_and_can_be_gone_without(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "slurp")
    (folder / "audio" / "slurp_real" / "audio-2.flac").unlink()
    with pytest.raises(DataError) as error:
        load_corpus(Runtime(Store(tmp_path / "store")), config(folder))
    assert error.value.problems[0].startswith("slurp: 1 of 8 recordings are missing")
    assert error.value.problems[1].endswith("audio-2.flac")
    found = load_corpus(Runtime(Store(tmp_path / "store")), config(folder, missing_audio="drop"))
    assert len(stored_manifest(found)) == 7
    assert found.details["dropped"] == {"its recording is missing": 1}
    assert json.loads((found.path / "dropped.json").read_text())[0]["id"] == "audio-2.flac"


def archive(folder: Path) -> Path:
    path = folder / "slurp_real.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder / "audio" / "slurp_real", "slurp_real")
    return path


def test_archives_give_what_the_folder_gives(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "slurp")
    path = archive(folder)
    a = load_corpus(Runtime(Store(tmp_path / "a")), config(folder))
    b = load_corpus(Runtime(Store(tmp_path / "b")), config(folder, audio=str(path)))
    assert stored_manifest(a).digest == stored_manifest(b).digest
    assert not (b.path / "download").exists()


def test_an_archive_cut_short_says_so_and_counts(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "slurp")
    path = archive(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError) as error:
        load_corpus(Runtime(Store(tmp_path / "store")), config(folder, audio=str(path)))
    assert "cut short or damaged after" in error.value.problems[0]
    assert "of 8 recordings are missing" in error.value.problems[1]
    path.write_bytes(whole)  # fetched again: the scratch folder is no obstacle
    assert len(stored_manifest(load_corpus(Runtime(Store(tmp_path / "store")), config(folder, audio=str(path))))) == 8


def test_what_is_no_annotation_is_told_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    good = json.dumps(row(1, "hello", "general", "a.flac"))
    file.write_text(f'{good}\n{{"sentence": "x"}}\nnot json\n{json.dumps(row(2, "x", "y", "../a.flac"))}\n')
    with pytest.raises(DataError) as error:
        read_annotations(file, "train")
    assert [problem.split(":")[1] for problem in error.value.problems] == ["2", "3", "4"]
    file.write_text(f"{good}\n{json.dumps(row(2, 'bye', 'general', 'a.flac'))}\n")
    with pytest.raises(DataError, match="duplicate id"):
        read_annotations(file, "train")


def test_no_annotations_no_audio_and_a_wrong_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no train\.jsonl"):
        load_corpus(Runtime(Store(tmp_path / "store")), config(tmp_path))
    folder = corpus(tmp_path / "slurp")
    with pytest.raises(DataError, match="no such folder or archive"):
        load_corpus(Runtime(Store(tmp_path / "store")), config(folder, audio="gone.tar.gz"))
    (tmp_path / "x.zip").write_bytes(gzip.compress(b""))
    with pytest.raises(DataError, match="not a folder"):
        load_corpus(Runtime(Store(tmp_path / "store")), config(folder, audio=str(tmp_path / "x.zip")))


@pytest.mark.skipif(not REAL, reason="ASR_TV_SLURP names no folder with SLURP's devel.jsonl and test.jsonl")
class TestRealFiles:
    @pytest.mark.parametrize(("part", "sentences", "recordings"), [("devel", 2033, 8690), ("test", 2974, 13_078)])
    def test_counts(self, part: str, sentences: int, recordings: int) -> None:
        file = Path(REAL or "") / f"{part}.jsonl"
        manifest = read_annotations(file, part)
        assert len(manifest) == recordings
        assert len(manifest.domains) == 18
        assert len([line for line in file.read_text().split("\n") if line]) == sentences
        assert len({u.split for u in manifest}) == 1
        headsets = Counter("headset" in u.id for u in manifest)
        assert headsets[True] > 0
        assert headsets[False] > 0

    @pytest.mark.parametrize(("part", "floor"), [("devel", 4.80), ("test", 5.77)])
    def test_a_perfect_system_has_errors_by_the_released_scorer(self, part: str, floor: float) -> None:
        manifest = read_annotations(Path(REAL or "") / f"{part}.jsonl", part)
        perfect: Evaluation = evaluate(manifest, {u.id: u.text for u in manifest}, "english")
        assert perfect.wer == 0
        assert round(100 * paper_word_counts(perfect).rate, 2) == floor
