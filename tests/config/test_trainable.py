"""What may be tuned: how it is written, what it freezes by name, and the published counts of parameters."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr_tv.config.parsing import parse_config
from asr_tv.config.run import TrainingConfig
from asr_tv.config.trainable import ALL, PARTS, Blocks, Ia3, Lora, Part, Trainable, parse_trainable, written
from asr_tv.errors import ConfigError
from asr_tv.models.parameter_names import group_of
from asr_tv.training.freezing import frozen_names, make_trainable, trainable_parameters

SIZES = {"tiny": (384, 4), "base": (512, 6), "small": (768, 12), "medium": (1024, 24), "large-v3": (1280, 32)}


def published(name: str) -> Any:
    """A Whisper of a published size without its weights."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    width, layers = SIZES[name]
    sizes: dict[str, Any] = {"d_model": width, "vocab_size": 51865, "num_mel_bins": 80}
    if name == "large-v3":
        sizes |= {"vocab_size": 51866, "num_mel_bins": 128}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": layers, f"{side}_attention_heads": width // 64, f"{side}_ffn_dim": 4 * width}
    with torch.device("meta"):
        return WhisperForConditionalGeneration(WhisperConfig(**sizes))


def tuned(name: str, written: object) -> int:
    model = published(name)
    make_trainable(model, parse_trainable(written))
    return trainable_parameters(model)


