import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_tv.errors import ConfigError, DataError
from asr_tv.vectors import task_vector
from asr_tv.vectors.merging import combined, mean
from asr_tv.vectors.task_vector import (
    BASE,
    TUNED,
    applied,
    floating_names,
    interpolated,
    require_same_names,
    subtract,
)

NAMES = ("decoder.embed", "decoder.bias", "encoder.conv")
COEFS = st.floats(-2, 2, allow_nan=False)


def law(*strategies):
    """A property test without a deadline: the machine may be busy."""
    return lambda test: settings(deadline=None, max_examples=50)(given(*strategies)(test))


@st.composite
def states(draw, scale=1.0):
    """A random state: a matrix, a vector and a rank-3 tensor, and one integer tensor."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shapes = ((5, 3), (4,), (2, 2, 3))
    state = {name: scale * torch.randn(shape, generator=generator) for name, shape in zip(NAMES, shapes, strict=True)}
    return state | {"steps": torch.tensor(3)}


def vectors():
    return states(1e-2).map(lambda state: {name: state[name] for name in NAMES})


def difference(tuned, base):
    """The task vector of two states, tensor by tensor, as `create_vector` computes it."""
    require_same_names(tuned, base, TUNED, BASE)
    return ((name, subtract(name, tuned[name], base[name])) for name in floating_names(base))


def close(a, b, atol=1e-6):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=atol, rtol=0)


def test_hand_made_values():
    base = {"w": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}
    tuned = {"w": torch.tensor([[1.5, 2.0], [2.0, 6.0]])}
    vector = dict(difference(tuned, base))
    assert vector["w"].tolist() == [[0.5, 0.0], [-1.0, 2.0]]
    assert dict(applied(base, vector, 0.5))["w"].tolist() == [[1.25, 2.0], [2.5, 5.0]]
    assert dict(applied(base, vector, -1))["w"].tolist() == [[0.5, 2.0], [4.0, 2.0]]
    assert dict(mean([vector, tuned]))["w"].tolist() == [[1.0, 1.0], [0.5, 4.0]]
    assert dict(combined([vector, tuned], [2, -1]))["w"].tolist() == [[-0.5, -2.0], [-4.0, -2.0]]
    assert dict(interpolated(base, tuned, 0.5))["w"].tolist() == [[1.25, 2.0], [2.5, 5.0]]


@law(states(), vectors(), vectors())
def test_is_linear(state, a, b):
    both = dict(combined([a, b], [1, 1]))
    one_after_the_other = dict(applied(dict(applied(state, a, 1)), b, 1))
    close(dict(applied(state, both, 1)), one_after_the_other)


@law(states(), vectors(), COEFS)
def test_subtracting_what_was_added_gives_the_state_back(state, vector, coef):
    close(dict(applied(dict(applied(state, vector, coef)), vector, -coef)), state)


@law(states(), vectors(), COEFS)
def test_scaling_the_vector_is_scaling_the_coefficient(state, vector, coef):
    scaled = dict(combined([vector], [coef]))
    close(dict(applied(state, scaled, 1)), dict(applied(state, vector, coef)))


@law(states(), COEFS)
def test_a_state_minus_itself_is_zero_and_changes_nothing(state, coef):
    nothing = dict(difference(state, state))
    assert set(nothing) == set(NAMES)
    assert not any(tensor.any() for tensor in nothing.values())
    close(dict(applied(state, nothing, coef)), state, atol=0)


@law(states(), states())
def test_tuned_is_base_plus_the_vector(tuned, base):
    close(dict(applied(base, dict(difference(tuned, base)), 1)), tuned)


@law(states(), vectors(), vectors())
def test_target_equal_to_source_synthetic_gives_source_real(start, real, synthetic):
    source_real, source_synthetic = dict(applied(start, real, 1)), dict(applied(start, synthetic, 1))
    vector = dict(difference(source_real, source_synthetic))
    adapted = dict(applied(source_synthetic, vector, 1))
    largest = max(float(source_real[name].abs().max()) for name in NAMES)
    assert max(float((adapted[name] - source_real[name]).abs().max()) for name in NAMES) <= 2e-7 * largest


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_coefficient_of_zero_gives_the_states_own_bytes(dtype):
    state = {"w": torch.tensor([1.0, -0.0, 1e-3], dtype=dtype), "steps": torch.tensor([7])}
    result = dict(applied(state, {"w": torch.ones(3)}, 0.0))
    for name, tensor in state.items():
        assert result[name].dtype == tensor.dtype
        assert torch.equal(result[name].view(torch.uint8), tensor.view(torch.uint8))  # -0.0 stays -0.0


DTYPES = st.sampled_from([torch.float32, torch.float16, torch.bfloat16])


@law(states(), vectors(), st.lists(DTYPES, min_size=3, max_size=3))
def test_a_coefficient_of_zero_is_the_identity_byte_for_byte(state, vector, dtypes):
    stored = state | {name: state[name].to(dtype) for name, dtype in zip(NAMES, dtypes, strict=True)}
    result = dict(applied(stored, vector, 0.0))
    assert result.keys() == stored.keys()
    for name, tensor in stored.items():
        assert result[name].dtype == tensor.dtype
        assert torch.equal(result[name].reshape(-1).view(torch.uint8), tensor.reshape(-1).view(torch.uint8))


@law(states(), states(), DTYPES, DTYPES)
def test_any_two_storage_types_are_subtracted_in_fp32(tuned, base, ours, theirs):
    tuned, base = ({n: t.to(dtype) for n, t in side.items()} for side, dtype in ((tuned, ours), (base, theirs)))
    tuned["steps"] = base["steps"] = torch.tensor(3)
    vector = dict(difference(tuned, base))
    assert all(torch.equal(vector[name], tuned[name].float() - base[name].float()) for name in NAMES)


@law(states(), states(), states())
def test_the_analogy_with_c_equal_to_a_is_b_and_with_a_equal_to_b_is_c(a, b, c):
    close(dict(applied(a, dict(difference(b, a)), 1)), b)
    close(dict(applied(c, dict(difference(a, a)), 1)), c, atol=0)


@law(states(), vectors(), vectors(), COEFS, COEFS)
def test_several_vectors_added_at_once_are_their_sum(state, a, b, one, other):
    at_once = {
        name: task_vector.add_changes(name, state[name], [(one, a[name]), (other, b[name])], ("state", "a", "b"))
        for name in NAMES
    }
    close(at_once | {"steps": state["steps"]}, dict(applied(state, dict(combined([a, b], [one, other])), 1)))


def test_buffers_are_left_out_and_left_alone():
    state = {"w": torch.ones(2), "norm.running_mean": torch.ones(2), "rope.inv_freq": torch.ones(2)}
    assert set(dict(difference(state, state))) == {"w"}
    moved = dict(applied(state, {"w": torch.ones(2)}, 1.0))
    assert moved["w"].tolist() == [2, 2]
    assert moved["norm.running_mean"] is state["norm.running_mean"]


def test_the_sum_is_made_in_fp32_and_rounded_once():
    state = {"w": torch.tensor([1.0], dtype=torch.bfloat16)}
    vector = {"w": torch.tensor([2.0**-9])}
    # A bf16 one and 3 · 2^-9: in bf16 steps each 2^-9 would be lost; in fp32 the sum rounds up to 1 + 2^-7.
    result = dict(applied(state, vector, 3.0))["w"]
    assert result.dtype == torch.bfloat16
    assert float(result) == 1 + 2**-7


def test_half_precision_checkpoints_are_subtracted_in_fp32():
    tuned, base = ({"w": torch.tensor([value], dtype=torch.float16)} for value in (60000.0, -60000.0))
    assert dict(difference(tuned, base))["w"].tolist() == [120000.0]  # fp16 ends at 65504


@law(st.lists(vectors(), min_size=1, max_size=5), st.randoms())
def test_means_do_not_depend_on_the_order(many, random):
    shuffled = list(many)
    random.shuffle(shuffled)
    close(dict(mean(many)), dict(mean(shuffled)), atol=1e-9)


@law(vectors(), st.integers(1, 7))
def test_the_mean_of_equal_vectors_is_the_vector(vector, count):
    close(dict(mean([vector] * count)), vector, atol=0)


def test_the_mean_of_orthogonal_vectors_shrinks_by_the_root_of_their_number():
    basis = [{"w": torch.eye(4)[i]} for i in range(4)]
    assert float(dict(mean(basis))["w"].norm()) == pytest.approx(1 / 2)


@law(states(), states(), st.floats(0, 1))
def test_weight_averages(a, b, weight):
    result = dict(interpolated(a, b, weight))
    for name in NAMES:
        torch.testing.assert_close(result[name], (1 - weight) * a[name] + weight * b[name], atol=1e-6, rtol=0)
    close(dict(interpolated(a, b, 0)), a, atol=0)
    close(dict(interpolated(a, b, 1)), b, atol=0)


def test_large_tensors_are_summed_in_pieces(monkeypatch):
    monkeypatch.setattr(task_vector, "_CHUNK", 4)
    a, b = {"w": torch.arange(30.0).reshape(5, 6)}, {"w": torch.ones(5, 6)}
    assert torch.equal(dict(combined([a, b], [1, 2]))["w"], a["w"] + 2)


def test_different_names_show_both_sides():
    a = {f"a{i}": torch.zeros(1) for i in range(7)} | {"both": torch.zeros(2), "shape": torch.zeros(2)}
    b = {"b": torch.zeros(1), "both": torch.zeros(2), "shape": torch.zeros(3)}
    with pytest.raises(DataError) as error:
        difference(a, b)
    assert error.value.problems == (
        "the base checkpoint lacks a0, a1, a2, a3, a4 and 2 more",
        "the tuned checkpoint lacks b",
        "shape: the tuned checkpoint has float32[2], the base checkpoint has float32[3]",
    )


def test_vector_names_must_be_the_states_floating_names():
    state = {"w": torch.zeros(2), "steps": torch.tensor(1)}
    with pytest.raises(DataError, match="the checkpoint lacks v"):
        applied(state, {"w": torch.zeros(2), "v": torch.zeros(2)}, 0.0)
    with pytest.raises(DataError, match="the vector lacks w"):
        applied(state, {}, 1.0)


@pytest.mark.parametrize(
    ("tuned", "base", "says"),
    [(1.0, "bad", "the base checkpoint"), ("bad", 1.0, "the tuned checkpoint"), ("bad", "bad", "the tuned checkpoint")],
)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_the_input_that_is_not_a_number_is_named(tuned, base, says, bad):
    sides = ({"w": torch.tensor([1.0, bad if value == "bad" else value])} for value in (tuned, base))
    with pytest.raises(DataError, match=f"w: {says} holds NaN or infinity"):
        dict(difference(*sides))


def test_the_vector_that_is_not_a_number_is_named():
    good, wrong = {"w": torch.ones(2)}, {"w": torch.tensor([1.0, float("nan")])}
    for compute, says in (
        (lambda: applied(good, wrong, 1.0), "the vector"),
        (lambda: applied(wrong, good, 0.0), "the checkpoint"),
        (lambda: combined([good, wrong], [1.0, 1.0]), "vector 2"),
    ):
        with pytest.raises(DataError, match=f"w: {says} holds NaN or infinity"):
            dict(compute())


def test_a_sum_that_overflows_is_not_taken_for_infinity():
    huge = {"w": torch.full((4,), 3e38)}
    assert torch.equal(dict(difference(huge, {"w": torch.zeros(4)}))["w"], huge["w"])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_not_a_number_is_named(bad):
    good, wrong = {"v": torch.ones(2), "w": torch.ones(2)}, {"v": torch.ones(2), "w": torch.tensor([1.0, bad])}
    for compute in (
        lambda: difference(wrong, good),
        lambda: difference(wrong, wrong),
        lambda: applied(good, wrong, 1.0),
        lambda: mean([good, wrong]),
        lambda: interpolated(good, wrong, 0.5),
    ):
        with pytest.raises(DataError, match=r"^w: "):
            dict(compute())


def test_a_sum_that_overflows_the_states_dtype_is_refused():
    state = {"w": torch.tensor([60000.0], dtype=torch.float16)}
    with pytest.raises(DataError, match="w: the sum holds NaN or infinity"):
        dict(applied(state, {"w": torch.tensor([60000.0])}, 1.0))


def test_impossible_arguments():
    state = {"w": torch.ones(1)}
    for compute in (
        lambda: applied(state, state, float("nan")),
        lambda: interpolated(state, state, 1.5),
        lambda: combined([state], [1, 2]),
        lambda: combined([], []),
        lambda: mean([]),
    ):
        with pytest.raises(ConfigError):
            compute()
    with pytest.raises(DataError, match="integer tensor"):
        dict(interpolated({"n": torch.tensor(1)}, {"n": torch.tensor(2)}, 0.5))


@law(states(), vectors())
def test_inputs_are_not_changed(state, vector):
    before = {name: tensor.clone() for name, tensor in state.items()}
    dict(applied(state, vector, 0.7))
    dict(interpolated(state, state, 0.3))
    dict(mean([vector, vector]))
    close(state, before, atol=0)


def test_a_toy_recogniser_gains_from_the_vector_and_has_a_best_coefficient():
    """y = sign(w·x); synthetic speech lacks the noise feature of real speech, which leaks the label's opposite."""
    truth = {"source": torch.tensor([1.0, 0.5, 0.0]), "target": torch.tensor([0.5, 1.0, 0.0])}

    def tune(domain, *, real):
        generator = torch.Generator().manual_seed(1)
        clean = torch.randn(400, 3, generator=generator)
        y = torch.sign(clean @ truth[domain])
        x = clean.clone()
        x[:, 2] = -0.8 * y + 0.3 * clean[:, 2] if real else 0.3 * clean[:, 2]
        return {"w": torch.linalg.lstsq(x, y.unsqueeze(1)).solution.squeeze(1)}, x, y

    vector = dict(difference(tune("source", real=True)[0], tune("source", real=False)[0]))
    target, (_, x, y) = tune("target", real=False)[0], tune("target", real=True)

    def loss(coef):
        return float(((x @ dict(applied(target, vector, coef))["w"] - y) ** 2).mean())

    losses = [loss(coef) for coef in (0, 0.5, 1, 1.5, 2.5)]
    assert losses[2] < 0.75 * losses[0]
    assert losses[4] > losses[2]
