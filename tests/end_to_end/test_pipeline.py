"""The whole method on fakes: what comes out, what a second run costs, what a change costs, and the ledger."""

import json
import shutil
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import torch
from jsonschema import validate

from asr_tv.config.run import AdaptConfig
from asr_tv.decoding import options as decoding
from asr_tv.decoding.options import TRANSFORMERS
from asr_tv.decoding.recogniser import WhisperRecogniser
from asr_tv.errors import ConfigError, DataError, UserError
from asr_tv.models.tensors import open_tensors
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.pipeline.graph import adapt
from asr_tv.pipeline.likeness.domain_words import report_terms
from asr_tv.pipeline.planning import Plan
from asr_tv.runs import players
from asr_tv.runs.run import run
from asr_tv.runs.unfinished import unfinished_report
from asr_tv.store.results import Store
from asr_tv.testing.runs import fake_config

REHEARSED = {"rehearsal__share": 0.5}


class Run:
    """One finished run and what its executor did."""

    def __init__(self, config: AdaptConfig, folder: Path) -> None:
        self.plans: list[Plan] = []
        self.folder = folder
        self.execute = InProcess(Store(folder.parent / "store"))
        self.report = run(config, self.execute, folder, announce=self.plans.append)

    @property
    def executed(self) -> Counter[str]:
        return Counter(done.record.stage for done in self.execute.done if not done.record.cached)

    def rows(self, role: str = "target") -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in self.report["systems"] if row["role"] == role}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    return Run(fake_config(folder, **REHEARSED), folder / "out")


def again(first: Run, **overrides: Any) -> Run:
    return Run(fake_config(first.folder.parent, **REHEARSED, **overrides), first.folder.parent / "again")


def test_every_row_is_there(first: Run) -> None:
    starts = ["", "source_real_then_", "source_mixed_then_"]
    tuned = [f"{start}target_synthetic{suffix}" for start in starts for suffix in ("", "_augmented")]
    sources = ["pretrained", "source_real", "source_synthetic", "source_mixed"]
    assert set(first.rows()) == {*sources, *tuned, "adapted", "adapted_short_context", "topline"}
    assert set(first.rows("source")) == {*sources, *tuned, "adapted"}
    assert [name for name, row in first.rows().items() if not row["text_only"]] == ["topline"]
    assert {c["rival"] for c in first.report["comparison"]} == {*sources, *tuned, "topline"}


def test_every_row_is_in_30_s_but_the_one_that_says_otherwise(first: Run) -> None:
    contexts = {name: row["conditions"]["audio_context"] for name, row in first.rows().items()}
    assert contexts.pop("adapted_short_context") == "dynamic"
    assert set(contexts.values()) == {"full"}


def test_a_context_start_is_a_row_and_what_every_training_starts_from(first: Run) -> None:
    fixed = {"start": "pretrained", "augmentation": False, "scaling_coef": 0.5}
    chosen = {"method": "fixed", "fixed": fixed}
    safe = again(first, context_start={"epochs": 3, "learning_rate": 1e-3}, selection=chosen)
    row = safe.rows()["pretrained_short_context"]
    assert row["conditions"]["audio_context"] == "full"
    assert row["text_only"]
    assert safe.executed["context_start"] == 1
    assert [plan.fine_tunings for plan in safe.plans] == [safe.executed["finetune"]], "every training has another base"
    assert safe.report["ledger"]["target_recordings_read_before_scoring"] == []


