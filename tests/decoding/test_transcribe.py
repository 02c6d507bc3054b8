"""Transcription: no hypothesis depends on its neighbours, sums are formed as the adapted model is, limits are told."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from asr_tv.config.run import Engine, TrainingConfig
from asr_tv.data.corpora.local import read_manifest
from asr_tv.data.manifest import Manifest
from asr_tv.decoding import options as decoding
from asr_tv.decoding.biasing.search import Search
from asr_tv.decoding.hypotheses import hypotheses_file, read_hypotheses
from asr_tv.decoding.options import (
    CTC,
    CTRANSLATE2,
    TRANSFORMERS,
    Decoding,
    Program,
    check_engine,
    decoding_for,
    fastest_engine,
)
from asr_tv.decoding.transcribe import Sweep, transcribe
from asr_tv.decoding.whisper_ctranslate2 import CTranslate2Decoder
from asr_tv.errors import ConfigError, DataError
from asr_tv.models.locate import resolve_model
from asr_tv.models.whisper import load_tokenizer, prompt_ids, whisper_config
from asr_tv.store.results import Record, Store
from asr_tv.store.runtime import Runtime
from asr_tv.testing.runs import fake_recordings
from asr_tv.testing.whisper import tiny_whisper
from asr_tv.training.finetune import finetune
from asr_tv.vectors.apply import apply_vector
from asr_tv.vectors.files import average_checkpoints
from asr_tv.vectors.stages import vector_stage

DYNAMIC = Decoding("dynamic", "en", max_new_tokens=30)
TRAINING = TrainingConfig(epochs=40, learning_rate=3e-3, batch_size=4, precision="fp32", full_context_share=0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("transcribe") / "store")


@pytest.fixture(scope="module")
def manifest(store: Store) -> Manifest:
    return read_manifest(fake_recordings(store.root.parent / "recordings", sentences=6, domains=("banking", "travel")))


@pytest.fixture(scope="module")
def base(store: Store) -> Record:
    return resolve_model(str(tiny_whisper(store.root.parent / "base")), store)


@pytest.fixture(scope="module")
def tuned(store: Store, base: Record, manifest: Manifest) -> Record:
    return finetune(Runtime(store), base, manifest, TRAINING, seed=1)


def test_batch_size_and_neighbours_change_no_hypothesis(tuned: Record, manifest: Manifest, tmp_path: Path) -> None:
    texts = [
        read_hypotheses(
            transcribe(Runtime(Store(tmp_path / str(size)), batch_size=size), tuned, part, DYNAMIC).path / "hyp.jsonl"
        )
        for size, part in ((1, manifest), (16, manifest), (16, Manifest("half", manifest.utterances[::2])))
    ]
    assert texts[0] == texts[1]
    assert texts[2].items() <= texts[0].items()
    assert len(set(texts[0].values())) > 1


def test_ids_stand_in_the_order_of_the_manifest(tuned: Record, manifest: Manifest, store: Store) -> None:
    lines = (transcribe(Runtime(store), tuned, manifest, DYNAMIC).path / "hyp.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [u.id for u in manifest]


def test_loops_are_cut_and_counted(base: Record, manifest: Manifest, store: Store) -> None:
    """A random model never ends by itself."""
    record = transcribe(Runtime(store), base, manifest, Decoding("dynamic", "en", max_new_tokens=5))
    assert record.details["cut_hypotheses"] == len(manifest)


def test_a_sweep_scores_what_the_adapted_model_will_be(
    base: Record, tuned: Record, manifest: Manifest, store: Store, tmp_path: Path
) -> None:
    vector = vector_stage(Runtime(store), tuned, base)
    sweep = Sweep(vector, (0.0, 0.5), pretrained=base, pretrained_weight=0.25)
    record = transcribe(Runtime(store), tuned, manifest, DYNAMIC, sweep=sweep)
    apply_vector(tuned.path / "model", vector.path / "vector.safetensors", 0.5, tmp_path / "sum")
    average_checkpoints(tmp_path / "sum", base.path / "model", 0.25, tmp_path / "adapted")
    adapted = transcribe(Runtime(store), resolve_model(str(tmp_path / "adapted"), store), manifest, DYNAMIC)
    assert read_hypotheses(record.path / hypotheses_file(0.5)) == read_hypotheses(adapted.path / "hyp.jsonl")


def test_clips_longer_than_the_context_are_all_named_first(tuned: Record, manifest: Manifest, store: Store) -> None:
    with pytest.raises(DataError) as error:
        transcribe(Runtime(store), tuned, manifest, Decoding(0.5, "en"))
    assert len(error.value.problems) == len(manifest)


def test_timestamps_change_neither_the_key_nor_the_conditions_of_those_who_do_not_ask(
    base: Record, manifest: Manifest, store: Store
) -> None:
    stamped = replace(DYNAMIC, timestamps=True)
    assert "timestamps" not in DYNAMIC.options
    assert stamped.options == DYNAMIC.options | {"timestamps": True}
    texts = read_hypotheses(transcribe(Runtime(store), base, manifest, stamped).path / "hyp.jsonl")
    assert all(re.match(r"<\|[01]\.\d\d\|>", text) for text in texts.values())
    plain = read_hypotheses(transcribe(Runtime(store), base, manifest, DYNAMIC).path / "hyp.jsonl")
    assert not any("<|" in text for text in plain.values())


ENGINES: tuple[Program, ...] = (TRANSFORMERS, CTRANSLATE2)


class TestCTranslate2:
    """The other engine, behind the same stage."""

    def test_it_hears_what_torch_hears_alone_or_among_others(
        self, tuned: Record, manifest: Manifest, tmp_path: Path
    ) -> None:
        texts = [
            read_hypotheses(
                transcribe(
                    Runtime(Store(tmp_path / f"{engine}{size}"), batch_size=size),
                    tuned,
                    manifest,
                    replace(DYNAMIC, engine=engine),
                ).path
                / "hyp.jsonl"
            )
            for engine, size in ((TRANSFORMERS, 16), (CTRANSLATE2, 16), (CTRANSLATE2, 1))
        ]
        assert texts[0] == texts[1] == texts[2]
        assert len(set(texts[0].values())) > 1

    def test_the_bound_holds_and_what_ends_by_itself_is_not_cut(
        self, base: Record, tuned: Record, manifest: Manifest, store: Store
    ) -> None:
        """A random model never ends by itself; a tuned one ends as often as with torch."""
        for checkpoint, bound in ((base, 5), (base, 200), (tuned, 30)):
            cut = [
                transcribe(
                    Runtime(store), checkpoint, manifest, Decoding("dynamic", "en", bound, engine=engine)
                ).details["cut_hypotheses"]
                for engine in ENGINES
            ]
            assert cut[0] == cut[1]
            assert (checkpoint is base) == (cut[0] == len(manifest))

    @pytest.mark.parametrize("multilingual", [False, True])
    def test_at_most_so_many_tokens(self, tmp_path: Path, multilingual: bool) -> None:
        directory = tiny_whisper(tmp_path / "model", multilingual=multilingual)
        prompt = prompt_ids(load_tokenizer(directory), "en")
        decoder = CTranslate2Decoder(directory, prompt, CPU, Search(), "fp32", tmp_path / "place")
        mels = whisper_config(directory).num_mel_bins
        for limit in (1, 2, 3, 4, 100, 440):
            assert [len(row) for row in decoder.tokens(torch.randn(2, mels, 200), limit)] == [limit, limit]
        assert not (tmp_path / "place").exists()

    def test_a_sweep_decodes_the_sums(self, base: Record, tuned: Record, manifest: Manifest, store: Store) -> None:
        vector = vector_stage(Runtime(store), tuned, base)
        sweep = Sweep(vector, (-1.0, 0.0, 0.5), pretrained=base, pretrained_weight=0.1)
        swept = {
            engine: transcribe(Runtime(store), tuned, manifest, replace(DYNAMIC, engine=engine), sweep=sweep).path
            for engine in ENGINES
        }
        for coef in sweep.scaling_coefs:
            found = [read_hypotheses(swept[engine] / hypotheses_file(coef)) for engine in ENGINES]
            assert found[0] == found[1]
        assert {p.name for p in swept[TRANSFORMERS].iterdir()} == {p.name for p in swept[CTRANSLATE2].iterdir()}

    def test_timestamps_follow_whisper_s_rules(self, base: Record, manifest: Manifest, store: Store) -> None:
        stamped = replace(DYNAMIC, timestamps=True, engine=CTRANSLATE2)
        texts = read_hypotheses(transcribe(Runtime(store), base, manifest, stamped).path / "hyp.jsonl")
        assert all(re.match(r"<\|[01]\.\d\d\|>", text) for text in texts.values())

    def test_int8_is_another_condition_and_another_model(self, tuned: Record, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="does not compute in int8"):
            Decoding("dynamic", "en", precision="int8")
        with pytest.raises(ValueError, match="does not compute in bf16"):
            Decoding("dynamic", "en", precision="bf16", engine=CTRANSLATE2)
        prompt = prompt_ids(load_tokenizer(tuned.path / "model"), "en")
        decoder = CTranslate2Decoder(tuned.path / "model", prompt, CPU, Search(), "int8", tmp_path / "place")
        assert decoder._model.compute_type.startswith("int8")


CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("context", "precision", "device", "installed", "expected"),
    [
        ("dynamic", "fp32", CPU, True, "ctranslate2"),
        ("dynamic", "bf16", CPU, True, "ctranslate2"),
        (5.0, "bf16", CPU, True, "ctranslate2"),
        ("full", "fp32", CPU, True, "ctranslate2"),
        ("full", "bf16", CPU, True, "torch"),
        (30.0, "bf16", CPU, True, "torch"),
        ("dynamic", "bf16", GPU, True, "torch"),
        ("dynamic", "fp32", CPU, False, "torch"),
    ],
)
def test_the_engine_is_chosen_by_model_and_machine(
    context: Any, precision: Any, device: torch.device, installed: bool, expected: str
) -> None:
    assert fastest_engine(context, precision, device, installed=installed) == expected


def test_an_unavailable_engine_is_refused_before_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="decodes Whisper models, and this is a CTC model"):
        check_engine("ctranslate2", "ctc", "cpu")
    with pytest.raises(ConfigError, match="computes on cpu and cuda, not on meta"):
        check_engine("ctranslate2", "whisper", "meta")
    assert decoding_for("full", "en", 200, "cpu", "ctc", "auto").engine == CTC
    monkeypatch.setattr(decoding, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r'not installed: pip install "asr-tv\[export\]"'):
        decoding_for("dynamic", "en", 200, "cpu", engine="ctranslate2_int8")
    assert decoding_for("dynamic", "en", 200, "cpu", engine="auto").engine == TRANSFORMERS


def test_the_command_knows_the_engines_of_the_configuration() -> None:
    from asr_tv.cli.transcribe import Engine as Offered

    assert {engine.value for engine in Offered} == set(get_args(Engine))
