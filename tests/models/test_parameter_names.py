import pytest

from asr_tv.errors import ConfigError
from asr_tv.models.parameter_names import coefficients_by_name, group_of, layer_of, order_of

WHISPER = (
    "model.encoder.conv1.weight",
    "model.encoder.embed_positions.weight",
    *(f"model.encoder.layers.{i}.self_attn.k_proj.weight" for i in range(12)),
    "model.encoder.layer_norm.bias",
    "model.decoder.embed_tokens.weight",
    "model.decoder.layers.1.encoder_attn.q_proj.bias",
    "model.decoder.layers.1.fc1.weight",
)


@pytest.mark.parametrize(
    ("name", "group", "layer"),
    [
        ("model.encoder.conv1.weight", "conv_stem", None),
        ("encoder.conv2.bias", "conv_stem", None),
        ("model.encoder.embed_positions.weight", "encoder", None),
        ("model.encoder.layers.11.fc1.weight", "encoder", "encoder.layers.11"),
        ("encoder.blocks.3.attn.query.weight", "encoder", "encoder.blocks.3"),
        ("model.decoder.embed_tokens.weight", "embedding", None),
        ("decoder.token_embedding.weight", "embedding", None),
        ("model.decoder.layers.0.encoder_attn.q_proj.bias", "decoder", "decoder.layers.0"),
        ("model.layers.7.mlp.up_proj.weight", "layers", "layers.7"),
        ("model.embed_tokens.weight", "embedding", None),
        ("lm_head.weight", "lm_head", None),
    ],
)
def test_groups_and_layers(name, group, layer):
    assert (group_of(name), layer_of(name)) == (group, layer)


def test_layer_ten_comes_after_layer_nine():
    assert sorted(["encoder.layers.10", "encoder.layers.9"], key=order_of) == ["encoder.layers.9", "encoder.layers.10"]


def of(patterns, rest=None):
    """The coefficients of Whisper's names, without the root."""
    return {n.removeprefix("model."): c for n, c in coefficients_by_name(WHISPER, patterns, rest).items()}


def test_a_module_stands_for_all_below_it():
    found = of({"encoder": 0.3, "decoder": 0.6})
    assert {value for name, value in found.items() if name.startswith("encoder.")} == {0.3}
    assert {value for name, value in found.items() if name.startswith("decoder.")} == {0.6}


def test_the_most_specific_pattern_wins():
    patterns = {"encoder": 0.1, "conv_stem": 0.2, "decoder": 0.3, "embedding": 0.0, "encoder.layers.0-3": 0.4}
    found = of(patterns | {"model.encoder.layers.2.self_attn": 0.5})
    assert found["encoder.conv1.weight"] == 0.2
    assert found["encoder.embed_positions.weight"] == found["encoder.layer_norm.bias"] == 0.1
    layers = [found[f"encoder.layers.{i}.self_attn.k_proj.weight"] for i in range(12)]
    assert layers == [0.4, 0.4, 0.5, 0.4, *[0.1] * 8]
    assert found["decoder.embed_tokens.weight"] == 0.0
    assert found["decoder.layers.1.fc1.weight"] == 0.3


def test_a_star_is_any_word_and_the_rest_has_its_own():
    found = of({"decoder.layers.*.encoder_attn": 1.0}, rest=-0.5)
    assert {name for name, value in found.items() if value == 1.0} == {"decoder.layers.1.encoder_attn.q_proj.bias"}
    assert set(found.values()) == {1.0, -0.5}


def test_a_word_is_a_whole_word():
    with pytest.raises(ConfigError, match=r"encoder\.layers\.1-: no tensor"):
        of({"encoder.layers.1-": 1.0}, rest=0.0)
    assert of({"encoder.layers.1": 1.0}, rest=0.0)["encoder.layers.11.self_attn.k_proj.weight"] == 0.0


def test_no_patterns():
    assert set(of({}, rest=0.4).values()) == {0.4}


def test_what_is_refused():
    with pytest.raises(ConfigError) as error:
        of({"encoder.layers.0-3": 0.1, "encoder.layers.3-5": 0.2, "encodre": 0.3})
    assert error.value.problems == (
        "encodre: no tensor of the model is in such a module",
        "encoder.layers.0-3 and encoder.layers.3-5 both fit model.encoder.layers.3.self_attn.k_proj.weight",
        "12 tensors have no coefficient, such as model.decoder.embed_tokens.weight; give one number for the rest",
    )
