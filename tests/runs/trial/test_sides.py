"""What the arguments compare: a run's models with its terms and settings, two runs, two models."""

import json
from pathlib import Path
from typing import Any

import pytest

from asr_tv.errors import ConfigError
from asr_tv.runs.trial.sides import Side, comparison_of


def found(model: str) -> tuple[str, dict[str, Any]]:
    return model, {"audio_context": "full"}


def made_run(folder: Path, **report: Any) -> Path:
    folder.mkdir()
    settings = {"model": "openai/whisper-tiny", "language": "it"}
    row = {"schema_version": 2, "name": folder.name, "systems": [], "verdict": "", "target_domain": "menu"}
    (folder / "report.json").write_text(json.dumps(row | {"settings": settings, "stages": []} | report))
    return folder


def test_a_run_is_its_pretrained_and_its_adapted_model_in_its_language(tmp_path: Path) -> None:
    run = made_run(tmp_path / "menu")
    compared = comparison_of([str(run)], found)
    settings = {"audio_context": "full", "language": "it"}
    assert compared.sides == (
        Side("pretrained", "openai/whisper-tiny", settings),
        Side("adapted", str(run / "model"), settings),
    )
    assert compared.run is not None
    assert compared.title == "menu"


@pytest.mark.parametrize(("chosen", "boosts"), [({"boost": 2.0}, [2.0]), ({}, []), (None, [1.0])])
def test_the_runs_terms_are_boosted_as_it_chose(
    tmp_path: Path, chosen: dict[str, float] | None, boosts: list[float]
) -> None:
    rows = [] if chosen is None else [{"system": "pretrained + boost", "chosen": chosen}]
    run = made_run(tmp_path / "menu", biasing={"choices": rows})
    (run / "biasing").mkdir()
    (run / "biasing" / "terms.txt").write_text("gnocchi\n")
    sides = comparison_of([str(run)], found).sides
    assert [side.boost for side in sides if side.terms == run / "biasing" / "terms.txt"] == boosts
    assert (sides[0].name, sides[-1].name) == ("pretrained", "adapted")


def test_two_runs_are_their_adapted_models_and_two_models_themselves(tmp_path: Path) -> None:
    first, second = made_run(tmp_path / "one"), made_run(tmp_path / "two")
    two = comparison_of([str(first), str(second)], found)
    assert [(side.name, side.model) for side in two.sides] == [("one", f"{first}/model"), ("two", f"{second}/model")]
    assert two.run is not None
    assert two.run.folder == first
    models = comparison_of(["openai/whisper-tiny.en", "openai/whisper-base"], found)
    assert [side.model for side in models.sides] == ["openai/whisper-tiny.en", "openai/whisper-base"]
    assert models.run is None


def test_sides_of_one_name_are_told_apart() -> None:
    assert [side.name for side in comparison_of(["a/model", "b/model"], found).sides] == ["a/model", "b/model"]
    assert len({side.name for side in comparison_of(["a/model", "a/model"], found).sides}) == 2


@pytest.mark.parametrize("given", [["openai/whisper-tiny.en"], ["a", "b", "c"]])
def test_one_model_alone_or_three_compare_nothing(given: list[str]) -> None:
    with pytest.raises(ConfigError, match="give one run, or two runs or models"):
        comparison_of(given, found)
