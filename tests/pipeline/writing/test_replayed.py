"""Texts of earlier domains that a run speaks to replay them: how many, whose, and what is kept of a domain."""

import json
from pathlib import Path
from typing import Any

import pytest

from asr_tv.config.run import AdaptConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest, in_domain
from asr_tv.data.text_models import text_model_stage
from asr_tv.errors import ConfigError
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.pipeline.graph import adapt
from asr_tv.pipeline.material import prepare
from asr_tv.pipeline.planning import Planner
from asr_tv.store.payload import TEXT_MODEL
from asr_tv.store.results import Store
from asr_tv.store.runtime import Runtime
from asr_tv.testing.keys import planned_keys
from asr_tv.testing.runs import fake_config

FIXED = {"method": "fixed", "fixed": {"start": "pretrained", "augmentation": False, "scaling_coef": 0.5}}


def config(folder: Path, **more: Any) -> AdaptConfig:
    more = {"synthesis__takes": 2, "run": {"jobs": 1, "workers": 1}} | more
    return fake_config(folder, selection=FIXED, **more)


def spoken(folder: Path, **more: Any) -> tuple[Manifest, Manifest]:
    """The clips that are replayed, and the target's, of a run that is only planned."""
    made = config(folder, **more)
    execute = InProcess(Store(folder / "store"))
    real = frozenset({"checkpoint", "corpus", "noise", "synthesize", "write"})
    with Planner(execute, real) as planner:
        adapt(made, planner)
        found = {d.label: stored_manifest(d.record) for d in planner.done if d.record.stage == "synthesize"}
    return found["synthesize replay"], found["synthesize target"]


@pytest.mark.parametrize("origin", ["texts", "generated"])
def test_the_share_counts_texts_which_are_divided_evenly_over_other_domains(tmp_path: Path, origin: str) -> None:
    replayed, target = spoken(tmp_path, replay={"share": 0.7, "origin": origin})
    texts = len({u.text for u in target})
    by_domain = {d: len({u.text for u in replayed if u.domain == d}) for d in replayed.domains}
    assert sum(by_domain.values()) == -(-7 * texts // 10)
    assert set(by_domain) == {"banking", "parcels"}
    assert max(by_domain.values()) - min(by_domain.values()) <= 1
    assert len(replayed) == 2 * sum(by_domain.values())  # takes
    assert {u.origin for u in replayed} == {"synthetic"}


@pytest.mark.parametrize("origin", ["texts", "generated"])
def test_nothing_that_is_scored_is_replayed(tmp_path: Path, origin: str) -> None:
    replayed, _ = spoken(tmp_path, replay={"share": 9.0, "origin": origin})
    material = prepare(config(tmp_path), InProcess(Store(tmp_path / "store")))
    scored = {u.text for m in (material.source_dev, material.source_test, material.target_test) for u in m or ()}
    assert len(replayed)
    assert not {u.text for u in replayed} & scored


def test_no_share_changes_no_key(tmp_path: Path) -> None:
    plain = planned_keys(config(tmp_path), tmp_path)
    assert planned_keys(config(tmp_path, replay={"share": 0, "origin": "generated"}), tmp_path) == plain


def test_a_kept_text_model_stands_for_a_domain_whose_texts_are_gone(tmp_path: Path) -> None:
    made = config(tmp_path)
    store = Store(tmp_path / "store")
    material = prepare(made, InProcess(store))
    texts = material.source_train.where("texts", in_domain("banking"))
    kept = text_model_stage(Runtime(store), texts, 3, "english")
    assert kept.details["bytes"] < 20_000
    more = {"sources": ["parcels"], "replay": {"share": 2.0, "origin": "generated"}}
    more["replay"]["writers"] = {"banking": str(kept.path / TEXT_MODEL)}
    replayed, _ = spoken(tmp_path, **more)
    assert set(replayed.domains) == {"banking", "parcels"}
    with pytest.raises(ConfigError, match=r"replay.writers: write for replay.origin generated, and it is texts"):
        config(tmp_path, replay={"share": 1, "origin": "texts", "writers": {"banking": "x"}})
    with pytest.raises(ConfigError, match=r"replay.writers: travel is the target"):
        config(tmp_path, replay={"share": 1, "origin": "generated", "writers": {"travel": "x"}})


def test_the_record_has_the_share_that_is_recited(tmp_path: Path) -> None:
    made = config(tmp_path, replay={"share": 1.0, "origin": "generated"})
    execute = InProcess(Store(tmp_path / "store"))
    with Planner(execute, frozenset({"checkpoint", "corpus", "noise", "synthesize", "write"})) as planner:
        adapt(made, planner)
        rows = [d.record for d in planner.done if d.record.stage == "written"]
    assert {json.loads((r.path / "record.json").read_text())["details"]["domain"] for r in rows} == {
        "banking",
        "parcels",
    }
    for record in rows:
        details = record.details
        assert details["verbatim"] == details["recited"] / details["distinct"]
