"""A run from terms: its sentences are a stage, keyed by the files' content, and never those of its own test."""

from pathlib import Path
from typing import Any

import pytest

from asr_tv.config.run import AdaptConfig
from asr_tv.data.text_models import written_sentences
from asr_tv.errors import ConfigError, DataError
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.pipeline.material import prepare
from asr_tv.pipeline.preflight import check
from asr_tv.store.results import Store
from asr_tv.testing.keys import planned_keys
from asr_tv.testing.runs import fake_config

FIXED = {"method": "fixed", "fixed": {"start": "pretrained", "augmentation": False, "scaling_coef": 0}}


@pytest.fixture
def terms(tmp_path: Path) -> Path:
    (tmp_path / "terms.txt").write_text("dish: pad thai\ndish: khao soi\nlarb gai\n")
    (tmp_path / "sentences.txt").write_text("I would like {dish} please.\nHow spicy is it today?\n")
    return tmp_path


def config(folder: Path, **more: Any) -> AdaptConfig:
    texts = {"terms": str(folder / "terms.txt"), "sentences": str(folder / "sentences.txt"), "count": 8}
    return fake_config(folder, texts=texts, target={"domain": "menu"}, sources=[], selection=FIXED, **more)


def test_the_sentences_are_the_target_s(terms: Path) -> None:
    execute = InProcess(Store(terms / "store"))
    material = prepare(config(terms), execute)
    assert material.target_domain == "menu"
    assert len(material.target_texts) == 8
    (done,) = [d for d in execute.done if d.record.stage == "written"]
    assert done.label == "write menu"
    assert written_sentences(done.record, "menu").digest == material.target_texts.digest
    assert done.record.details["terms_without_a_sentence"] == []


def test_a_changed_term_is_another_key_and_a_moved_file_is_not(terms: Path, tmp_path: Path) -> None:
    before = planned_keys(config(terms), terms)
    moved = tmp_path / "moved.txt"
    (terms / "terms.txt").rename(moved)
    assert planned_keys(config(terms, texts__terms=str(moved)), terms)["write menu"] == before["write menu"]
    moved.write_text(moved.read_text().replace("larb", "larp"))
    after = planned_keys(config(terms, texts__terms=str(moved)), terms)
    assert after["write menu"] != before["write menu"]
    assert after["synthesize target"] != before["synthesize target"]


def test_a_sentence_that_the_domain_s_recordings_hold_is_not_written(terms: Path) -> None:
    (terms / "sentences.txt").write_text("I would like {dish} please.\nPlease dispatch the parcel to number 7.\n")
    execute = InProcess(Store(terms / "store"))
    made = config(terms)
    recorded = prepare(fake_config(terms), execute).target_texts.utterances[0].text
    (terms / "sentences.txt").write_text(f"I would like {{dish}} please.\n{recorded}\n")
    texts = {u.text for u in prepare(config(terms, target__domain="travel"), execute).target_texts}
    assert recorded not in texts
    assert recorded in {u.text for u in prepare(made, execute).target_texts}


def test_what_is_wrong_is_known_before_a_run_starts(terms: Path) -> None:
    (terms / "sentences.txt").write_text("I want {drink}.\n")
    with pytest.raises(DataError, match=r"no term fills \{drink\}"):
        check(config(terms))
    with pytest.raises(ConfigError, match="texts: writes the sentences of a domain"):
        config(terms, target__texts="x.txt")
    with pytest.raises(ConfigError, match="one language model at a time"):
        config(terms, texts__llm="a", texts__local_llm="b")
