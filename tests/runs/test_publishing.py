"""A run's vector goes out and comes back into a run without source speech; on fakes."""

import json
from pathlib import Path
from typing import Any

import pytest
from commands import Command

from asr_tv.errors import ConfigError, DataError
from asr_tv.models.tensors import open_tensors
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.runs.publishing import recommended_coefs
from asr_tv.runs.run import run
from asr_tv.store.payload import MODEL, VECTOR
from asr_tv.store.results import Store
from asr_tv.testing.runs import fake_config
from asr_tv.vectors.apply import apply_vector
from asr_tv.vectors.published.folder import Publication, read_card
from asr_tv.vectors.published.index import VectorIndex

Whole = tuple[Any, Path]


@pytest.fixture(scope="module")
def published(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the whole run's vector, in fp32."""
    from asr_tv.runs.publishing import publish_run

    _, root = whole
    out = tmp_path_factory.mktemp("published") / "fake-vector"
    publish_run(root / "out", Publication("fake-vector", "1.0.0", "CC0-1.0", "fp32"), Store(root / "store"), out)
    return out


def textual(folder: Path, published: Path, **more: Any) -> Any:
    """A run without source speech; its target is scored on recordings that are in the corpora."""
    fixed = {"method": "fixed", "fixed": {"start": "pretrained", "augmentation": False, "scaling_coef": 0}}
    given = {"vector__published": str(published), "sources": [], "selection": fixed, "synthesis__takes": 1}
    return fake_config(folder, **given | more)


@pytest.fixture(scope="module")
def used(published: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], InProcess, Path]:
    folder = tmp_path_factory.mktemp("used")
    execute = InProcess(Store(folder / "store"))
    return run(textual(folder / "in", published), execute, folder / "out"), execute, folder


def test_the_card_says_what_it_was_made_of(published: Path) -> None:
    card = read_card(published)
    assert set(card.domains) == {"banking", "parcels"}
    assert card.source["utterances"] > 0
    assert card.source["seconds"] > 0
    assert card.synthesis == {"engines": ["fake"], "voices": ["tone"], "takes": 1}
    assert card.scaling_coef == {"pretrained": 0.5}
    assert card.chosen_on == "the configuration"


def test_the_run_takes_the_coefficient_and_one_fine_tuning(used: Any) -> None:
    report, execute, _ = used
    assert report["published"]["scaling_coef"] == 0.5
    assert report["published"]["vector"] == "fake-vector@1.0.0"
    model = [d for d in execute.done if d.record.stage == "finetune" and d.step.purpose == "model"]
    assert len(model) == 1


def test_the_adapted_model_is_that_of_vector_apply(used: Any, published: Path, tmp_path: Path) -> None:
    _, execute, folder = used
    start = next(d.record for d in execute.done if d.record.stage == "finetune" and d.step.purpose == "model")
    apply_vector(start.path / MODEL, published / VECTOR, 0.5, tmp_path / "by_hand")
    ours, theirs = open_tensors(folder / "out" / "model"), open_tensors(tmp_path / "by_hand")
    assert max(float((ours[n] - theirs[n]).abs().max()) for n in ours) == 0


def test_the_ledger_has_what_was_read_elsewhere(used: Any) -> None:
    report, _, folder = used
    foreign = [row for row in report["ledger"]["entries"] if row["stage"] == "published"]
    assert {row["manifest"] for row in foreign} == {f"published {o}: fake-vector@1.0.0" for o in ("real", "synthetic")}
    assert report["ledger"]["target_recordings_read_before_scoring"] == []
    assert "fake-vector@1.0.0" in (folder / "out" / "report.md").read_text()
    assert "CC0-1.0" in (folder / "out" / "model" / "README.md").read_text()


