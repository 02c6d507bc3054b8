"""The configuration is final before the first stage, and what the plan counts."""

from pathlib import Path
from typing import Any

import pytest

from asr_tv.config.parsing import parse_config
from asr_tv.config.run import AdaptConfig
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.pipeline.graph import adapt, settled
from asr_tv.pipeline.material import Material
from asr_tv.pipeline.planning import Plan
from asr_tv.store.results import Record, Store
from asr_tv.testing.keys import planned_keys
from asr_tv.testing.runs import fake_config, fake_values

FIXED = {"method": "fixed", "fixed": {"start": "pretrained", "augmentation": True, "scaling_coef": 0}}


def config(**more: Any) -> AdaptConfig:
    """From text alone, in two takes: with batches of 8 and 3 epochs 80 sentences make 60 updates."""
    values = {"name": "x", "target": {"texts": "texts.txt"}, "synthesis": {"takes": 2}, "selection": FIXED}
    return parse_config(values | more, "test")


def material(sentences: int, source: int = 0) -> Material:
    texts = Manifest("t", tuple(Utterance(f"t{n}", f"say number {n}", origin="text") for n in range(sentences)))
    real = Manifest("s", tuple(Utterance(f"s{n}", f"hear number {n}", audio="a") for n in range(source)))
    nothing, base = Manifest("none", ()), Record("checkpoint", "k", Path(), "d", (), {}, 0.0, True)
    return Material(base, "target", texts, None, None, real, nothing, nothing, None, None, nothing, (), ())


@pytest.mark.parametrize(("sentences", "context"), [(76, "full"), (77, "dynamic"), (200, "dynamic")])
def test_a_run_from_text_alone_is_tuned_in_30_s_where_it_has_too_few_updates(sentences: int, context: str) -> None:
    assert settled(config(), material(sentences)).training.audio_context == context


def test_a_text_is_spoken_by_so_many_voices_as_are_drawn_for_it() -> None:
    speech = {"takes": 2, "voices": ["a", "b", "c", "d"]}
    many, one = ({"synthesis": speech | more} for more in ({}, {"voices_per_text": 1}))
    assert settled(config(**many), material(40)).training.audio_context == "dynamic"
    assert settled(config(**one), material(40)).training.audio_context == "full"


@pytest.mark.parametrize("more", [{"short_context_updates": 0}, {"context_start": {}}])
def test_other_runs_keep_the_context_they_ask_for(more: dict[str, Any]) -> None:
    asked = config(**more)
    assert settled(asked, material(8)) == asked


def test_source_speech_is_enough_to_learn_a_short_context() -> None:
    assert settled(config(), material(8, source=8)) == config()


def test_settling_changes_nothing_else() -> None:
    asked = config(forgetting={"max_relative": 0.2})
    final = settled(asked, material(8))
    assert settled(final, material(8)) == final
    assert final.model_fields_set == {*asked.model_fields_set, "training"}, "whether a bound was named is kept"
    assert final == asked.model_copy(update={"training": asked.training.model_copy(update={"audio_context": "full"})})


def test_a_plan_is_told_in_words() -> None:
    assert str(Plan(9, 0, 0, 0, 9, 1.0)) == "9 fine-tunings"
    told = "23 fine-tunings: 12 for choosing one of 36 recipes, 4 of them in the store"
    assert str(Plan(23, 4, 12, 0, 23, 1.0, recipes=36)) == told
    assert str(Plan(2, 1, 0, 0, 2, 1.0, minutes=0.4)) == (
        "2 fine-tunings, 1 of them in the store; about 1 minute of training"
    )
    assert str(Plan(40, 0, 8, 6, 52, 1.25)) == (
        "6 runs, one per target and seed: 40 fine-tunings; sharing them between runs saves 12; "
        "about 1.2 GB more in the store"
    )


@pytest.mark.parametrize(
    ("effort", "rows", "recipes"),
    [
        (
            "quick",
            ["target_synthetic", "target_synthetic_augmented", "source_mixed_then_target_synthetic_augmented"],
            2,
        ),
        (
            "standard",
            [
                f"{start}target_synthetic{end}"
                for start in ("", "source_real_then_", "source_mixed_then_")
                for end in ("", "_augmented")
            ],
            36,
        ),
    ],
)
def test_effort_decides_which_rows_are_trained(tmp_path: Path, effort: str, rows: list[str], recipes: int) -> None:
    values = {name: value for name, value in fake_values(tmp_path).items() if name != "selection"}
    config = parse_config({**values, "selection": {"effort": effort}}, "fake")
    labels = planned_keys(config, tmp_path / "plan")
    own = [x for x in labels if x.startswith("finetune ") and "target_synthetic" in x and "fold" not in x]
    assert [x.removeprefix("finetune ") for x in own] == rows
    assert config.selection.recipes == recipes


def test_a_plan_counts_the_clips_that_are_heard_and_says_for_how_long(tmp_path: Path) -> None:
    told: list[Plan] = []
    execute = InProcess(Store(tmp_path / "store"))
    grid = {"folds": 1, "starts": ["pretrained", "source_real"], "augmentation": [True], "scaling_coefs": [0.0, 0.5]}
    adapt(fake_config(tmp_path, selection=grid, rehearsal__share=0.5), execute, told.append)
    tuned = {d.record.key: d.record.details for d in execute.done if d.record.stage == "finetune"}
    assert told[0].clips == sum(len(d["epoch_losses"]) * d["clips_per_epoch"] for d in tuned.values()) > 0
    assert told[0].recipes == 4
    assert told[0].minutes is not None
    assert 0 < told[0].minutes < 10
