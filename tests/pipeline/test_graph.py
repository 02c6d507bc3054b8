"""The configuration is final before the first stage, and what the plan counts."""

from pathlib import Path
from typing import Any

import pytest

from asr_tv.config.parsing import parse_config
from asr_tv.config.run import AdaptConfig
from asr_tv.pipeline.graph import settled
from asr_tv.pipeline.planning import Plan

FIXED = {"method": "fixed", "fixed": {"start": "pretrained", "augmentation": True, "scaling_coef": 0}}


def text_only(folder: Path, sentences: int, **more: Any) -> AdaptConfig:
    """`sentences` sentences in two takes; with batches of 8 and 3 epochs 80 sentences make 60 updates."""
    texts = folder / "texts.txt"
    texts.write_text("".join(f"say number {n}\n" for n in range(sentences)), encoding="utf-8")
    values = {"name": "x", "target": {"texts": str(texts)}, "synthesis": {"takes": 2}, "selection": FIXED}
    return parse_config(values | more, "test")


@pytest.mark.parametrize(("sentences", "context"), [(76, "full"), (77, "dynamic"), (200, "dynamic")])
def test_a_run_from_text_alone_is_tuned_in_30_s_where_it_has_too_few_updates(
    tmp_path: Path, sentences: int, context: str
) -> None:
    assert settled(text_only(tmp_path, sentences)).training.audio_context == context


@pytest.mark.parametrize(
    "more",
    [
        {"short_context_updates": 0},
        {"context_start": {}},
        {"corpora": [{"kind": "asterisk"}], "selection": {}, "target": {"domain": "voicemail"}},
    ],
)
def test_other_runs_keep_the_context_they_ask_for(tmp_path: Path, more: dict[str, Any]) -> None:
    config = text_only(tmp_path, 8, **more)
    assert settled(config) == config
    assert settled(config).training.audio_context == "dynamic"


def test_settling_changes_nothing_else_and_is_done_once(tmp_path: Path) -> None:
    config = text_only(tmp_path, 8, forgetting={"max_relative": 0.2})
    final = settled(config)
    assert settled(final) == final
    assert final.model_fields_set == {*config.model_fields_set, "training"}, "whether a bound was named is kept"
    others = final.model_dump(exclude={"training"})
    assert others == config.model_dump(exclude={"training"})
    assert final.training == config.training.model_copy(update={"audio_context": "full"})


def test_a_plan_is_told_in_words() -> None:
    assert str(Plan(9, 0, 0, 0, 9, 1.0)) == "9 fine-tunings"
    assert str(Plan(23, 4, 12, 0, 23, 1.0)) == "23 fine-tunings: 12 for choosing the recipe, 4 of them in the store"
    assert str(Plan(40, 0, 8, 6, 52, 1.25)) == (
        "6 runs, one per target and seed: 40 fine-tunings; sharing them between runs saves 12; "
        "about 1.2 GB more in the store"
    )
