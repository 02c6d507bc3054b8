import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_tv.errors import ConfigError, DataError
from asr_tv.vectors import task_vector
from asr_tv.vectors.merging import METHODS, Merge, combined, dare, dare_ties, merged, ties
from asr_tv.vectors.sparsify import dropped, trimmed

SHAPES = {"decoder.embed": (6, 4), "encoder.bias": (5,), "encoder.conv": (2, 3, 2)}
SIZE = sum(math.prod(shape) for shape in SHAPES.values())
SHARES = st.floats(0.01, 1)
SEEDS = st.integers(-(2**40), 2**40)


def law(*strategies):
    """A property test without a deadline: the machine may be busy."""
    return lambda test: settings(deadline=None, max_examples=40)(given(*strategies)(test))


@st.composite
def vectors(draw):
    """Random vectors; half of them of small whole numbers, full of ties, zeros and sums of zero."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    state = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    return {name: tensor.round() for name, tensor in state.items()} if draw(st.booleans()) else state


def flat(vector):
    return torch.cat([vector[name].reshape(-1) for name in sorted(vector)])


def same(a, b):
    a, b = dict(a), dict(b)
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype == torch.float32
        assert torch.equal(a[name], b[name]), name


def one(*values):
    return {"w": torch.tensor(values)}


class TestTies:
    def test_the_tiny_example(self):
        a, b = one(3, -1, 0.2, 2), one(-2, -4, 0.1, 0.0)
        assert trimmed(a, 0.5)["w"].tolist() == [3, 0, 0, 2]
        assert trimmed(b, 0.5)["w"].tolist() == [-2, -4, 0, 0]
        assert dict(ties([a, b], 0.5))["w"].tolist() == [3, -4, 0, 2]

    def test_the_mean_is_of_those_that_agree_and_are_not_zero(self):
        result = dict(ties([one(1.0, 4.0), one(3.0, -1.0), one(-2.0, 0.0)], 1.0))
        assert result["w"].tolist() == [2.0, 4.0]

    @pytest.mark.parametrize(("rest", "expected"), [(1.0, 2.0), (-1.0, -2.0)])
    def test_a_sum_of_zero_takes_the_majority_over_all_tensors(self, rest, expected):
        a = {"v": torch.tensor([rest]), "w": torch.tensor([2.0])}
        b = {"v": torch.tensor([0.0]), "w": torch.tensor([-2.0])}
        assert dict(ties([a, b], 1.0))["w"].tolist() == [expected]

    def test_a_sum_of_zero_without_a_majority_is_zero(self):
        assert dict(ties([one(2.0, 1.0, -1.0), one(-2.0, 0.0, 0.0)], 1.0))["w"].tolist() == [0.0, 1.0, -1.0]

    def test_the_top_share_is_of_the_whole_model_not_of_each_tensor(self):
        vector = {"small": torch.tensor([0.1, 0.2, 0.3]), "large": torch.tensor([[3.0], [-2.0], [1.0]])}
        kept = trimmed(vector, 0.5)
        assert kept["small"].tolist() == [0, 0, 0]
        assert kept["large"].tolist() == [[3], [-2], [1]]

    def test_equal_magnitudes_at_the_edge_stay_in_order_of_name_and_place(self):
        vector = {"b": torch.tensor([1.0, -1.0, 2.0]), "a": torch.tensor([0.0, -1.0, 1.0])}
        for keep, a, b in ((1 / 6, [0, 0, 0], [0, 0, 2]), (0.5, [0, -1, 1], [0, 0, 2]), (4 / 6, [0, -1, 1], [1, 0, 2])):
            assert (trimmed(vector, keep)["a"].tolist(), trimmed(vector, keep)["b"].tolist()) == (a, b)

    @law(vectors(), SHARES)
    def test_exactly_the_largest_stay(self, vector, keep):
        count = max(1, round(keep * SIZE))
        order = torch.argsort(flat(vector).abs(), descending=True, stable=True)[:count]
        expected = torch.zeros(SIZE)
        expected[order] = flat(vector)[order]
        assert torch.equal(flat(trimmed(vector, keep)), expected)

    @law(vectors(), SHARES, st.integers(1, 3))
    def test_of_twins_is_the_trimmed_vector(self, vector, keep, count):
        same(ties([vector] * count, keep), trimmed(vector, keep))

    @law(vectors())
    def test_of_all_of_one_vector_is_the_vector(self, vector):
        same(ties([vector], 1.0), vector)

    def test_magnitudes_that_differ_in_the_last_bit_are_told_apart(self):
        one_up = torch.nextafter(torch.tensor(1e-4), torch.tensor(1.0))
        tiny = torch.tensor([1e-4, 1e-42, -one_up, 1e-44])
        assert torch.equal(trimmed({"w": tiny}, 0.25)["w"], torch.tensor([0, 0, -one_up, 0]))
        assert torch.equal(trimmed({"w": tiny}, 0.75)["w"], torch.tensor([1e-4, 1e-42, -one_up, 0]))

    def test_more_entries_than_torch_quantile_takes(self):
        vector = {"w": torch.arange(17_000_000, dtype=torch.int32).float()}  # beyond 2^24 magnitudes tie, too
        kept = trimmed(vector, 0.25)["w"]
        assert int((kept != 0).sum()) == 4_250_000
        assert float(kept[kept != 0].min()) == 12_750_000

    def test_half_precision_is_widened(self):
        vector = {"w": torch.tensor([1.0, -3.0], dtype=torch.bfloat16)}
        assert trimmed(vector, 0.5)["w"].dtype == torch.float32
        same(ties([vector], 0.5), one(0.0, -3.0))


class TestDare:
    @law(vectors(), SEEDS)
    def test_dropping_nothing_is_the_identity(self, vector, seed):
        same(dropped(vector, 0.0, seed), vector)
        same(dare([vector], 0.0, seed), vector)

    @law(vectors(), st.floats(0.05, 0.99), SEEDS)
    def test_survivors_are_divided_by_what_is_kept(self, vector, drop, seed):
        before, after = flat(vector), flat(dropped(vector, drop, seed))
        rescaled = (before.double() / (1 - drop)).float()
        assert torch.equal(after, torch.where(after != 0, rescaled, 0.0))

    @pytest.mark.parametrize("drop", [0.1, 0.5, 0.9, 0.99])
    def test_the_dropped_share_is_within_three_sigma(self, drop):
        size = 200_000
        lost = int((dropped({"w": torch.ones(size)}, drop, 5)["w"] == 0).sum())
        assert abs(lost - size * drop) <= 3 * math.sqrt(size * drop * (1 - drop))

    def test_the_mean_over_seeds_is_the_vector(self):
        vector = one(1.0, -2.0, 0.5)
        results = torch.stack([dropped(vector, 0.5, seed)["w"] for seed in range(1000)])
        sigma = vector["w"].abs() / math.sqrt(1000)  # of the mean, at a drop of 1/2
        assert bool(((results.mean(0) - vector["w"]).abs() <= 4 * sigma).all())

    @law(vectors(), SEEDS)
    def test_one_seed_gives_one_mask_in_any_order(self, vector, seed):
        lazy, backwards = dropped(vector, 0.5, seed), dropped(dict(reversed(vector.items())), 0.5, seed)
        for name in sorted(vector, reverse=True):
            assert torch.equal(backwards[name], lazy[name])
            assert torch.equal(lazy[name], lazy[name])

    def test_other_seeds_names_and_values_give_other_masks(self):
        ones, more = torch.ones(1000), torch.full((1000,), 2.0)
        masks = [
            dropped({name: values}, 0.5, seed)[name] != 0
            for name, values, seed in (("v", ones, 1), ("v", ones, 2), ("w", ones, 1), ("v", more, 1))
        ]
        for i, mask in enumerate(masks):
            for other in masks[:i]:
                assert abs(int((mask == other).sum()) - 500) < 80  # independent: 5 sigma

    @law(vectors(), SEEDS)
    def test_twins_get_the_same_mask(self, vector, seed):
        same(dare([vector] * 3, 0.5, seed), dropped(vector, 0.5, seed))
        same(dare_ties([vector] * 3, 0.5, 0.5, seed), trimmed(dropped(vector, 0.5, seed), 0.5))

    @law(vectors(), vectors(), SEEDS)
    def test_the_sum_of_dropped_vectors(self, a, b, seed):
        sparse = [dict(dropped(vector, 0.5, seed)) for vector in (a, b)]
        same(dare([a, b], 0.5, seed, [0.3, -2.0]), combined(sparse, [0.3, -2.0]))
        same(dare([a, b], 0.5, seed), combined(sparse, [0.5, 0.5]))

    @law(vectors(), vectors(), SHARES, SEEDS)
    def test_then_ties(self, a, b, keep, seed):
        same(dare_ties([a, b], keep, 0.5, seed), ties([dict(dropped(v, 0.5, seed)) for v in (a, b)], keep))
        same(dare_ties([a, b], keep, 0.0, seed), ties([a, b], keep))

    def test_a_drop_close_to_one_leaves_something(self):
        kept = dropped({"w": torch.ones(100_000)}, 1 - 1e-4, 3)["w"]
        assert 0 < int((kept != 0).sum()) < 40

    def test_rescaling_that_overflows_is_refused(self):
        with pytest.raises(DataError, match="w: the rescaled vector holds"):
            dict(dropped({"w": torch.full((100,), 3e38)}, 0.5, 1))


class TestEveryMethod:
    @pytest.mark.parametrize("method", METHODS)
    @law(st.lists(vectors(), min_size=1, max_size=4), st.randoms())
    def test_the_order_of_the_vectors_does_not_matter(self, method, many, random):
        shuffled = list(many)
        random.shuffle(shuffled)
        a, b = dict(merged(many, Merge(method))), dict(merged(shuffled, Merge(method)))
        torch.testing.assert_close(flat(a), flat(b), atol=1e-9, rtol=1e-6)

    @pytest.mark.parametrize("method", [method for method in METHODS if method != "sum"])
    @law(vectors(), st.integers(2, 4))
    def test_twins_merge_to_what_one_of_them_does(self, method, vector, count):
        same(merged([vector] * count, Merge(method)), merged([vector], Merge(method)))

    @law(vectors(), st.integers(1, 4))
    def test_the_sum_of_twins_is_the_multiple(self, vector, count):
        same(merged([vector] * count, Merge("sum")), combined([vector], [float(count)]))

    @pytest.mark.parametrize("method", METHODS)
    def test_large_tensors_are_merged_in_pieces(self, method, monkeypatch):
        generator = torch.Generator().manual_seed(1)
        pair = [{"w": torch.randn(7, 9, generator=generator).round(decimals=1)} for _ in range(2)]
        whole = dict(merged(pair, Merge(method)))
        monkeypatch.setattr(task_vector, "_CHUNK", 4)
        same(merged(pair, Merge(method)), whole)

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
    def test_not_a_number_is_named(self, method, bad):
        good, wrong = {"v": torch.ones(1), "w": torch.ones(2)}, {"v": torch.ones(1), "w": torch.tensor([1.0, bad])}
        with pytest.raises(DataError, match=r"^w: .* holds NaN or infinity"):
            dict(merged([good, wrong], Merge(method)))

    @pytest.mark.parametrize("method", METHODS)
    def test_other_names_and_no_vectors(self, method):
        with pytest.raises(DataError, match="vector 2 lacks w"):
            dict(merged([one(1.0), {"v": torch.ones(1)}], Merge(method)))
        with pytest.raises(ConfigError, match="no vectors"):
            dict(merged([], Merge(method)))

    @pytest.mark.parametrize("method", METHODS)
    def test_inputs_are_not_changed_and_integers_are_left_out(self, method):
        vector = {"w": torch.tensor([3.0, -1.0, 0.5]), "steps": torch.tensor([7])}
        assert set(dict(merged([vector, vector], Merge(method)))) == {"w"}
        assert vector["w"].tolist() == [3.0, -1.0, 0.5]


class TestMerge:
    def test_defaults(self):
        assert Merge("mean").parameters == {}
        assert Merge("sum", (1.0,)).parameters == {"coefficients": (1.0,)}
        assert Merge("dare-ties", drop=0.5).parameters == {"keep": 0.2, "drop": 0.5, "seed": 17}

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ({"method": "slerp"}, "must be one of mean, sum, ties, dare, dare-ties"),
            ({"method": "mean", "keep": 0.2}, "mean: takes no keep"),
            ({"method": "ties", "coefficients": (1.0,)}, "ties: takes no coefficients"),
            ({"method": "ties", "keep": 0.0}, "keep 0.0"),
            ({"method": "ties", "keep": 1.1}, "keep 1.1"),
            ({"method": "ties", "keep": float("nan")}, "keep nan"),
            ({"method": "dare", "drop": 1.0}, "drop 1.0"),
            ({"method": "dare", "drop": -0.1}, "drop -0.1"),
            ({"method": "dare", "coefficients": (float("inf"),)}, "must be a finite number, not inf"),
        ],
    )
    def test_what_is_refused(self, arguments, says):
        with pytest.raises(ConfigError, match=says):
            Merge(**arguments)

    def test_all_problems_at_once(self):
        with pytest.raises(ConfigError) as error:
            Merge("dare-ties", keep=2.0, drop=1.0)
        assert len(error.value.problems) == 2
        with pytest.raises(ConfigError) as error:
            Merge("mean", keep=2.0, drop=1.0)
        assert error.value.problems == ("method mean: takes no keep", "method mean: takes no drop")

    def test_the_functions_refuse_as_well(self):
        for attempt in (
            lambda: ties([one(1.0)], 0.0),
            lambda: dare([one(1.0)], 1.0, 1),
            lambda: dare_ties([one(1.0)], 0.5, 1.0, 1),
            lambda: dare([one(1.0)], 0.5, 1, [1.0, 2.0]),
            lambda: dropped(one(1.0), 1.0, 1),
        ):
            with pytest.raises(ConfigError):
                attempt()
