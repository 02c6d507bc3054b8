"""Other tools' corpora, written here in their format: NeMo, lhotse, Kaldi, Hugging Face."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asr_tv.audio.recordings import read_recording
from asr_tv.config.run import CorpusConfig
from asr_tv.data.corpora import load_corpus, stored_manifest
from asr_tv.data.corpora.source import NO_TEXT
from asr_tv.data.manifest import Manifest
from asr_tv.errors import ConfigError, DataError
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime

RATE = 8_000


def record(path: Path, seconds: float = 3.0) -> Path:
    """A ramp, so that a part shows where it was cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.linspace(0, 0.9, round(seconds * RATE), dtype=np.float32)
    soundfile.write(path, wave, RATE, subtype="PCM_16")
    return path


def loaded(tmp_path: Path, **values: Any) -> Manifest:
    return stored_manifest(load_corpus(Runtime(Store(tmp_path / "store")), CorpusConfig(**values)))


def mean_of(manifest: Manifest, name: str) -> float:
    return float(read_recording(Path(manifest.by_id[name].audio or ""))[0].mean())


def test_nemo_with_offsets(tmp_path: Path) -> None:
    record(tmp_path / "audio" / "a.wav")
    rows = [
        {"audio_filepath": "audio/a.wav", "text": "whole", "duration": 3.0, "scene": "bank"},
        {"audio_filepath": "audio/a.wav", "text": "second second", "offset": 1.0, "duration": 1.0, "id": "part"},
    ]
    (tmp_path / "m.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest = loaded(tmp_path, kind="nemo", path=str(tmp_path / "m.json"), columns={"domain": "scene"})
    assert [(u.id, u.text, u.domain, u.duration) for u in manifest] == [
        ("audio/a.wav", "whole", "bank", 3.0),
        ("part", "second second", "default", 1.0),
    ]
    assert mean_of(manifest, "part") == pytest.approx(0.45, abs=0.01)
    assert mean_of(manifest, "audio/a.wav") == pytest.approx(0.45, abs=0.01)


def test_nemo_problems(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    path = tmp_path / "m.json"
    path.write_text('{"text": "x"}\n{"audio_filepath": "a.wav", "text": 3}\n')
    with pytest.raises(DataError) as error:
        loaded(tmp_path, kind="nemo", path=str(path))
    assert [p.split(":")[1] for p in error.value.problems] == ["1", "2"]
    path.write_text('{"audio_filepath": "a.wav", "text": "x", "offset": 2.5, "duration": 9.0}\n')
    with pytest.raises(DataError, match=r"is not in it, 3\.00 s"):
        loaded(tmp_path, kind="nemo", path=str(path))


def cut(name: str, audio: Path, **supervision: Any) -> dict[str, Any]:
    source = {"type": "file", "channels": [0], "source": str(audio)}
    recording = {"id": "r", "sources": [source], "sampling_rate": RATE, "num_samples": 3 * RATE, "duration": 3.0}
    said = {"id": f"{name}-s", "recording_id": "r", "start": 0.0, "duration": 3.0, "text": "hi", **supervision}
    head = {"id": name, "start": 0.0, "duration": 3.0, "channel": 0, "type": "MonoCut"}
    return {**head, "supervisions": [said], "recording": recording}


@pytest.mark.parametrize("packed", [False, True])
def test_lhotse_cuts(tmp_path: Path, packed: bool) -> None:
    audio = record(tmp_path / "a.wav")
    rows = [
        cut("one", audio, speaker="s1", custom={"topic": "bank"}),
        cut("two", audio, start=2.0, duration=1.0, text="the end"),
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path = tmp_path / f"cuts.jsonl{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    manifest = loaded(tmp_path, kind="lhotse", path=str(path), columns={"domain": "topic"})
    assert [(u.id, u.text, u.domain, u.speaker, u.duration) for u in manifest] == [
        ("one-s", "hi", "bank", "s1", 3.0),
        ("two-s", "the end", "default", None, 1.0),
    ]
    assert mean_of(manifest, "two-s") == pytest.approx(0.75, abs=0.01)


def test_lhotse_cuts_that_cannot_be_used(tmp_path: Path) -> None:
    audio = record(tmp_path / "a.wav")
    command, mixed = cut("c", audio), cut("m", audio) | {"type": "MixedCut"}
    command["recording"]["sources"][0]["type"] = "command"
    path = tmp_path / "cuts.jsonl"
    path.write_text(f"{json.dumps(command)}\n{json.dumps(mixed)}\n")
    with pytest.raises(DataError) as error:
        loaded(tmp_path, kind="lhotse", path=str(path))
    assert "type command" in error.value.problems[0]
    assert "MixedCut" in error.value.problems[1]


def test_lhotse_rows_without_text_are_left_out_and_counted(tmp_path: Path) -> None:
    """A null text was the label "None"."""
    audio = record(tmp_path / "a.wav")
    rows = [cut("one", audio), cut("two", audio, text=None)]
    path = tmp_path / "cuts.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    found = load_corpus(Runtime(Store(tmp_path / "store")), CorpusConfig(kind="lhotse", path=str(path)))
    assert [u.text for u in stored_manifest(found)] == ["hi"]
    assert json.loads((found.path / "dropped.json").read_text()) == [{"id": "two-s", "reason": NO_TEXT}]
    assert found.details["dropped"] == {NO_TEXT: 1}


@pytest.mark.parametrize(
    ("where", "key", "value", "problem"),
    [
        ("recording", "transforms", [{"name": "Speed", "kwargs": {"factor": 1.1}}], "are not applied: Speed"),
        ("cut", "speed", 1.1, "keys that are not known: cut.speed"),
        ("cut", "channel", 1, r"channel 1 of a recording with \[0\]"),
        ("supervision", "tempo", 2, "keys that are not known: supervision.tempo"),
        ("supervision", "duration", 4.0, "a supervision that reaches out of its cut"),
    ],
)
def test_lhotse_keys_that_mean_other_sound_are_refused(
    tmp_path: Path, where: str, key: str, value: Any, problem: str
) -> None:
    row = cut("a", record(tmp_path / "a.wav"))
    {"cut": row, "recording": row["recording"], "supervision": row["supervisions"][0]}[where][key] = value
    path = tmp_path / "cuts.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=problem):
        loaded(tmp_path, kind="lhotse", path=str(path))


def kaldi(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_scp", ".scp")).write_text(text)
    return folder


def test_kaldi_with_segments(tmp_path: Path) -> None:
    record(tmp_path / "data" / "call.wav")
    folder = kaldi(
        tmp_path / "data",
        wav_scp="call call.wav\n",
        text="u1 hello there\nu2 bye\n",
        segments="u1 call 0.0 1.0\nu2 call 2.0 3.0\n",
        utt2spk="u1 anna\nu2 ben\n",
        utt2topic="u1 bank\nu2 shop\n",
    )
    manifest = loaded(tmp_path, kind="kaldi", path=str(folder), columns={"domain": "utt2topic"})
    assert [(u.id, u.text, u.speaker, u.domain, u.duration) for u in manifest] == [
        ("u1", "hello there", "anna", "bank", 1.0),
        ("u2", "bye", "ben", "shop", 1.0),
    ]
    assert mean_of(manifest, "u2") == pytest.approx(0.75, abs=0.01)


def test_kaldi_runs_no_command_and_lists_what_is_missing(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    folder = kaldi(tmp_path / "data", wav_scp=f"u1 touch {marker} |\n", text="u1 hello\nu2 bye\n")
    with pytest.raises(DataError) as error:
        loaded(tmp_path, kind="kaldi", path=str(folder))
    assert "is a command, which is not run" in error.value.problems[0]
    assert "u2: no recording" in error.value.problems[1]
    assert not marker.exists()


@pytest.mark.parametrize(
    ("end", "seconds"), [("-1", 2.0), ("3.0", 2.0), ("3.013", 2.0), ("3.4", 2.0), ("3.6", None), ("0.5", None)]
)
def test_kaldi_ends_at_and_past_the_end_of_the_file(tmp_path: Path, end: str, seconds: float | None, caplog) -> None:
    record(tmp_path / "data" / "call.wav")
    folder = kaldi(tmp_path / "data", wav_scp="call call.wav\n", text="u1 hello\n", segments=f"u1 call 1.0 {end}\n")
    if seconds is None:
        with pytest.raises(DataError, match="u1"):
            loaded(tmp_path, kind="kaldi", path=str(folder))
        return
    manifest = loaded(tmp_path, kind="kaldi", path=str(folder))
    assert manifest.by_id["u1"].duration == seconds
    assert mean_of(manifest, "u1") == pytest.approx(0.6, abs=0.01)
    assert any("u1" in message for message in caplog.messages) == (float(end) > 3.0)


def test_kaldi_recordings_without_text_are_left_out_and_counted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        record(tmp_path / "data" / f"{name}.wav")
    folder = kaldi(tmp_path / "data", wav_scp="a a.wav\nb b.wav\n", text="a hello\n")
    found = load_corpus(Runtime(Store(tmp_path / "store")), CorpusConfig(kind="kaldi", path=str(folder)))
    assert [u.id for u in stored_manifest(found)] == ["a"]
    assert json.loads((found.path / "dropped.json").read_text()) == [{"id": "b", "reason": NO_TEXT}]


def test_missing_recordings_of_any_kind(tmp_path: Path) -> None:
    record(tmp_path / "data" / "a.wav")
    folder = kaldi(tmp_path / "data", wav_scp="a a.wav\nb b.wav\n", text="a hello\nb bye\n")
    with pytest.raises(DataError, match="1 of 2 recordings are missing"):
        loaded(tmp_path, kind="kaldi", path=str(folder))
    kept = loaded(tmp_path, kind="kaldi", path=str(folder), missing_audio="drop")
    assert [u.id for u in kept] == ["a"]
    (tmp_path / "data" / "a.wav").unlink()
    with pytest.raises(DataError, match="2 of 2 recordings are missing"):
        loaded(tmp_path, kind="kaldi", path=str(folder), missing_audio="drop")


class TestHuggingFace:
    @pytest.fixture
    def dataset(self, tmp_path: Path) -> Path:
        """A parquet file with embedded audio and the features in its schema, as the hub serves them."""
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        pytest.importorskip("datasets")
        files = [record(tmp_path / f"{name}.wav", seconds) for name, seconds in (("a", 1.0), ("b", 2.0), ("c", 1.5))]
        table = arrow.table(
            {
                "audio": [{"bytes": file.read_bytes(), "path": file.name} for file in files],
                "sentence": ["one", "two", "three"],
                "topic": [0, 1, 0],
            }
        )
        features = {
            "audio": {"sampling_rate": RATE, "_type": "Audio"},
            "sentence": {"dtype": "string", "_type": "Value"},
            "topic": {"names": ["bank", "shop"], "_type": "ClassLabel"},
        }
        folder = tmp_path / "set"
        folder.mkdir()
        described = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        parquet.write_table(described, folder / "test.parquet")
        return folder

    def test_columns_are_mapped_and_audio_is_decoded_without_torchcodec(self, tmp_path: Path, dataset: Path) -> None:
        columns = {"text": "sentence", "domain": "topic"}
        given = {"kind": "huggingface", "path": str(dataset), "columns": columns, "splits": ("test",)}
        manifest = loaded(tmp_path, **given)
        assert [(u.text, u.domain, u.split, u.duration) for u in manifest] == [
            ("one", "bank", "test", 1.0),
            ("two", "shop", "test", 2.0),
            ("three", "bank", "test", 1.5),
        ]
        assert len(loaded(tmp_path, **given, limit=2)) == 2

    def test_rows_without_text_are_left_out_and_counted(self, tmp_path: Path, dataset: Path) -> None:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        table = parquet.read_table(dataset / "test.parquet")
        place = table.column_names.index("sentence")
        parquet.write_table(
            table.set_column(place, "sentence", arrow.array(["one", None, "three"])), dataset / "test.parquet"
        )
        given = {"kind": "huggingface", "path": str(dataset), "columns": {"text": "sentence"}, "splits": ("test",)}
        found = load_corpus(Runtime(Store(tmp_path / "store")), CorpusConfig(**given))
        assert [u.text for u in stored_manifest(found)] == ["one", "three"]
        assert json.loads((found.path / "dropped.json").read_text()) == [{"id": "test-1", "reason": NO_TEXT}]

    def test_a_local_audiofolder_is_rows_or_one_message(self, tmp_path: Path) -> None:
        pytest.importorskip("datasets")
        record(tmp_path / "folder" / "a.wav")
        (tmp_path / "folder" / "metadata.csv").write_text("file_name,text\na.wav,hello\n")
        given = {"path": str(tmp_path / "folder"), "splits": ("train",)}
        try:
            found = [u.text for u in loaded(tmp_path, kind="huggingface", **given)]
        except DataError as error:
            assert len(error.problems) == 1  # noqa: PT017
            assert "kind audiofolder" in error.problems[0]  # noqa: PT017
        else:
            assert found == ["hello"]
        assert [u.text for u in loaded(tmp_path, kind="audiofolder", path=given["path"])] == ["hello"]

    def test_a_column_that_is_not_there(self, tmp_path: Path, dataset: Path) -> None:
        with pytest.raises(ConfigError, match="has no text: text; it has audio, sentence, topic"):
            loaded(tmp_path, kind="huggingface", path=str(dataset), splits=("test",))

    def test_a_dataset_that_is_not_there(self, tmp_path: Path) -> None:
        pytest.importorskip("datasets")
        with pytest.raises(DataError, match="not available"):
            loaded(tmp_path, kind="huggingface", path=str(tmp_path / "gone"))


def nemo_of(folder: Path) -> CorpusConfig:
    (folder / "m.json").write_text('{"audio_filepath": "call.wav", "text": "hello", "duration": 3.0}\n')
    return CorpusConfig(kind="nemo", path=str(folder / "m.json"))


def kaldi_of(folder: Path) -> CorpusConfig:
    kaldi(folder, wav_scp="call call.wav\n", text="call hello there\n", utt2spk="call anna\n")
    return CorpusConfig(kind="kaldi", path=str(folder))


def lhotse_of(folder: Path) -> CorpusConfig:
    (folder / "cuts.jsonl").write_text(json.dumps(cut("call", folder / "call.wav")) + "\n")
    return CorpusConfig(kind="lhotse", path=str(folder / "cuts.jsonl"))


def slurp_of(folder: Path) -> CorpusConfig:
    annotation = {"slurp_id": 1, "sentence": "hello", "scenario": "greet", "recordings": [{"file": "call.wav"}]}
    (folder / "train.jsonl").write_text(json.dumps(annotation) + "\n")
    return CorpusConfig(kind="slurp", path=str(folder), audio=str(folder))


def test_recordings_of_one_name_that_change_places_change_the_key(tmp_path: Path) -> None:
    for name, seconds in (("anna", 1.0), ("ben", 2.0)):
        record(tmp_path / name / "001.wav", seconds)
    rows = [{"audio_filepath": f"{name}/001.wav", "text": name} for name in ("anna", "ben")]
    (tmp_path / "m.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = CorpusConfig(kind="nemo", path=str(tmp_path / "m.json"))
    before = load_corpus(Runtime(Store(tmp_path / "store")), config)
    (tmp_path / "anna").rename(tmp_path / "other")
    (tmp_path / "ben").rename(tmp_path / "anna")
    (tmp_path / "other").rename(tmp_path / "ben")
    after = load_corpus(Runtime(Store(tmp_path / "store")), config)
    assert after.key != before.key
    assert [u.duration for u in stored_manifest(after)] == [2.0, 1.0]


@pytest.mark.parametrize("corpus_of", [nemo_of, kaldi_of, lhotse_of, slurp_of])
def test_a_changed_sample_changes_the_key_and_a_new_date_does_not(
    tmp_path: Path, corpus_of: Callable[[Path], CorpusConfig]
) -> None:
    recording = record(tmp_path / "call.wav")
    config = corpus_of(tmp_path)
    key = load_corpus(Runtime(Store(tmp_path / "store")), config).key
    os.utime(recording, (1, 1))
    assert load_corpus(Runtime(Store(tmp_path / "store")), config).key == key
    data = bytearray(recording.read_bytes())
    data[-1000] ^= 1
    recording.write_bytes(data)
    changed = load_corpus(Runtime(Store(tmp_path / "store")), config)
    assert changed.key != key
    assert not changed.cached