class TestCounts:
    """Of methods that others published, computed from the architecture."""

    @pytest.mark.parametrize(
        ("name", "millions"),
        [
            ("tiny", (37.18, 7.63, 29.55, 19.92, 7.09, 9.45)),
            ("base", (71.83, 19.82, 52.00, 26.55, 18.90, 25.20)),
            ("small", (240.58, 87.00, 153.58, 39.83, 85.02, 113.34)),
            ("medium", (762.3, 305.7, 456.6, 53.11, 302.2, 402.9)),
            ("large-v3", (1541.6, 635.1, 906.5, 66.39, 629.5, 839.3)),
        ],
    )
    def test_parts_of_the_published_models(self, name: str, millions: tuple[float, ...]) -> None:
        parts = ("all", *(f"only_{part}" for part in ("encoder", "decoder", "embedding", "attention", "mlp")))
        for part, expected in zip(parts, millions, strict=True):
            assert tuned(name, part) / 1e6 == pytest.approx(expected, rel=5e-4), part

    @pytest.mark.parametrize(
        ("name", "encoder_block", "decoder_block", "norms"),
        [
            ("tiny", 1.77, 2.37, 16.9),
            ("base", 3.15, 4.20, 32.8),
            ("small", 7.09, 9.45, 95.2),
            ("medium", 12.60, 16.80, 249.9),
            ("large-v3", 19.68, 26.24, 414.7),
        ],
    )
    def test_blocks_and_norms(self, name: str, encoder_block: float, decoder_block: float, norms: float) -> None:
        sizes = {n: p.numel() for n, p in published(name).named_parameters()}
        encoder, decoder = (
            sum(size for n, size in sizes.items() if n.startswith(f"model.{side}.layers.0."))
            for side in ("encoder", "decoder")
        )
        d = SIZES[name][0]
        assert (encoder, decoder) == (12 * d * d + 12 * d, 16 * d * d + 17 * d)
        assert (encoder / 1e6, decoder / 1e6) == pytest.approx((encoder_block, decoder_block), rel=3e-3)
        assert sum(size for n, size in sizes.items() if "layer_norm" in n) / 1e3 == pytest.approx(norms, rel=2e-3)

    @pytest.mark.parametrize(
        ("choice", "millions"),
        [
            ("all", 240.6),
            ("freeze_first:4", 210.3),
            ("freeze_last:4", 202.8),
            ("freeze_attention", 155.6),
            ("only_attention", 85.0),
            ("freeze_mlp", 127.2),
            ("only_mlp", 113.3),
            ("freeze_encoder", 153.6),
            ("freeze_decoder", 87.0),
        ],
    )
    def test_whisper_small(self, choice: str, millions: float) -> None:
        assert round(tuned("small", choice) / 1e6, 1) == millions

    @pytest.mark.parametrize(
        ("name", "choice", "count"),
        [
            ("small", "lora", 884_736),
            ("small", "ia3", 129_024),
            ("tiny", "lora", 147_456),
            ("tiny", "ia3", 21_504),
            ("tiny", {"lora": {"r": 4}}, 147_456 // 2),
            ("tiny", {"lora": {"targets": ["q_proj"]}}, 147_456 // 2),
            ("tiny", {"ia3": {"targets": ["v_proj"]}}, 12 * 384),
        ],
    )
    def test_adapters(self, name: str, choice: object, count: int) -> None:
        assert tuned(name, choice) == count

    def test_the_formulas_of_adapters_hold_for_every_size(self) -> None:
        for name, (d, layers) in SIZES.items():
            assert tuned(name, "ia3") == layers * 6 * d + layers * 8 * d
            assert tuned(name, "lora") == layers * 4 * 8 * d + layers * 8 * 8 * d


WHISPER = [name for name, _ in published("tiny").named_parameters()]


class TestNames:
    @pytest.mark.parametrize("part", PARTS)
    def test_freezing_a_part_and_tuning_only_it_are_complements(self, part: str) -> None:
        frozen, others = (frozen_names(WHISPER, Part(action, part)) for action in ("freeze", "only"))
        assert frozen | others == set(WHISPER)
        assert not frozen & others
        assert frozen

    def test_cross_attention_is_of_the_decoder(self) -> None:
        frozen = frozen_names(WHISPER, Part("freeze", "cross_attention"))
        assert {n.split(".")[1:5:3][0] for n in frozen} == {"decoder"}
        assert frozen < frozen_names(WHISPER, Part("freeze", "attention"))

    def test_norms_are_neither_attention_nor_mlp(self) -> None:
        for part in ("attention", "mlp"):
            assert not [n for n in frozen_names(WHISPER, Part("freeze", part)) if "norm" in n]

    def test_first_blocks_take_the_convolutions_along(self) -> None:
        frozen = frozen_names(WHISPER, Blocks("first", 1, "encoder"))
        assert {n.split(".")[2] for n in frozen} == {"conv1", "conv2", "layers"}
        assert {n.split(".")[3] for n in frozen if ".layers." in n} == {"0"}

    def test_last_blocks_of_both_sides(self) -> None:
        frozen = frozen_names(WHISPER, Blocks("last", 2, "both"))
        assert {tuple(n.split(".")[1:4:2]) for n in frozen} == {(s, n) for s in ("encoder", "decoder") for n in "23"}

    @pytest.mark.parametrize("kind", ["wav2vec2", "conformer"])
    def test_parts_of_ctc_models(self, kind: str, tmp_path: Any) -> None:
        from asr_tv.models.ctc import load_ctc
        from asr_tv.testing.ctc import tiny_ctc

        names = [name for name, _ in load_ctc(tiny_ctc(tmp_path, kind)).named_parameters()]
        assert set(names) - frozen_names(names, Part("freeze", "encoder")) == {"lm_head.weight", "lm_head.bias"}
        attention = frozen_names(names, Part("freeze", "attention"))
        mlp = frozen_names(names, Part("freeze", "mlp"))
        assert attention
        assert mlp
        assert not [n for n in attention | mlp if "layer_norm" in n or "conv" in n.removeprefix("wav2vec2_conformer.")]
        first = frozen_names(names, Blocks("first", 1, "encoder"))
        assert {group_of(n) for n in first} == {"feature_extractor", "feature_projection", "encoder"}
        for part in ("decoder", "embedding", "cross_attention"):
            with pytest.raises(ConfigError, match=f"the model has no {part}"):
                frozen_names(names, Part("only", part))

    def test_more_blocks_than_there_are(self) -> None:
        with pytest.raises(ConfigError, match="freeze_last:5:decoder: the model's decoder has 4 blocks"):
            frozen_names(WHISPER, Blocks("last", 5, "decoder"))


CHOICES: list[tuple[object, Trainable]] = [
    ("all", ALL),
    ("freeze_first:2", Blocks("first", 2, "encoder")),
    ("freeze_last:10", Blocks("last", 10, "decoder")),
    ("freeze_first:3:both", Blocks("first", 3, "both")),
    ("only_cross-attention", Part("only", "cross_attention")),
    ("freeze_mlp", Part("freeze", "mlp")),
    ("lora", Lora()),
    ({"lora": {"r": 4, "targets": ["v_proj", "q_proj"]}}, Lora(4, 8.0, ("q_proj", "v_proj"))),
    ({"lora": {"alpha": 4}}, Lora(8, 4.0)),
    ("ia3", Ia3()),
    ({"ia3": {"targets": ["k_proj"], "feedforward": ["fc2"]}}, Ia3(("k_proj",), ("fc2",))),
]


class TestWriting:
    @pytest.mark.parametrize(("value", "choice"), CHOICES)
    def test_what_a_configuration_writes_is_read_and_written_back(self, value: object, choice: Trainable) -> None:
        assert parse_trainable(value) == choice
        assert parse_trainable(written(choice)) == choice
        section = TrainingConfig.model_validate({"trainable": value})
        assert TrainingConfig.model_validate_json(section.model_dump_json()) == section

    @given(st.one_of(st.text(), st.integers(), st.none(), st.dictionaries(st.text(), st.integers(), max_size=2)))
    def test_anything_else_is_refused_with_the_list(self, value: object) -> None:
        if isinstance(value, str) and value.strip() in ("all", "lora", "ia3"):
            return
        with pytest.raises(ValueError, match=r"freeze_first:N.*attention, cross_attention, mlp"):
            parse_trainable(value)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("freeze_first:0", "expected one of"),
            ("freeze_first:2:head", "expected one of"),
            ("only_head", "expected one of"),
            ({"lora": {"rank": 2}}, "unknown key rank; keys of lora: r, alpha, targets"),
            ({"lora": {"r": 0}}, "lora.r must be a whole number"),
            ({"lora": {"r": True}}, "lora.r must be a whole number"),
            ({"lora": {"alpha": "much"}}, "lora.alpha must be a number"),
            ({"lora": {"targets": "q_proj"}}, "targets must be a list"),
            ({"ia3": {"r": 2}}, "unknown key r; keys of ia3: targets, feedforward"),
        ],
    )
    def test_mistakes_are_told_with_their_path(self, value: object, message: str) -> None:
        with pytest.raises(ConfigError, match=rf"run.yaml: training.trainable: .*{message}"):
            parse_config({"name": "run", "training": {"trainable": value}}, "run.yaml")
