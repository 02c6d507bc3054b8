"""Rows of decode-time methods in a whole run on fakes: all are there, chosen on folds, and no recording leaks."""

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from commands import Command
from jsonschema import validate

from asr_tv.config.biasing import BiasingConfig
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.decoding.biasing.phrases import Phrase
from asr_tv.errors import ConfigError
from asr_tv.pipeline import biasing
from asr_tv.pipeline.biasing import Setting, Words, check_biasing, choose_setting, safe_setting, settings_of
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.pipeline.graph import Outcome, adapt
from asr_tv.pipeline.hearing import Heard
from asr_tv.report.markdown import render_markdown
from asr_tv.runs.outputs import report_of, write_outputs
from asr_tv.scoring.wer import ErrorCounts
from asr_tv.store.results import Store
from asr_tv.testing.runs import fake_config

ROWS = {
    *(f"{model} + {row}" for model in ("pretrained", "adapted") for row in ("prompt", "boost", "ngram")),
    *(f"{model} + boost, distractors" for model in ("pretrained", "adapted")),
    "text_only_decoder",
}
BIASING = {
    "boosts": [0.0, 2.0],
    "alphas": [0.0, 0.2],
    "gammas": [0.0, 0.5],
    "prompt_terms": [3],
    "prompt_sentences": [2],
    "nearest": 2,
    "misheard_takes": 1,
    "distractors": 5,
    "text_only": {"epochs": 1},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("biasing")
    choice = {"selection__starts": ["pretrained"], "selection__augmentation": [False]}
    config = fake_config(folder, biasing=BIASING, scoring__terms=["account", "my order"], **choice)
    execute = InProcess(Store(folder / "store"))
    with pytest.MonkeyPatch.context() as patch:  # the fakes' domains all have the same words
        patch.setattr(biasing, "distractors_of", lambda *_: ("glockenspiel",))
        outcome = adapt(config, execute)
    report = report_of(outcome, execute.done)
    write_outputs(outcome, report, folder / "out")
    return outcome, report, folder / "out"


def test_every_row_stands_in_the_table_and_in_the_comparison(run: tuple[Outcome, dict[str, Any], Path]) -> None:
    _, report, _ = run
    assert {row["name"] for row in report["systems"] if row["role"] == "target"} >= ROWS
    assert {row["rival"] for row in report["comparison"] if row["role"] == "target"} >= ROWS
    assert all(row["text_only"] for row in report["systems"] if row["name"] in ROWS)
    assert {row["system"] for row in report["biasing"]["systems"]} == ROWS | {"pretrained", "adapted"}
    assert "## Words alone" in render_markdown(report)


def test_nothing_of_the_target_is_read_before_scoring(run: tuple[Outcome, dict[str, Any], Path]) -> None:
    assert run[1]["ledger"]["target_recordings_read_before_scoring"] == []


def test_strengths_are_chosen_among_all_candidates_on_the_folds(run: tuple[Outcome, dict[str, Any], Path]) -> None:
    choices = {choice["system"]: choice for choice in run[1]["biasing"]["choices"]}
    assert len(choices["pretrained + boost"]["tried"]) == 2
    assert len(choices["adapted + ngram"]["tried"]) == 3
    assert len(choices["pretrained + prompt"]["tried"]) == 3
    assert "adapted + prompt" not in choices  # it takes the pretrained model's
    for choice in choices.values():
        best = min(errors for _, errors, _ in choice["tried"])
        assert next(s for s, errors, _ in choice["tried"] if errors == best) == choice["chosen"]


def test_distractors_are_terms_of_the_sources_that_the_target_never_has(
    run: tuple[Outcome, dict[str, Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    general = {"palak": 1e-9, "paneer": 1e-9, "glockenspiel": 1e-9}
    monkeypatch.setattr(biasing, "general_frequency", lambda _: lambda word: general.get(word, 1e-3))
    chosen = run[0].chosen
    texts = ("Two palak paneer and a glockenspiel.", "Please call the palak paneer, twice.")
    source = Manifest("source", tuple(Utterance(str(n), text, "menu") for n, text in enumerate(texts)))
    spoken = Manifest("test", (Utterance("t", "One glockenspiel"),))
    material = replace(chosen.material, source_train=source, target_test=spoken)
    words = Words((Phrase("message"),), ("message",), ("Please call my message",), run[0].adapted, None)
    assert biasing.distractors_of(chosen.config, material, words) == ("palak paneer",)


def test_a_run_leaves_its_words_for_other_programs(run: tuple[Outcome, dict[str, Any], Path]) -> None:
    outcome, _, folder = run
    terms = [phrase.text for phrase in outcome.biased.terms]
    assert (folder / "biasing" / "terms.txt").read_text().splitlines() == terms
    hotwords = (folder / "biasing" / "hotwords.txt").read_text().strip()
    assert sorted(hotwords.split(", ")) == sorted(terms)
    assert (folder / "biasing" / "ngram.arpa").read_text().startswith("\\data\\")
    json.dumps(run[1], allow_nan=False)


def test_the_card_says_what_the_words_bought_and_cost(run: tuple[Outcome, dict[str, Any], Path]) -> None:
    _, report, folder = run
    card = (folder / "model" / "README.md").read_text()
    rows = {row["name"]: row for row in report["systems"] if row["role"] == "target"}
    for name in ROWS:
        assert f"| travel | {name} | full | {rows[name]['wer']:.1%} | " in card
    for row in report["biasing"]["systems"]:
        assert f"{row['system']} {row['false_alarms_per_hour']:.0f}" in card


@pytest.mark.parametrize("form", ["hf", "ctranslate2"])
def test_an_export_has_the_words_and_what_they_bought(
    form: str, run: tuple[Outcome, dict[str, Any], Path], asr_tv: Command
) -> None:
    folder = run[2]
    made = asr_tv("export", folder, "--format", form, "--clips", 0, "--store", folder.parent / "store", "--quiet")
    assert made.code == 0, made.lines
    exported = folder / "exports" / form
    names = {f"biasing/{name}" for name in ("terms.txt", "hotwords.txt", "ngram.arpa")}
    assert names <= json.loads((exported / "export.json").read_text())["files"].keys()
    for name in names:
        assert (exported / name).read_bytes() == (folder / name).read_bytes()
    assert "| travel | adapted + ngram | full | " in (exported / "README.md").read_text()


def test_the_report_is_of_the_published_schema(run: tuple[Outcome, dict[str, Any], Path]) -> None:
    validate(run[1], json.loads((files("asr_tv.schemas") / "report-2.json").read_text(encoding="utf-8")))


def test_retention_and_verdict_say_whether_adapted_can_still_be_prompted(
    run: tuple[Outcome, dict[str, Any], Path],
) -> None:
    report = run[1]
    assert len(report["biasing"]["prompted"]) == 3
    assert "The prompt that was chosen for pretrained " in report["verdict"]
    page = (run[2] / "report.html").read_text(encoding="utf-8")
    assert page.index('id="forgetting"') < page.index('id="prompted"') < page.index('id="words-alone"')


class TestSettings:
    config = BiasingConfig(boosts=(2.0, 0.0), alphas=(0.0, 0.2), gammas=(0.0, 0.5), betas=(0.0, 0.3), nearest=0)

    def test_the_weakest_come_first_and_nothing_is_subtracted_from_nothing(self) -> None:
        assert [s.boost for s in settings_of(self.config, "boost")] == [0.0, 2.0]
        grid = [(s.alpha, s.beta, s.gamma) for s in settings_of(self.config, "ngram")]
        assert grid == [(0.0, 0.0, 0.0), (0.2, 0.0, 0.0), (0.2, 0.0, 0.1), (0.2, 0.3, 0.0), (0.2, 0.3, 0.1)]

    def test_without_folds_the_safe_strengths(self) -> None:
        assert safe_setting(self.config, "boost").chosen == {"boost": 1.0}
        assert safe_setting(self.config, "ngram").chosen == {"alpha": 0.1}
        assert safe_setting(self.config, "prompt").chosen == {"terms": 30}

    def test_of_equal_ones_the_weakest(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        class Scored:
            def __init__(self, errors: int) -> None:
                self.word_counts = ErrorCounts(hits=10 - errors, substitutions=errors)

        errors = iter([3, 2, 1, 2])  # two settings on two folds: 5 and 3
        monkeypatch.setattr(biasing, "score_hearings", lambda *_: [Scored(next(errors)) for _ in range(4)])
        monkeypatch.setattr(biasing, "bias_of", lambda *_: None)
        monkeypatch.setattr(biasing, "hearing", lambda *_: None)
        config = fake_config(tmp_path, biasing={"boosts": [0, 2]})
        folds: Any = [(Heard("pretrained", None, None), None)] * 2  # type: ignore[arg-type]
        setting, tried = choose_setting(config, "boost", folds, None)  # type: ignore[arg-type]
        assert setting == Setting("boost", boost=2.0)
        assert tried == (({}, 5, 20), ({"boost": 2.0}, 3, 20))


def test_more_terms_than_are_boosted_are_refused_and_not_cut(tmp_path: Path) -> None:
    (tmp_path / "many.txt").write_text("".join(f"term {n}\n" for n in range(100_000)))
    with pytest.raises(ConfigError) as error:
        check_biasing(fake_config(tmp_path, biasing={}, scoring__terms=str(tmp_path / "many.txt")), "whisper")
    assert list(error.value.problems) == [
        "scoring.terms: 100000 terms, and biasing.max_terms is 100: set it higher, at most 10000, or give the rarest"
    ]
    check_biasing(fake_config(tmp_path, scoring__terms=["a", "b"], biasing={"max_terms": 2}), "whisper")


def test_ctc_models_are_refused_before_anything(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="are for Whisper"):
        check_biasing(fake_config(tmp_path, biasing={}), "ctc")
