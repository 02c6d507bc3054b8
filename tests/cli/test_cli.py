"""The command line: help, what each command prints, and the stages as commands on files."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Command, program, record, write_rows

from asr_tv.models.tensors import open_tensors
from asr_tv.testing.ctc import tiny_ctc


def commands() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, command in program().commands.items():
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
        stages = {"adapt", "synthesize", "finetune", "transcribe", "score", "export", "report", "diff", "doctor"}
        vectors = {"vector create", "vector apply"}
        corpora = {"corpus fetch", "corpus stats", "corpus validate"}
        assert stages | vectors | corpora <= commands().keys()

    def test_scripts_get_json_from_each(self) -> None:
        without = {name for name, c in commands().items() if not any("--json" in p.opts for p in c.params)}
        assert without == {"try"}  # a page for people

    def test_no_arguments_show_help_and_a_wrong_option_is_refused(self, asr_tv: Command) -> None:
        assert "Usage: asr-tv" in "\n".join([asr_tv().out, *asr_tv().lines])
        done = asr_tv("score", "a", "b", "--normaliser", "none")
        assert done.code == 2
        assert "--normaliser" in done.lines[-1]


def test_vectors_are_created_and_applied(asr_tv: Command, models: Path, tmp_path: Path) -> None:
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
        assert "1 substitution, 0 deletions, 1 insertion in 4 words, 2 utterances; normaliser english" in text

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
            "unknown normalizer 'french'; one of english, basic, characters, none",
            f"gone.jsonl: no such file in {Path.cwd()}",
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
        assert "x: 2 utterances, 1 sentence, 4 words, 3.5 seconds" in asr_tv("corpus", "stats", "m.jsonl").out

    def test_validate(self, asr_tv: Command, tmp_path: Path) -> None:
        record(tmp_path / "a.wav", 2.0)
        write_rows(tmp_path / "m.jsonl", {"id": "1", "text": "one", "audio": "a.wav"})
        assert asr_tv("corpus", "validate", "m.jsonl", "--json").row == {
            "utterances": 1,
            "seconds": 2.0,
            "domains": ["default"],
            "without_words": [],
        }
        assert "no problem" in asr_tv("corpus", "validate", "m.jsonl").out

    def test_unknown_corpora_and_languages(self, asr_tv: Command) -> None:
        from asr_tv.cli.corpus import KINDS

        (problem,) = asr_tv("corpus", "fetch", "librispeech", "--out", "m.jsonl").problems
        assert problem == "unknown corpus 'librispeech'; corpora that can be fetched: " + ", ".join(KINDS)
        (problem,) = asr_tv("corpus", "fetch", "asterisk", "--language", "de", "--out", "m.jsonl").problems
        assert problem.startswith("no Asterisk prompts in 'de'; languages: en, ")


def test_doctor(asr_tv: Command) -> None:
    row = asr_tv("doctor", "--json").row
    assert row["torch"].startswith("2.")
    assert row["model hub"].startswith("does not answer")
    assert row["weights openai/whisper-tiny.en"]
    assert row["precision"] in ("bf16", "fp32")
    voices = {voice["voice"]: voice for voice in row.pop("voices")}
    assert voices["kokoro:if_sara"]["licence"] == "Apache-2.0"
    assert voices["kokoro:if_sara"]["language"] == "it"
    assert voices["pocket:english#cosette"]["licence"] == "CC BY-NC 4.0"
    lines, _, listed = asr_tv("doctor").out.partition("\n\nvoices")
    assert [re.split(r"  +", line)[0] for line in lines.splitlines()] == list(row)
    assert {line.split()[0] for line in listed.splitlines()[1:]} == set(voices)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--voice", "af_heart", "--voices", "all"), "--voice and --voices"),
        (("--voices", "many"), "--voices many: give all or a number"),
        (("--engine", "kokoro", "--voices", 999), "kokoro offers"),
        (("--engine", "espeak", "--voice", "de", "--language", "it"), "speaks de, and the texts are in it"),
    ],
)
def test_voices_that_cannot_be(asr_tv: Command, tmp_path: Path, given: tuple[str, ...], told: str) -> None:
    (tmp_path / "t.txt").write_text("Hello.\n")
    done = asr_tv("synthesize", "t.txt", "--out", "clips", *given)
    assert told in "\n".join(done.problems)
    assert not (tmp_path / "clips").exists()


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

    def test_a_ctc_model_is_tuned_by_lora_and_transcribes(self, asr_tv: Command, tmp_path: Path) -> None:
        tiny_ctc(tmp_path / "ctc", "conformer")
        record(tmp_path / "a.wav")
        write_rows(tmp_path / "m.jsonl", {"id": "a", "audio": "a.wav", "text": "go"})
        tune = ["finetune", "ctc", "m.jsonl", "--set", "epochs=1", "--set", "trainable=lora", "--out", "tuned"]
        done = asr_tv(*tune, "--quiet", "--json")
        assert done.row["trainable_parameters"] == 2 * 2 * 2 * 8 * 32  # layers, query and value, a and b, r, width
        assert json.loads((tmp_path / "tuned" / "asr_tv.json").read_text())["audio_context"] == "full"
        assert asr_tv("vector", "info", "tuned/lora_vector.safetensors", "--json").row["recipe"]["operation"] == "lora"
        assert json.loads(asr_tv("transcribe", "tuned", "m.jsonl", "--quiet").out).keys() == {"id", "text"}
        refused = asr_tv("transcribe", "ctc", "m.jsonl", "--audio-context", "5", "--quiet")
        assert (refused.code, refused.lines) == (
            2,
            ["error: audio_context: 5 seconds are for Whisper; a CTC model hears the whole clip"],
        )

    def test_a_long_id_still_names_a_file(self, asr_tv: Command, tmp_path: Path) -> None:
        rows = [{"id": "ü" * 150 + end, "text": "Good bye."} for end in "ab"]
        write_rows(tmp_path / "m.jsonl", rows[0], rows[1] | {"text": "Hello."})
        speak = ["synthesize", "m.jsonl", "--engine", "fake", "--voice", "tone", "--quiet", "--json"]
        assert asr_tv(*speak, "--out", "clips").row["clips"] == 2
        assert len(list((tmp_path / "clips" / "clips").iterdir())) == 2
        assert asr_tv("corpus", "validate", "clips/manifest.jsonl", "--json").row["utterances"] == 2


_SLOW = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell has started in the background
from asr_tv.synthesis import engines as tts
from asr_tv.testing import speech
tts.ENGINES["fake"] = tts.SpeechEngine("__main__", "open_slow")
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
    going_on = "asr-tv synthesize t.txt --engine fake --voice v --out o --workers 1"
    assert err.splitlines()[-1] == (
        f"stopped; what is finished is kept, and the same command goes on from there: {going_on}"
    )
    assert "Traceback" not in err
    assert any(clips.rglob("*.flac"))
