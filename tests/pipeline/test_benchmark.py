"""The leave-one-domain-out table on fakes: every row, what is shared, what a change costs, and the ledger."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Command

from asr_tv.config.benchmark import BenchmarkConfig
from asr_tv.decoding.recogniser import WhisperRecogniser
from asr_tv.errors import ConfigError, DataError
from asr_tv.models.tensors import open_tensors
from asr_tv.pipeline.benchmark import benchmark
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.pipeline.planning import Plan, Planner
from asr_tv.runs.benchmark import run_benchmark
from asr_tv.store.payload import RECORD
from asr_tv.store.results import Record, Store
from asr_tv.testing.runs import fake_benchmark

DOMAINS = ("banking", "parcels", "travel")
SMALL: dict[str, Any] = {
    "selection__augmentation": [False],
    "selection__starts": ["pretrained", "joint", "source_mixed"],
    "benchmark__ablations": {"replay": {"replay.share": 0.5}, "half": {"selection.fixed.pretrained_weight": 0.5}},
    "benchmark__source_counts": [1],
    "benchmark__paper_scorer": True,
}


class Run:
    """One finished table and what its executor did."""

    def __init__(self, config: BenchmarkConfig, folder: Path) -> None:
        self.plans: list[Plan] = []
        self.folder = folder
        self.execute = InProcess(Store(folder.parent / "store"))
        self.report = run_benchmark(config, self.execute, folder, announce=self.plans.append)

    @property
    def executed(self) -> Counter[str]:
        return Counter(done.record.stage for done in self.execute.done if not done.record.cached)

    def records(self, label: str) -> list[Any]:
        return [done.record for done in self.execute.done if done.label == label]

    def rows(self, test: str = "target") -> dict[str, dict[str, Any]]:
        return {row["system"]: row for row in self.report["tables"][test]}


def config(folder: Path, domains: tuple[str, ...] = DOMAINS, **overrides: Any) -> BenchmarkConfig:
    general = [{"kind": "manifest", "path": str(folder / "recordings" / "manifest.jsonl")}]
    return fake_benchmark(folder, domains=domains, **{"general": general, **SMALL, **overrides})


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("table")
    return Run(config(folder), folder / "out")


def again(first: Run, **overrides: Any) -> Run:
    return Run(config(first.folder.parent, **overrides), first.folder.parent / "again")


STARTS = ("target_synthetic", "joint", "source_mixed_then_target_synthetic")


def test_every_row_is_there_for_every_target(first: Run) -> None:
    plain = ["pretrained", "target_real", "source_real", "source_synthetic", "source_mixed", *STARTS]
    plain += ["source_mixed_then_target_real"]
    with_vector = [f"{b} + {k}" for b in (*STARTS, "source_mixed") for k in ("pooled", "mean_of_domains", "ties")]
    ablations = ["target_synthetic (replay)", "target_synthetic (half)"]
    assert set(first.rows()) == {*plain, *with_vector, *ablations, "adapted"}
    assert all(set(row["per_target"]) == set(DOMAINS) for row in first.rows().values())
    assert set(first.rows("source")) == set(first.rows("general")) == {*plain, *ablations, "adapted"}
    assert [name for name, row in first.rows().items() if not row["text_only"]] == [
        "target_real",
        "source_mixed_then_target_real",
    ]


def test_the_plan_counts_what_is_trained_and_what_sharing_saves(first: Run) -> None:
    (plan,) = first.plans
    assert plan.fine_tunings == first.executed["finetune"]
    assert plan.runs == len(DOMAINS)
    assert plan.stored == 0
    assert plan.alone > plan.fine_tunings
    assert f"saves {plan.alone - plan.fine_tunings}" in str(plan)


def test_one_fold_of_three_domains_shares_its_sources_with_the_pair(first: Run) -> None:
    """Sources without banking and parcels are travel alone: its pair, trained for the mean and for the oracle."""
    with Planner(first.execute) as planner:
        benchmark(config(first.folder.parent), planner)
    keys = {done.label: done.record.key for done in planner.done if done.record.stage == "finetune"}
    fold = next(label for label in keys if re.fullmatch(r"finetune source_real \(banking, seed 17, fold \w+\)", label))
    (alone,) = {"parcels", "travel"} - {fold.rstrip(")").rpartition(" ")[2]}
    assert keys[fold] == keys[f"finetune real of {alone} (seed 17)"]


def test_no_row_that_claims_text_only_came_from_target_recordings(first: Run) -> None:
    ledger = first.report["ledger"]
    assert ledger["target_recordings_read"] == []
    assert ledger["text_only_rows"] == 3 * (len(first.rows()) - 2)
    assert ledger["stages_walked"] > ledger["text_only_rows"]


def test_the_ledger_sees_a_planted_leak(first: Run) -> None:
    from asr_tv.pipeline.lineage import Lineage
    from asr_tv.report.ledger import target_recordings_read_before_scoring

    lineage = Lineage(first.execute.done)
    (made,) = first.records("finetune source_real (banking, seed 17)")
    stages = lineage.of([made])
    assert target_recordings_read_before_scoring(stages, "banking") == ()
    assert target_recordings_read_before_scoring(stages, "travel")


def test_lineage_reaches_from_a_merged_vector_back_to_the_pretrained_model(first: Run) -> None:
    from asr_tv.pipeline.lineage import Lineage

    (mean,) = first.records("mean vector (banking, seed 17)")
    stages = Counter(entry.stage for entry in Lineage(first.execute.done).of([mean]))
    assert stages == {"vector": 3, "finetune": 4, "checkpoint": 1}


def test_mean_vector_is_the_mean_of_the_domains_vectors(first: Run) -> None:
    (mean,) = first.records("mean vector (banking, seed 17)")
    parts = [first.records(f"vector of {d} (banking, seed 17)")[0] for d in ("parcels", "travel")]
    one, two, both = (open_tensors(r.path / "vector.safetensors") for r in (*parts, mean))
    for name in both:
        torch.testing.assert_close(both[name], (one[name] + two[name]) / 2)


def test_a_row_takes_the_coefficient_its_folds_chose(first: Run) -> None:
    for choice in first.report["choices"]:
        assert choice["target"] not in choice["folds"]
        assert len(choice["folds"]) == 1
        point = [
            p["wer"]
            for p in first.report["curves"]
            if (p["target"], p["system"]) == (choice["target"], choice["system"])
            and p["scaling_coef"] == choice["scaling_coef"]
            and choice["vector"] in (None, p["vector"])
        ]
        assert first.rows()["adapted"]["per_target"][choice["target"]]["wer"] == pytest.approx(point[0])


def test_directions(first: Run) -> None:
    names = first.report["cosines"]["names"]
    whole = first.report["cosines"]["parts"][0]
    assert {f"of {d}" for d in DOMAINS} | {f"pooled without {d}" for d in DOMAINS} <= set(names)
    assert all(whole["cosines"][n][n] == 1.0 for n in range(len(names)))
    assert set(first.report["norm_ratios"]) == {f"{p} {d}" for p in ("without", "of") for d in DOMAINS}
    assert all(0.5 < ratio["ratio"] < 2 for ratio in first.report["norm_ratios"].values())
    # A norm ratio is of the weights themselves.
    (real,) = first.records("finetune real of travel (banking, seed 17)")
    (synthetic,) = first.records("finetune synthetic of travel (banking, seed 17)")
    base = open_tensors(first.folder.parent / "base")

    def moved(record: Any) -> float:
        tuned = open_tensors(record.path / "model")
        return sum(float((tuned[n] - base[n]).double().square().sum()) for n in base) ** 0.5

    assert first.report["norm_ratios"]["of travel"]["ratio"] == pytest.approx(moved(real) / moved(synthetic), rel=1e-5)


def test_ablations_change_what_they_say(first: Run) -> None:
    (replay,) = first.records("finetune target_synthetic (replay) (travel, seed 17)")
    (plain,) = first.records("finetune target_synthetic (travel, seed 17)")
    assert replay.details["utterances"] == 1.5 * plain.details["utterances"]
    assert {(ref.origins, ref.domains) for ref in replay.reads} == {
        (("real",), ("banking", "parcels")),
        (("synthetic",), ("travel",)),
    }
    (half,) = first.records("average target_synthetic (half) (travel, seed 17)")
    tuned, base = open_tensors(plain.path / "model"), open_tensors(first.folder.parent / "base")
    averaged = open_tensors(half.path / "model")
    torch.testing.assert_close(averaged["model.encoder.conv1.weight"], (tuned["model.encoder.conv1.weight"] + base["model.encoder.conv1.weight"]) / 2)  # fmt: skip  # noqa: E501


def start_of(record: Record) -> str:
    """The digest of the checkpoint that a training started from."""
    return str(json.loads((record.path / RECORD).read_text())["inputs"]["base"])


def test_joint_hears_source_speech_from_the_pretrained_start(first: Run) -> None:
    (joint,) = first.records("finetune joint (travel, seed 17)")
    (plain,) = first.records("finetune target_synthetic (travel, seed 17)")
    assert start_of(joint) == start_of(plain)
    assert (("real",), ("banking", "parcels")) in {(ref.origins, ref.domains) for ref in joint.reads}
    assert joint.details["utterances"] > plain.details["utterances"]


def test_the_ceiling_starts_where_its_plain_rival_does(first: Run) -> None:
    (ceiling,) = first.records("finetune source_mixed_then_target_real (travel, seed 17)")
    (rival,) = first.records("finetune source_mixed_then_target_synthetic (travel, seed 17)")
    assert (
        start_of(ceiling)
        == start_of(rival)
        != start_of(first.records("finetune target_synthetic (travel, seed 17)")[0])
    )
    assert {(ref.origins, ref.domains) for ref in ceiling.reads} == {(("real",), ("travel",))}


def test_regret_is_against_the_best_row_of_text_alone_on_the_same_target_and_seed(first: Run) -> None:
    rows = [row for row in first.report["tables"]["target"] if row["text_only"]]
    regret = first.report["regret"]
    assert {(entry["target"], entry["seed"]) for entry in regret["choices"]} == {(d, 17) for d in DOMAINS}
    for entry in regret["choices"]:
        rates = {row["system"]: row["per_target"][entry["target"]]["per_seed"]["17"] for row in rows}
        assert rates[entry["best"]] == min(rates.values())
        assert entry["regret"] == pytest.approx(rates["adapted"] - min(rates.values()))
    assert regret["mean"] == pytest.approx(sum(entry["regret"] for entry in regret["choices"]) / 3)
    assert any(line.startswith("Regret: ") for line in first.report["conclusions"])


def test_outputs(first: Run) -> None:
    assert json.loads((first.folder / "benchmark.json").read_text()) == json.loads(json.dumps(first.report))
    page = (first.folder / "benchmark.md").read_text()
    for heading in (
        "Error rates on the targets' tests",
        "What a vector adds",
        "Directions",
        "Forgetting",
        "Leak ledger",
    ):
        assert heading in page
    assert "none read a real recording of its target" in page
    assert "released scorer" in page


def test_a_second_run_executes_nothing(first: Run) -> None:
    second = again(first)
    assert not second.executed
    assert second.report["tables"] == first.report["tables"]
    (plan,) = second.plans
    assert plan.stored == plan.fine_tunings == first.plans[0].fine_tunings


FEW_ROWS: dict[str, Any] = {
    "selection__starts": ["pretrained"],
    "benchmark__ablations": {},
    "benchmark__source_counts": [],
    "benchmark__vectors": ["pooled"],
}


def test_another_seed_retrains_and_is_averaged(first: Run) -> None:
    second = again(first, **FEW_ROWS, benchmark__seeds=[17, 18], benchmark__targets=["travel"])
    assert second.executed["finetune"]
    trained = [d.label for d in second.execute.done if d.record.stage == "finetune" and not d.record.cached]
    assert all("seed 18" in label for label in trained)
    row = second.rows()["source_real"]["per_target"]["travel"]
    assert row["wer"] == pytest.approx(sum(row["per_seed"].values()) / 2)


def test_another_domain_retrains_only_what_changed(first: Run) -> None:
    fixed = {"method": "fixed", "starts": ["pretrained"], "augmentation": [False], "scaling_coefs": [0.5]}
    fixed |= {"fixed": {"start": "pretrained", "augmentation": False, "scaling_coef": 0.5}}
    second = again(first, domains=(*DOMAINS, "hotels"), selection=fixed, benchmark__targets=["travel"])
    trained = {d.label for d in second.execute.done if d.record.stage == "finetune" and not d.record.cached}
    kept = {d.label for d in second.execute.done if d.record.stage == "finetune" and d.record.cached}
    spoken = [d.record for d in second.execute.done if d.record.stage == "synthesize" and not d.record.cached]
    assert sum(record.details["executed_clips"] for record in spoken) > 0
    assert all("hotels" in ref.domains for record in spoken if record.details["executed_clips"] for ref in record.reads)
    assert {f"finetune {kind} of banking (travel, seed 17)" for kind in ("real", "synthetic")} <= kept
    assert {"finetune target_synthetic (travel, seed 17)", "finetune topline (travel, seed 17)"} <= kept
    assert "finetune real of hotels (travel, seed 17)" in trained
    assert "finetune source_real (travel, seed 17)" in trained


def test_domains_that_are_not_there_are_named_with_those_that_are(first: Run) -> None:
    with pytest.raises(ConfigError, match=r"no domain 'cooking'\n.*banking, parcels, travel"):
        again(first, benchmark__targets=["cooking"])
    with pytest.raises(ConfigError, match="needs 3"):
        again(first, sources=["banking", "travel"])


def test_a_domain_with_one_sentence(first: Run, tmp_path: Path) -> None:
    rows = [
        json.loads(line) for line in (first.folder.parent / "recordings" / "manifest.jsonl").read_text().splitlines()
    ]
    lonely = [row for row in rows if row["domain"] != "travel"] + [row for row in rows if row["domain"] == "travel"][:1]
    for row in lonely:
        row["audio"] = str(first.folder.parent / "recordings" / row["audio"])
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lonely))
    with pytest.raises(DataError, match=r"domain travel: 1 sentence\(s\) cannot fill 3 splits"):
        again(first, corpora=[{"kind": "manifest", "path": str(tmp_path / "m.jsonl"), "outside": True}])


def test_shared_sentences_are_reported_and_left_out(first: Run, tmp_path: Path) -> None:
    recordings = first.folder.parent / "recordings"
    rows = [json.loads(line) for line in (recordings / "manifest.jsonl").read_text().splitlines()]
    for row in rows:
        row["audio"] = str(recordings / row["audio"])
    rows[0] |= {"split": "test", "text": "Pay my bill."}  # banking
    rows[8] |= {"text": "pay my bill"}  # parcels
    rows[9] |= {"split": "test"}
    rows[10] |= {"split": "dev"}  # nothing is drawn there any more: the rest of parcels trains
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = [{"kind": "manifest", "path": str(tmp_path / "m.jsonl"), "outside": True}]
    from asr_tv.pipeline.domains import split_domains

    execute = InProcess(Store(tmp_path / "store"))
    strict = split_domains(config(first.folder.parent, corpora=corpus), execute)
    loose = split_domains(config(first.folder.parent, corpora=corpus, drop_shared_sentences=False), execute)
    (shared,) = strict.shared
    assert shared.id == rows[8]["id"]
    assert shared.reason == "its sentence is in dev or test of banking"
    assert loose.shared == strict.shared
    assert len(loose.domains["parcels"].train) == len(strict.domains["parcels"].train) + 1


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({"target": {"domain": "travel"}}, "target: every domain is the target in turn"),
        ({"benchmark__ablations": {"x": {"training.epoch": 1}}}, "benchmark.ablations.x: unknown key training.epoch"),
        (
            {"corpora": [], "selection__method": "fixed", "selection__fixed__scaling_coef": 0},
            "corpora: a benchmark needs",
        ),
        ({"benchmark__ablation_start": "source_real"}, "ablation_start: source_real is not among"),
        ({"benchmark__seeds": [1, 1]}, "more than once"),
        ({"sources": ["banking", "travel"], "benchmark__targets": ["parcels"]}, "parcels not among sources"),
    ],
)
def test_configurations_that_contradict_themselves(tmp_path: Path, overrides: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        config(tmp_path, **overrides)
    assert problem in str(error.value)


def test_the_command_prints_the_plan_and_ends_as_failed_where_the_bound_is_broken(
    asr_tv: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asr_tv.runs import benchmark as module

    def fake(*_: Any, announce: Any) -> dict[str, Any]:
        announce(Plan(fine_tunings=40, stored=3, choosing=8, runs=6, alone=52, gigabytes=1.25))
        rows = [{"target": "travel", "pretrained": 0.1, "adapted": 0.9, "passed": False}]
        return {"conclusions": ["told"], "executed": 1, "forgetting": {"passed": False, "rows": rows}}

    monkeypatch.setattr(module, "run_benchmark", fake)
    (tmp_path / "table.yaml").write_text(config(tmp_path).model_dump_json(exclude={"target"}))
    done = asr_tv("benchmark", tmp_path / "table.yaml", "--store", tmp_path / "store")
    assert done.code == 1
    assert done.out == "told\n"
    assert "40 fine-tunings, 3 of them in the store; sharing them between runs saves 12" in " ".join(
        " ".join(done.lines).split()
    )
    assert "failed: general speech was lost beyond forgetting.max_relative" in done.lines[-1]


def test_a_model_that_hears_nothing_has_a_table(first: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other bounds of decoding, so that everything is transcribed anew; the trainings are there."""
    monkeypatch.setattr(WhisperRecogniser, "_text", lambda *_: "")
    deaf = again(first, **FEW_ROWS, scoring__max_new_tokens=11, benchmark__targets=["travel"])
    assert not deaf.executed["finetune"]
    assert {row["wer"] for row in deaf.rows().values()} == {1.0}
    assert deaf.report["conclusions"][-1].startswith("Wrote no word for any recording of the target, so 100 % WER: pr")
    assert "Wrote no word" in (deaf.folder / "benchmark.md").read_text()
