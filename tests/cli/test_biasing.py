"""`asr-tv transcribe` steered by words, `asr-tv terms`, and every bad list, file and prompt."""

import json
from pathlib import Path

import pytest
from commands import Command, record

MENU = """Could I have the palak paneer with two garlic naan, please?
I would like a palak paneer and a mango lassi.
Does the rogan josh come with rice?
One rogan josh, one chicken vindaloo and a mango lassi, please.
Two portions of chicken vindaloo to take away.
"""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return record(tmp_path / "clip.wav", 1.0)


def test_terms_are_found_in_texts_alone(asr_tv: Command, tmp_path: Path) -> None:
    (tmp_path / "menu.txt").write_text(MENU)
    found = asr_tv("terms", "menu.txt", "--json").row["terms"]
    assert {"palak paneer", "mango lassi", "rogan josh", "chicken vindaloo"} <= set(found)
    assert not {"please", "with", "rice", "could"} & set(found)
    assert asr_tv("terms", "menu.txt", "--count", "2", "--out", "terms.txt").code == 0
    assert (tmp_path / "terms.txt").read_text().splitlines() == found[:2]
    (tmp_path / "plain.txt").write_text("Could I have the rice, please?\n")
    assert asr_tv("terms", "plain.txt").problems == ["plain.txt: no term: every word in it is an ordinary one"]


class TestTranscribe:
    def test_words_steer_it_and_nothing_is_lost(
        self, asr_tv: Command, models: Path, clip: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "terms.txt").write_text("message\n<b>tone</b>\n$E = mc^2$\n")
        command = ["transcribe", models / "base", clip, "--quiet", "--audio-context", "dynamic"]
        plain = json.loads(asr_tv(*command).out)["text"]
        assert json.loads(asr_tv(*command, "--prompt", " ").out)["text"] == plain
        assert json.loads(asr_tv(*command, "--terms", "terms.txt", "--boost", "0").out)["text"] == plain
        boosted = json.loads(asr_tv(*command, "--terms", "terms.txt", "--boost", "30").out)["text"]
        assert boosted != plain
        for options in (
            ["--beams", "3"],
            ["--prompt", "the tone"],
            ["--terms", "terms.txt", "--engine", "ctranslate2"],
        ):
            assert asr_tv(*command, *options).code == 0

    def test_an_ngram_is_read_over_the_model_s_own_tokens(
        self, asr_tv: Command, models: Path, clip: Path, tmp_path: Path
    ) -> None:
        from asr_tv.decoding.biasing.arpa import write_arpa
        from asr_tv.decoding.biasing.ngram import train
        from asr_tv.decoding.biasing.search import spellings
        from asr_tv.models.whisper import load_tokenizer

        tokenizer = load_tokenizer(models / "base")
        end = tokenizer.eos_token_id
        text = tokenizer.encode(" press one", add_special_tokens=False)
        (tmp_path / "m.arpa").write_text(write_arpa(train([text], 3, end), spellings(tokenizer, end)))
        command = ["transcribe", models / "base", clip, "--quiet", "--ngram"]
        assert asr_tv(*command, "m.arpa").code == 0
        whole = (tmp_path / "m.arpa").read_text()
        (tmp_path / "cut.arpa").write_text(whole[: len(whole) // 2])
        problems = asr_tv(*command, "cut.arpa").problems
        assert any(problem.startswith("cut.arpa: ") and problem.endswith(": cut short") for problem in problems)
        (tmp_path / "words.arpa").write_text(whole.replace("\tĠon", "\tQuox").replace(" Ġon", " Quox"))
        assert asr_tv(*command, "words.arpa").problems == [
            "words.arpa: in another vocabulary: 1 of its words are no tokens of this recogniser, such as Quoxe"
        ]

    def test_bad_input_is_told_together(self, asr_tv: Command, models: Path, clip: Path, tmp_path: Path) -> None:
        (tmp_path / "terms.txt").write_text("tone\n<|endoftext|>\n")
        (tmp_path / "no.arpa").write_text("hello\n")
        command = ["transcribe", models / "base", clip, "--quiet"]
        problems = asr_tv(
            *command, "--terms", "terms.txt", "--ngram", "no.arpa", "--prompt", "<|startoftranscript|>"
        ).problems
        assert problems == [
            "term '<|endoftext|>': spells a control token: <|endoftext|>",
            "no.arpa: no ARPA file: it has no `ngram 1=` line",
            "--prompt: spells a control token: <|startoftranscript|>",
        ]
        (tmp_path / "empty.txt").write_text("\n# nothing\n")
        assert asr_tv(*command, "--terms", "empty.txt").problems == ["empty.txt: no term"]
        (tmp_path / "marks.txt").write_text("...\ntone\n{x}\n")
        assert asr_tv(*command, "--terms", "marks.txt").problems == [
            "marks.txt:1: not a term: ...",
            "marks.txt:3: not a term: {x}",
        ]
        (tmp_path / "many.txt").write_text("".join(f"term {n}\n" for n in range(100_000)))
        (problem,) = asr_tv(*command, "--terms", "many.txt").problems
        assert problem == "many.txt: 100000 terms; at most 10000 can be boosted: give the rarest"

    def test_a_long_prompt_says_what_is_cut(self, asr_tv: Command, models: Path, clip: Path) -> None:
        done = asr_tv("transcribe", models / "base", clip, "--quiet", "--prompt", "first words " + "tone " * 400)
        assert done.code == 0
        assert done.lines[0].startswith("--prompt: over 223 tokens; left out at its start: first words tone")