def test_a_vector_of_the_target_s_own_domain_is_a_leak_and_its_sentences_are_left_out(
    published: Path, tmp_path: Path
) -> None:
    config = textual(tmp_path / "in", published, target={"domain": "banking", "test_fraction": 0.8})
    report = run(config, InProcess(Store(tmp_path / "store")), tmp_path / "out")
    assert len(report["ledger"]["target_recordings_read_before_scoring"]) > 0
    assert report["published"]["left_out"] > 0
    assert "published vector was made of" in json.dumps(report["dropped"])
    assert report["published"]["shared_test_sentences"] == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"model": "other"}, "was made on .*, and these are other weights"),
        ({"sources": None}, "with source speech a run makes its own vector"),
    ],
)
def test_a_vector_that_does_not_fit_is_refused(
    published: Path, tmp_path: Path, models: Path, more: dict[str, Any], message: str
) -> None:
    more = {"model": str(models / "tuned")} if "model" in more else more
    config = textual(tmp_path / "in", published, **more)
    with pytest.raises((ConfigError, DataError), match=message):
        run(config, InProcess(Store(tmp_path / "store")), tmp_path / "out")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"vector__published": None, "vector__scaling_coef": 0.3}, "vector.scaling_coef: is of vector.published"),
        ({"selection__method": "leave_one_source_domain_out"}, "needs selection.method fixed"),
        ({"selection__fixed__scaling_coef": 0.4}, "a published vector's is vector.scaling_coef"),
    ],
)
def test_settings_that_do_not_fit(published: Path, tmp_path: Path, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        textual(tmp_path, published, **more)


def test_the_recommendation_is_of_fewest_errors_and_the_smaller_of_equal_ones() -> None:
    scores = [
        {"start": "pretrained", "scaling_coef": c, "wer": w}
        for c, w in ((0.0, 0.4), (0.3, 0.3), (0.6, 0.3), (1.0, 0.5))
    ]
    selection = {"scores": [*scores, {"start": "source_mixed", "scaling_coef": 0.0, "wer": 0.2}], "folds": ["a", "b"]}
    coefs, told = recommended_coefs(selection)
    assert coefs == {"pretrained": 0.3, "source_mixed": 0.0}
    assert told == "source domains that played the target: a, b"
    assert recommended_coefs(selection, 0.9)[0]["pretrained"] == 0.9


def test_from_the_command_line(asr_tv: Command, whole: Whole, tmp_path: Path) -> None:
    config, root = whole
    given = ("vector", "push", root / "out", "--name", "fake-vector", "--to", "shelf", "--store", root / "store")
    assert asr_tv(*given).problems[0].startswith("--licence: a vector goes out under a licence; it was made of")
    done = asr_tv(*given, "--licence", "CC BY-SA 3.0", "--json").row
    assert done["vector"] == "fake-vector@1.0.0"
    assert 0 < done["relative_error"] < 0.01
    index = ("--index", "shelf", "--store", tmp_path / "store", "--json")
    assert [v["name"] for v in asr_tv("vector", "list", *index).row["vectors"]] == ["fake-vector"]
    assert len(asr_tv("vector", "list", *index, "--for", config.model).row["vectors"]) == 1
    other = tmp_path / "other"
    from asr_tv.testing.whisper import tiny_whisper

    tiny_whisper(other, seed=5)
    assert asr_tv("vector", "list", *index, "--for", other).row["vectors"] == []
    row = asr_tv("vector", "pull", "fake-vector", "--index", "shelf", "--json").row
    assert row["licence"] == "CC BY-SA 3.0"
    assert read_card(Path(row["folder"])).numbers == "int8"
    assert asr_tv("vector", "info", Path(row["folder"]) / VECTOR, "--json").row["norm"] > 0
    assert "moon: not in shelf" in asr_tv("vector", "pull", "moon", "--index", "shelf").problems[0]
    assert VectorIndex("shelf").entries()[0].licence == "CC BY-SA 3.0"
    assert json.loads(Path("shelf/index.json").read_text())["schema_version"] == 1