def test_one_engine_decodes_every_row_also_where_it_is_chosen(first: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with bf16, where short audio alone would be decoded by CTranslate2: 30 s decides for all rows."""
    monkeypatch.setattr(decoding, "choose_precision", lambda *_: "bf16")
    chosen = again(first, scoring={"engine": "auto"})
    conditions = [row["conditions"] for row in chosen.report["systems"]]
    assert {(c["engine"], c["precision"]) for c in conditions} == {(TRANSFORMERS, "bf16")}
    assert {c["audio_context"] for c in conditions} == {"full", "dynamic"}
    assert chosen.executed["finetune"] == 0


def test_the_plan_counts_the_trainings_that_were_made(first: Run) -> None:
    assert [plan.fine_tunings for plan in first.plans] == [first.executed["finetune"]]


def test_nothing_read_a_target_recording_before_the_final_scoring(first: Run) -> None:
    ledger = first.report["ledger"]
    assert ledger["target_recordings_read_before_scoring"] == []
    reads = [e for e in ledger["entries"] if "travel" in e["domains"] and "real" in e["origins"]]
    assert {e["stage"] for e in reads} == {"transcribe", "score", "finetune"}
    assert {e["label"] for e in reads if e["stage"] == "finetune"} == {"finetune topline"}
    assert {tuple(e["splits"]) for e in reads if e["stage"] != "finetune"} == {("test",)}


def test_the_recipe_is_one_of_those_tried_on_source_domains(first: Run) -> None:
    selection = first.report["selection"]
    assert len(selection["scores"]) == 3 * 2 * 2
    assert selection["folds"] in (["banking"], ["parcels"])
    assert first.rows()["adapted"]["scaling_coef"] == selection["chosen"]["scaling_coef"]
    names = ("start", "augmentation", "scaling_coef")
    assert [selection["chosen"][n] for n in names] in [[s[n] for n in names] for s in selection["scores"]]


def test_outputs_are_whole_and_the_model_loads_in_transformers(first: Run) -> None:
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    report = json.loads((first.folder / "report.json").read_text())
    assert report == json.loads(json.dumps(first.report))
    assert "adapted" in (first.folder / "report.md").read_text()
    assert "base_model" in (first.folder / "model" / "README.md").read_text()
    assert json.loads((first.folder / "model" / "asr_tv.json").read_text())["audio_context"] == "full"
    model = WhisperForConditionalGeneration.from_pretrained(first.folder / "model")
    assert model.proj_out.weight.data_ptr() == model.model.decoder.embed_tokens.weight.data_ptr()
    assert WhisperProcessor.from_pretrained(first.folder / "model").tokenizer.is_fast
    assert open_tensors(first.folder / "vector.safetensors")


def test_adapted_is_the_chosen_start_plus_coefficient_times_vector(first: Run) -> None:
    chosen = first.report["selection"]["chosen"]
    names = {"pretrained": "", "source_real": "source_real_then_", "source_mixed": "source_mixed_then_"}
    start = f"finetune {names[chosen['start']]}target_synthetic{'_augmented' if chosen['augmentation'] else ''}"
    (record,) = [done.record for done in first.execute.done if done.label == start]
    base, adapted = open_tensors(record.path / "model"), open_tensors(first.folder / "model")
    vector = open_tensors(first.folder / "vector.safetensors")
    for name, tensor in base.items():
        if name in vector:
            torch.testing.assert_close(adapted[name], tensor + chosen["scaling_coef"] * vector[name])


def test_a_second_run_executes_nothing_and_says_the_same(first: Run) -> None:
    second = again(first)
    assert not second.executed
    without = {"stages"}
    assert {k: v for k, v in second.report.items() if k not in without} == {
        k: v for k, v in first.report.items() if k not in without
    }


def test_how_to_run_is_no_reason_to_run_again(first: Run) -> None:
    assert not again(first, run__eval_batch_size=16, run__workers=1, run__device="cpu").executed


def test_another_coefficient_costs_no_training(first: Run) -> None:
    executed = again(first, selection__scaling_coefs=[0.0, 0.25]).executed
    assert not executed["finetune"]
    assert not executed["synthesize"]
    assert executed["transcribe"]


def test_another_augmentation_retrains_only_what_is_augmented(first: Run) -> None:
    second = again(first, augmentation__probability=0.5)
    trained = {d.label for d in second.execute.done if d.record.stage == "finetune" and not d.record.cached}
    assert trained
    assert all("_augmented" in label for label in trained)


def test_text_only_with_source_speech_scores_no_target(first: Run, tmp_path: Path) -> None:
    texts = tmp_path / "orders.txt"
    texts.write_text("Two pizzas please.\nOne salad.\nThree coffees to go.\n")
    second = again(first, target__domain=None, target__texts=str(texts))
    row = second.rows()["adapted"]
    assert row["wer"] is None
    assert row["note"] == "no target recordings"
    assert second.rows("source")["adapted"]["words"] > 0
    assert second.report["ledger"]["target_recordings_read_before_scoring"] == []


def test_text_only_without_source_speech(first: Run, tmp_path: Path) -> None:
    texts = tmp_path / "orders.txt"
    texts.write_text("Two pizzas please.\nOne salad.\nThree coffees to go.\n")
    corpus = [c.model_dump() for c in fake_config(first.folder.parent).corpora]
    fixed = {"start": "pretrained", "augmentation": True, "scaling_coef": 0.0, "pretrained_weight": 0.5}
    second = again(
        first,
        corpora=[],
        general=corpus,
        target={"texts": str(texts)},
        target_trainable="freeze_encoder",
        selection={"method": "fixed", "fixed": fixed},
    )
    assert [plan.fine_tunings for plan in second.plans] == [1]
    assert set(second.rows("general")) == {"pretrained", "target_synthetic_augmented", "adapted"}
    assert not (second.folder / "vector.safetensors").exists()
    settings = json.loads((second.folder / "model" / "asr_tv.json").read_text())
    assert settings["audio_context"] == "full"  # too few sentences to learn a short context in their time
    label = "finetune target_synthetic_augmented"
    (tuned,) = [open_tensors(d.record.path / "model") for d in second.execute.done if d.label == label]
    base, adapted = open_tensors(first.folder.parent / "base"), open_tensors(second.folder / "model")
    name = "model.decoder.layers.0.fc1.weight"
    torch.testing.assert_close(adapted[name], (tuned[name] + base[name]) / 2)
    assert not torch.equal(tuned[name], base[name])
    frozen = [name for name in base if name.startswith("model.encoder.")]
    assert frozen
    assert all(torch.equal(tuned[name], base[name]) for name in frozen)


def test_unknown_target_names_the_domains(first: Run) -> None:
    with pytest.raises(ConfigError, match="banking, parcels, travel"):
        again(first, target__domain="cooking")


def test_leave_one_out_needs_two_source_domains(first: Run) -> None:
    with pytest.raises(ConfigError, match="two source domains"):
        again(first, sources=["banking"])


def test_mean_of_domains_trains_a_pair_a_domain(first: Run) -> None:
    second = again(first, vector__pooling="mean_of_domains", selection__starts=["pretrained"])
    pairs = [d for d in second.execute.done if " of " in d.label and d.record.stage == "finetune"]
    assert len(pairs) == 4
    assert sum(d.record.cached for d in pairs) == 2  # of the domain that is also all that the fold leaves
    assert second.plans[0].fine_tunings == len([d for d in second.execute.done if d.record.stage == "finetune"])


def test_the_report_is_of_the_published_schema(first: Run) -> None:
    schema = json.loads((resources.files("asr_tv.schemas") / "report-2.json").read_text(encoding="utf-8"))
    validate(first.report, schema)
    assert "Word error rates" in (first.folder / "report.html").read_text(encoding="utf-8")


def test_recordings_are_inlined_within_the_budget_linked_beyond_it_and_named_when_lost(
    first: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = Store(shutil.copytree(first.execute.store.root, tmp_path / "store"))
    outcome = adapt(fake_config(first.folder.parent), InProcess(store))
    assert outcome.chosen.material.target_test is not None
    ids = [u.id for u in outcome.chosen.material.target_test]
    report = {"examples": {"role": "target", "most_improved": [{"id": ids[0]}], "most_worsened": [{"id": ids[1]}]}}
    inline = players.players(report, outcome, tmp_path)
    assert [len(inline[i]) for i in ids[:2]] == [2, 2]
    assert all(p.source and p.source.startswith("data:audio/flac;base64,") for row in inline.values() for p in row)
    monkeypatch.setattr(players, "BUDGET", 0)
    (tmp_path / "out").mkdir()
    linked = players.players(report, outcome, tmp_path / "out")
    assert all((tmp_path / "out" / unquote(p.source or "")).is_file() for row in linked.values() for p in row)
    assert not any(p.source and Path(p.source).is_absolute() for row in linked.values() for p in row)
    for file in (tmp_path / "store").rglob("*.flac"):
        file.unlink()
    lost = players.players(report, outcome, tmp_path)
    assert {(p.source, p.note) for row in lost.values() for p in row} == {(None, "recording not found")}
    assert players.players({"examples": None}, outcome, tmp_path) == {}


def stopped(first: Run, folder: Path, *stages: str) -> Path:
    """A copy of the run's store that has not come to some of its stages, and a folder that has no report."""
    store = shutil.copytree(first.execute.store.root, folder / "store")
    for done in first.execute.done:
        if done.label in stages:
            shutil.rmtree(store / done.record.stage / done.record.key)
    (folder / "out").mkdir()
    shutil.copyfile(first.folder / "run.json", folder / "out" / "run.json")
    return store


def test_a_stopped_run_reports_what_it_has_and_what_is_missing(first: Run, tmp_path: Path) -> None:
    store = stopped(first, tmp_path, "score adapted on target", "score topline on target")
    before = sorted(store.rglob("*"))
    report = unfinished_report(tmp_path / "out", store)
    assert report is not None
    assert report["missing"][:2] == ["score adapted on target", "score topline on target"]
    rows = {row["name"]: row for row in report["systems"] if row["role"] == "target"}
    for name in ("pretrained", "target_synthetic"):
        assert rows[name]["wer"] == first.rows()[name]["wer"]
    assert (rows["adapted"]["wer"], rows["adapted"]["note"]) == (None, "not scored yet")
    assert report["ledger"]["target_recordings_read_before_scoring"] == []
    beside = (".lock", ".files")  # nothing of a result: locks, and what is known of files that were looked at
    assert [f for f in sorted(store.rglob("*")) if f.suffix not in beside] == [
        f for f in before if f.suffix not in beside
    ]
    for name in ("unfinished.md", "unfinished.html"):
        assert "score adapted on target" in (tmp_path / "out" / name).read_text(encoding="utf-8")
    assert not (tmp_path / "out" / "report.json").exists()


def test_a_run_stopped_at_its_start_still_has_a_report(first: Run, tmp_path: Path) -> None:
    stopped(first, tmp_path)
    report = unfinished_report(tmp_path / "out", tmp_path / "nothing")
    assert report is not None
    assert report["missing"][0].startswith("checkpoint ")
    assert {"fine-tunings", "the adapted model", "the report"} <= set(report["missing"])
    assert not (tmp_path / "nothing").exists()


def test_only_a_stopped_run_is_unfinished(first: Run, tmp_path: Path) -> None:
    assert unfinished_report(first.folder, first.execute.store.root) is None
    assert unfinished_report(tmp_path, first.execute.store.root) is None
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DataError, match=r"run\.json: cannot be read"):
        unfinished_report(tmp_path, first.execute.store.root)


