"""Tuning in part: what is frozen stays bit for bit, adapters start as nothing and end as weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asr_tv.config.trainable import Lora, parse_trainable
from asr_tv.errors import ConfigError
from asr_tv.models.ctc import load_ctc
from asr_tv.models.locate import resolve_model
from asr_tv.models.whisper import load_model
from asr_tv.store.results import Store
from asr_tv.testing.ctc import tiny_ctc
from asr_tv.testing.whisper import tiny_whisper
from asr_tv.training.freezing import frozen_names, low_rank_parts, make_trainable, merge_adapters, set_training_mode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("adapters")
    tiny_whisper(path / "whisper")
    for kind in ("wav2vec2", "conformer"):
        tiny_ctc(path / kind, kind)
    return path


def loaded(folder: Path, kind: str) -> Any:
    return load_model(folder / kind) if kind == "whisper" else load_ctc(folder / kind)


def logits(model: Any, kind: str) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    if kind == "whisper":
        features = torch.randn(2, 80, 3000, generator=generator)
        return model(features, decoder_input_ids=torch.tensor([[5, 6, 7], [8, 9, 10]])).logits
    return model(torch.randn(2, 8000, generator=generator)).logits


def stepped(model: Any, kind: str, steps: int = 1) -> None:
    """Optimiser steps as the trainer makes them, on a loss that reaches every parameter."""
    set_training_mode(model)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.05, weight_decay=0.1)
    for _ in range(steps):
        logits(model, kind).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def state(model: Any) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


CHOICES = [
    *("freeze_first:1", "freeze_last:1", "freeze_last:1:both", "freeze_attention", "only_attention", "only_mlp"),
    *("only_cross_attention", "freeze_encoder", "freeze_decoder", "freeze_embedding", "only_embedding"),
]


@pytest.mark.parametrize("choice", CHOICES)
def test_what_is_frozen_has_no_gradient_and_stays_bit_for_bit(folder: Path, choice: str) -> None:
    model = loaded(folder, "whisper")
    trainable = parse_trainable(choice)
    names = [name for name, _ in model.named_parameters()]
    frozen = frozen_names(names, trainable)  # type: ignore[arg-type]
    make_trainable(model, trainable)
    before = state(model)
    set_training_mode(model)
    logits(model, "whisper").square().mean().backward()
    assert {n for n, p in model.named_parameters() if p.grad is None} >= frozen
    model.zero_grad()
    stepped(model, "whisper")
    moved = {name for name in names if not torch.equal(before[name], model.state_dict()[name])}
    assert not moved & frozen
    # Keys have no bias and a shift of all keys changes no attention; the rest of what may move does.
    assert {n for n in set(names) - frozen if "embed_positions" not in n} <= moved
    assert model.proj_out.weight.data_ptr() == model.model.decoder.embed_tokens.weight.data_ptr()


def test_a_conformers_frozen_statistics_stand_still(folder: Path) -> None:
    """Without trainable weights, batch norm neither learns nor counts; with them, it does both."""
    for choice, still in (("lora", True), ("only_attention", True), ("freeze_attention", False)):
        model = loaded(folder, "conformer")
        make_trainable(model, parse_trainable(choice))
        before = state(model)
        stepped(model, "conformer")
        after = model.state_dict()
        statistics = [name for name in before if name.endswith(("running_mean", "running_var", "num_batches_tracked"))]
        assert len(statistics) == 6
        assert {torch.equal(before[name], after[name]) for name in statistics} == {still}, choice


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2", "conformer"])
@pytest.mark.parametrize("choice", ["lora", "ia3", {"lora": {"r": 2, "alpha": 1, "targets": ["out_proj", "fc1"]}}])
class TestAdapters:
    def model(self, folder: Path, kind: str, choice: object) -> Any:
        if isinstance(choice, dict) and kind != "whisper":
            names = {"wav2vec2": "out_proj", "conformer": "linear_out"}
            choice = {"lora": {**choice["lora"], "targets": [names[kind], "intermediate_dense"]}}
        model = loaded(folder, kind)
        # Random models are made with biases of zero, with which a bias left out of a merge would not show.
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("bias"):
                    parameter.add_(torch.randn_like(parameter) * 0.5)
        make_trainable(model, parse_trainable(choice), seed=1)
        return model

    def test_at_the_start_the_logits_are_the_same(self, folder: Path, kind: str, choice: object) -> None:
        torch.manual_seed(0)
        model = self.model(folder, kind, choice)
        with torch.no_grad():
            adapted = logits(model, kind)
            merge_adapters(model)
            torch.testing.assert_close(logits(model, kind), adapted, rtol=0, atol=1e-6)
            for module in model.modules():
                assert not hasattr(module, "get_base_layer")

    def test_the_start_is_bit_for_bit_that_of_the_bare_model(self, folder: Path, kind: str, choice: object) -> None:
        with torch.no_grad():
            bare = logits(loaded(folder, kind), kind)
            model = loaded(folder, kind)
            if isinstance(choice, str):
                make_trainable(model, parse_trainable(choice))
            assert torch.equal(logits(model, kind), bare)

    def test_merged_is_unmerged_and_an_ordinary_model(self, folder: Path, kind: str, choice: object) -> None:
        torch.manual_seed(0)
        model = self.model(folder, kind, choice)
        with torch.no_grad():
            start = logits(model, kind)
        stepped(model, kind, steps=3)
        with torch.no_grad():
            unmerged = logits(model, kind)
            merge_adapters(model)
            assert (logits(model, kind) - unmerged).abs().max() < 1e-4
            assert (unmerged - start).abs().max() > 1e-3  # it learnt something
        assert model.state_dict().keys() == loaded(folder, kind).state_dict().keys()

    def test_only_the_adapters_move(self, folder: Path, kind: str, choice: object) -> None:
        model = self.model(folder, kind, choice)
        before = state(model)
        stepped(model, kind, steps=2)
        moved = {name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)}
        assert moved
        assert {name for name in moved if "lora_" not in name and "ia3_" not in name} == set()


def test_ia3_scales_the_bias_of_the_values(folder: Path) -> None:
    """A merge that leaves the bias of v_proj as it is would give another model."""
    model = loaded(folder, "whisper")
    make_trainable(model, parse_trainable("ia3"))
    layer = model.model.decoder.layers[0].self_attn
    with torch.no_grad():
        layer.v_proj.base_layer.bias.fill_(2.0)
        layer.v_proj.ia3_l["default"].fill_(3.0)
        layer.k_proj.ia3_l["default"].fill_(0.5)
    key = layer.k_proj.base_layer.weight.clone()
    merge_adapters(model)
    layer = model.model.decoder.layers[0].self_attn
    assert torch.equal(layer.v_proj.bias, torch.full_like(layer.v_proj.bias, 6.0))
    assert torch.equal(layer.k_proj.weight, key * 0.5)
    assert layer.k_proj.bias is None


def test_the_seed_decides_the_adapters_and_no_other_draw(folder: Path) -> None:
    models = [loaded(folder, "whisper") for _ in range(3)]
    torch.manual_seed(5)
    expected = torch.rand(())
    torch.manual_seed(5)
    for model, seed in zip(models, (1, 1, 2), strict=True):
        make_trainable(model, Lora(), seed=seed)
    assert torch.rand(()) == expected
    a, b, c = (next(iter(low_rank_parts(model).values()))[0] for model in models)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"lora": {"targets": ["q_proj", "query"]}}, "no linear module is called query; there are fc1, fc2, k_proj"),
        ({"lora": {"targets": ["proj_out"]}}, "no linear module is called proj_out"),
        ({"ia3": {"feedforward": ["fc9"]}}, "no linear module is called fc9"),
    ],
)
def test_unknown_modules_are_named_with_those_there_are(folder: Path, choice: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_trainable(loaded(folder, "whisper"), parse_trainable(choice))


@pytest.mark.real
def test_real_weights_merge_to_the_same_logits(real_models: Store) -> None:
    """whisper-tiny.en, whose biases are learnt ones, with adapters moved at random."""
    directory = resolve_model("openai/whisper-tiny.en", real_models).path / "model"
    with torch.no_grad():
        bare = logits(load_model(directory), "whisper")
        for choice in ("lora", "ia3"):
            model = load_model(directory)
            make_trainable(model, parse_trainable(choice))
            assert torch.equal(logits(model, "whisper"), bare)
            torch.manual_seed(0)
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.01)
            unmerged = logits(model, "whisper")
            merge_adapters(model)
            assert (logits(model, "whisper") - unmerged).abs().max() < 1e-4
            assert (unmerged - bare).abs().max() > 0.01
