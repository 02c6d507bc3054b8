import pytest
import torch

from asr_tv.errors import ConfigError, DataError
from asr_tv.vectors import task_vector
from asr_tv.vectors.similarity import compare

NAMES = (
    "model.encoder.conv1.weight",
    "model.encoder.layers.0.fc1.weight",
    "model.encoder.layers.10.fc1.weight",
    "model.encoder.layers.9.fc1.weight",
    "model.decoder.embed_tokens.weight",
    "model.decoder.layers.0.fc1.weight",
)


def vector(seed):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(3, 4, generator=generator) for name in NAMES}


def flat(vector):
    return torch.cat([vector[name].reshape(-1).double() for name in sorted(vector)])


def test_hand_made_values():
    a = {"encoder.w": torch.tensor([3.0, 0.0]), "decoder.w": torch.tensor([4.0])}
    b = {"encoder.w": torch.tensor([0.0, 2.0]), "decoder.w": torch.tensor([-1.0])}
    whole, decoder, encoder = compare([a, b])
    assert (whole.kind, whole.name, whole.tensors, whole.parameters) == ("whole", "whole", 2, 3)
    assert whole.norms == (5.0, 5**0.5)
    assert whole.cosines[0][1] == whole.cosines[1][0] == pytest.approx(-4 / (5 * 5**0.5))
    assert (decoder.name, decoder.norms, decoder.cosines) == ("decoder", (4.0, 1.0), ((1.0, -1.0), (-1.0, 1.0)))
    assert (encoder.name, encoder.cosines) == ("encoder", ((1.0, 0.0), (0.0, 1.0)))


def test_the_whole_the_groups_and_the_layers_in_order():
    parts = compare([vector(1), vector(2)])
    assert [(part.kind, part.name) for part in parts] == [
        ("whole", "whole"),
        *(("group", name) for name in ("conv_stem", "decoder", "embedding", "encoder")),
        *(("layer", f"{name}") for name in ("decoder.layers.0", "encoder.layers.0")),
        *(("layer", f"encoder.layers.{number}") for number in (9, 10)),
    ]
    assert sum(part.parameters for part in parts if part.kind == "group") == parts[0].parameters == 72


def test_each_part_is_the_cosine_of_its_tensors(monkeypatch):
    monkeypatch.setattr(task_vector, "_CHUNK", 5)
    a, b = vector(1), vector(2)
    for part in compare([a, b]):
        if part.kind == "layer":
            mine = [{n: v[n] for n in NAMES if n.startswith(f"model.{part.name}.")} for v in (a, b)]
        elif part.kind == "whole":
            mine = [a, b]
        else:
            continue
        assert part.norms == pytest.approx([float(flat(v).norm()) for v in mine])
        assert part.cosines[0][1] == pytest.approx(float(torch.cosine_similarity(*map(flat, mine), dim=0)))


def test_a_vector_itself_and_its_negative():
    a = vector(1)
    for part in compare([a, a, {name: -tensor for name, tensor in a.items()}]):
        assert part.cosines[0] == pytest.approx((1.0, 1.0, -1.0), abs=1e-12)


def test_the_cosine_of_a_part_that_is_zero_is_undefined():
    a, b = vector(1), vector(2)
    b[NAMES[0]] = torch.zeros(3, 4)
    stem = next(part for part in compare([a, b]) if part.name == "conv_stem")
    assert stem.norms[1] == 0
    assert stem.cosines == ((1.0, None), (None, None))


def test_what_is_refused():
    a, b = vector(1), vector(2)
    with pytest.raises(ConfigError, match="no vectors"):
        compare([])
    with pytest.raises(DataError, match="vector 2 lacks"):
        compare([a, {name: b[name] for name in NAMES[1:]}])
    b[NAMES[2]][0, 0] = float("inf")
    with pytest.raises(DataError, match=r"model\.encoder\.layers\.10\.fc1\.weight: vector 2 holds NaN or infinity"):
        compare([a, b])
