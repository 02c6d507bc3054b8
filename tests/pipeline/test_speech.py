"""The graph with a quality gate, on fakes: what is judged, what is spoken again, what the report says."""

import json
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate
from pydantic import ValidationError

from asr_tv.config.benchmark import BenchmarkConfig
from asr_tv.config.run import AdaptConfig, AugmentationConfig, ChannelConfig, SynthesisConfig, TrainingConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.pipeline import preflight
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.pipeline.graph import UNGATED, adapt
from asr_tv.pipeline.planning import Plan
from asr_tv.report.markdown import render_markdown
from asr_tv.report.page import render_page
from asr_tv.runs.outputs import report_of
from asr_tv.runs.run import run
from asr_tv.store.results import Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.synthesis.gate import gate as stage
from asr_tv.synthesis.synthesize import synthesize
from asr_tv.testing.runs import fake_config
from asr_tv.testing.speech import EnergyDetector, FakeSynthesizer, dummy_texts
from asr_tv.training.finetune import identity
from asr_tv.training.trainer import Job


@pytest.fixture(autouse=True)
def _detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "SpeechDetector", EnergyDetector)
    monkeypatch.setattr(preflight, "SpeechDetector", EnergyDetector)


STEPS = (("judge", ""), ("gate", ""), ("synthesize", " again (1)"), ("judge", " again (1)"), ("gate", " again (1)"))
LENIENT = {"cer_excess": 1000.0, "tempo_ratio": 10.0, "retries": 1}


class _Told(Exception):
    """The plan, before anything is trained."""


def planned(config: AdaptConfig, execute: InProcess) -> Plan:
    def told(plan: Plan) -> None:
        raise _Told(plan)

    with pytest.raises(_Told) as caught:
        adapt(config, execute, told)
    found: Plan = caught.value.args[0]
    return found


def gated_by(config: AdaptConfig, gate: dict | None) -> AdaptConfig:
    return AdaptConfig.model_validate(config.model_dump(mode="json") | {"gate": gate})


def test_a_gate_that_finds_nothing_trains_the_same_checkpoints(unbroken: tuple[AdaptConfig, Path], tmp_path: Path):
    config, root = unbroken
    store = Store(shutil.copytree(root / "store", tmp_path / "store"))
    before, gated = InProcess(store), InProcess(store)
    report = run(config, before, tmp_path / "run")
    assert report["gates"] == {}
    assert "Quality gate" not in render_markdown(report)
    assert UNGATED not in {row["name"] for row in report["systems"]}
    outcome = adapt(gated_by(config, LENIENT), gated)
    executed = {done.label for done in gated.done if not done.record.cached}
    assert executed == {"judge target", "judge source", "gate target", "gate source"}
    assert set(outcome.chosen.speech.gates) == {"target", "source"}
    assert {d.label for d in gated.done} - {d.label for d in before.done} > executed
    report = report_of(outcome, gated.done)
    assert UNGATED in {row["name"] for row in report["systems"]}


def test_rejected_clips_are_spoken_again_and_counted_in_the_folds_too(tmp_path: Path):
    one = fake_config(tmp_path, selection__starts=["pretrained"], selection__augmentation=[False], training__epochs=1)
    config = gated_by(one, {"cer_excess": 1000.0, "tempo_ratio": 1.05, "ablation": False})
    execute = InProcess(Store(tmp_path / "store"))
    outcome = adapt(config, execute)
    labels = [done.label for done in execute.done]
    order = [labels.index(f"{what} target{again}") for what, again in STEPS]
    assert order == sorted(order)
    assert not any(UNGATED in label for label in labels)
    assert set(outcome.chosen.speech.gates) == {"target", "source", f"{outcome.chosen.folds[0]} as target"}
    counts = outcome.chosen.speech.gates["target"].details
    assert counts["retakes"] > 0
    assert counts["judged"] == counts["retakes"] + 2 * len(outcome.chosen.material.target_texts)
    assert counts["all"]["kept"] < counts["all"]["clips"]
    report = report_of(outcome, execute.done)
    assert report["gates"]["target"] == counts
    assert any(row["stage"] == "gate" for row in report["dropped"]["utterances"])
    assert report["ledger"]["target_recordings_read_before_scoring"] == []
    text = render_markdown(report)
    assert "## Quality gate" in text
    assert "<h3>Quality gate</h3>" in render_page(report)
    validate(report, json.loads((resources.files("asr_tv.schemas") / "report-2.json").read_text(encoding="utf-8")))
    assert "fake tone" in text


def test_the_plan_counts_what_a_gate_that_drops_nothing_would_train(tmp_path: Path):
    configs = [gated_by(fake_config(tmp_path), gate) for gate in (LENIENT, None)]
    with_, without = (planned(config, InProcess(Store(tmp_path / "store"))) for config in configs)
    assert with_.fine_tunings == without.fine_tunings
    assert with_.stored == without.stored == 0


def test_takes_beyond_the_planned_are_other_clips_and_the_planned_keep_their_key(tmp_path: Path):
    store, config = Store(tmp_path), SynthesisConfig(takes=2)
    said = {"seed": 7, "synthesizer": FakeSynthesizer()}
    runtime = Runtime(store)
    planned = synthesize(runtime, dummy_texts(2), config, **said)
    again = synthesize(runtime, dummy_texts(2), config.model_copy(update={"takes": 1}), first_take=2, **said)
    assert synthesize(runtime, dummy_texts(2), config, first_take=0, **said).key == planned.key
    assert again.key != planned.key
    clips = [stored_manifest(record) for record in (planned, again)]
    assert [u.id[-2:] for u in clips[1]] == ["t2", "t2"]
    assert not {u.audio_digest for u in clips[0]} & {u.audio_digest for u in clips[1]}


def test_a_channel_enters_the_key_of_a_training_only_where_there_is_one():
    clip = Utterance("a", "hello there", audio="a.flac", origin="synthetic", duration=1.0, audio_digest="0")
    base = Record("checkpoint", "k", Path(), "d", (), {}, 0.0, cached=True)

    def parameters(augmentation: AugmentationConfig) -> Mapping[str, Any]:
        job = Job(Manifest("m", (clip,)), TrainingConfig(), "fp32", 1, "en", augmentation)
        return identity(base, job).parameters["augmentation"]

    assert set(parameters(AugmentationConfig())) == {"snr_db", "silence_seconds", "speed", "gain_db", "probability"}
    channel = parameters(AugmentationConfig(channel=ChannelConfig()))["channel"]
    assert channel["codecs"] == ["none", "gsm", "mulaw", "opus"]


@pytest.mark.parametrize("asked", [{"context_start": {}}, {"benchmark": {"ablations": {"x": {"context_start": {}}}}}])
def test_a_benchmark_refuses_a_context_start_rather_than_ignore_it(asked: dict):
    corpora = [{"kind": "manifest", "path": "calls.jsonl"}]
    with pytest.raises(ValidationError, match="context_start: a benchmark starts from the pretrained model"):
        BenchmarkConfig.model_validate({"name": "table", "corpora": corpora, **asked})


@pytest.mark.parametrize("asked", [{"gate": {}}, {"benchmark": {"ablations": {"gated": {"gate.retries": 2}}}}])
def test_a_benchmark_refuses_a_gate_rather_than_ignore_it(asked: dict):
    values = {"name": "b", "corpora": [{"kind": "asterisk"}], **asked}
    with pytest.raises(ValidationError, match="gate: a benchmark speaks without the quality gate"):
        BenchmarkConfig.model_validate(values)