def test_terms_of_the_user_or_of_the_target_s_texts(first: Run, tmp_path: Path) -> None:
    material = adapt(fake_config(first.folder.parent), InProcess(first.execute.store)).chosen.material
    words = tmp_path / "terms.txt"
    words.write_text("Boarding pass\n\nGate\n")
    for terms in (str(words), ["Gate,", "Boarding pass", "gate"]):
        found = report_terms(fake_config(first.folder.parent, scoring__terms=terms), material)
        assert found.origin == "given"
        assert set(found.terms) == {"gate", "boarding pass"}
    assert report_terms(fake_config(first.folder.parent), material).origin == "found"
    with pytest.raises(UserError, match="no such file"):
        again(first, scoring__terms="nowhere.txt")


def test_a_model_that_hears_nothing_has_a_report(first: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other bounds of decoding, so that everything is transcribed anew; the trainings are there."""
    monkeypatch.setattr(WhisperRecogniser, "_text", lambda *_: "")
    deaf = again(first, scoring__max_new_tokens=11)
    assert not deaf.executed["finetune"]
    assert {row["wer"] for row in deaf.rows().values()} == {1.0}
    assert "adapted has 100.0 % WER" in deaf.report["verdict"]
    assert "Wrote no word for any recording of the target, so 100 % WER: pretrained, " in deaf.report["verdict"]
    assert "Wrote no word" in (deaf.folder / "report.md").read_text()
    told = first.report["verdict"].partition("so 100 % WER: ")[2].partition(".")[0].split(", ")
    assert {n for n, r in first.rows().items() if r["deletions"] == r["words"] == r["errors"]} == {*told} - {""}
    assert told != [*first.rows()]
