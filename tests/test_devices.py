"""What a device is asked for, and attention that does not plan for every new shape on a GPU."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from asr_tv.devices import any_shape, choose_device, choose_precision
from asr_tv.errors import ConfigError


def _kinds() -> dict[str, bool]:
    return {
        "flash": torch.backends.cuda.flash_sdp_enabled(),
        "efficient": torch.backends.cuda.mem_efficient_sdp_enabled(),
        "math": torch.backends.cuda.math_sdp_enabled(),
        "cudnn": torch.backends.cuda.cudnn_sdp_enabled(),
    }


def test_on_a_gpu_cudnn_is_left_out_within_and_back_afterwards() -> None:
    before = _kinds()
    with any_shape(torch.device("cuda")):
        assert _kinds() == {"flash": True, "efficient": True, "math": True, "cudnn": False}
    assert _kinds() == before


def test_what_its_caller_chose_is_back_afterwards_even_after_an_error() -> None:
    with sdpa_kernel([SDPBackend.CUDNN_ATTENTION]):
        before = _kinds()
        with pytest.raises(ZeroDivisionError), any_shape(torch.device("cuda", 1)):
            raise ZeroDivisionError
        assert _kinds() == before


def test_on_a_processor_nothing_is_changed() -> None:
    before = _kinds()
    query = torch.randn(1, 2, 3, 8)
    expected = scaled_dot_product_attention(query, query, query)
    with any_shape(torch.device("cpu")):
        assert _kinds() == before
        assert torch.equal(scaled_dot_product_attention(query, query, query), expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("wanted", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_refused_with_the_setting(wanted: str) -> None:
    with pytest.raises(ConfigError, match=f"run.device: '{wanted}' is asked for, but torch sees no GPU"):
        choose_device(wanted)


def test_what_is_asked_for_is_taken_and_bf16_is_automatic_only_where_hardware_has_it() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_precision("fp32", torch.device("cuda")) == "fp32"
    assert choose_precision("bf16", torch.device("cpu")) == "bf16"
    has = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert choose_precision("auto", torch.device("cpu")) == ("bf16" if has else "fp32")
