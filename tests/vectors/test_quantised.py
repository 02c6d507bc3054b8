"""Vectors in fewer bytes: what is lost, what is kept, and files that do not hold what they say."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_tv.errors import DataError
from asr_tv.models.tensors import write_tensors
from asr_tv.vectors.files import KIND, create_vector, open_vector
from asr_tv.vectors.quantised import FORM, quantised, write_compact


@pytest.fixture(scope="module")
def vector(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vectors") / "v.safetensors"
    create_vector(models / "tuned", models / "base", path, {})
    return path


@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 40), st.floats(1e-6, 1e3))
@settings(max_examples=40)
def test_no_number_moves_by_more_than_half_a_step_of_its_row(seed: int, rows: int, columns: int, size: float) -> None:
    tensor = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * size
    whole, scale = quantised(tensor)
    error = (whole.float() * scale[:, None] - tensor).abs()
    assert bool((error <= scale[:, None] * 0.5001 + 1e-12).all())


def test_a_row_of_zeros_stays_so_and_a_convolution_keeps_its_shape() -> None:
    tensor = torch.zeros(3, 2, 4)
    tensor[1] = 2.54
    whole, scale = quantised(tensor)
    assert whole.shape == (3, 2, 4)
    assert scale.tolist() == pytest.approx([0.0, 0.02, 0.0])
    assert whole[1].unique().tolist() == [127]


@pytest.mark.parametrize(("numbers", "share", "error"), [("fp16", 0.55, 5e-4), ("int8", 0.35, 0.01)])
def test_it_is_smaller_and_opens_as_any_vector(
    vector: Path, tmp_path: Path, numbers: str, share: float, error: float
) -> None:
    told = write_compact(open_vector(vector), tmp_path / "small.safetensors", numbers)  # type: ignore[arg-type]
    small, whole = open_vector(tmp_path / "small.safetensors"), open_vector(vector)
    assert (tmp_path / "small.safetensors").stat().st_size < share * vector.stat().st_size
    assert list(small) == list(whole)
    lost = sum(float((small[n].double() - whole[n].double()).square().sum()) for n in whole) ** 0.5
    norm = sum(float(whole[n].double().square().sum()) for n in whole) ** 0.5
    assert told == pytest.approx(lost / norm, rel=1e-3)
    assert 0 < told < error
    for name in whole:
        if whole[name].ndim == 1:
            assert torch.equal(small[name].float(), whole[name])


def damaged(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    layout = {name: (t.dtype, tuple(t.shape)) for name, t in tensors.items()}
    write_tensors(path, layout, sorted(tensors.items()), {"kind": KIND, FORM: "1"})
    return path


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"x": torch.ones(2, 2, dtype=torch.int8)}, "not those of its int8 tensors"),
        ({"x": torch.ones(2, 2), "x.row_scale": torch.ones(2)}, "not those of its int8 tensors"),
        ({"x": torch.ones(2, 2, dtype=torch.int8), "x.row_scale": torch.ones(3)}, "not one finite number"),
        (
            {"x": torch.ones(2, 2, dtype=torch.int8), "x.row_scale": torch.full((2,), torch.inf)},
            "not one finite number",
        ),
    ],
)
def test_scales_that_do_not_fit_are_refused(tmp_path: Path, tensors: dict[str, torch.Tensor], message: str) -> None:
    path = damaged(tmp_path / "v.safetensors", tensors)
    with pytest.raises(DataError, match=message):
        open_vector(path)
